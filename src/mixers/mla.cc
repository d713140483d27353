// MLA (DeepSeek-V2, 2405.04434; equations: mla.h) in two forms of the same numbers: keys and values of every head unfolded from
// the latent, or, absorbed, their maps moved to the queries and the answers, so that the state is the latent alone.
#include "mixers/mla.h"

#include "base/error.h"
#include "nn/arranged.h"

namespace headrace {

const MixerDoc Mla::doc{
    "mla", "attention", "multi-head latent attention", "DeepSeek-AI 2024 (2405.04434, 2412.19437)",
    "c = rms(W_dkv x) [r], kR = rope(W_kr x) [e];  [qN; qR] = W_q x, qR <- rope(qR)\n"
    "naive: k = [W_uk c; kR], v = W_uv c;  y = W_o softmax(q k^T / sqrt(n+e)) v\n"
    "absorbed: scores (W_uk^T qN . c + qR . kR) / sqrt(n+e);  y = W_o W_uv sum p c",
    "W_q [H (n+e), d] or [r_q, d] and [H (n+e), r_q], W_dkv and W_kr [r+e, d], W_uk and W_uv [H (n+V), r], W_o [d, H V]",
    "absorbed: 2 r + e a token; naive: H (n+e+V)", "O(T H (2 r + e))", "O(T^2 H (2 r + e)); naive O(T^2 H (n+e+V))", "mixers/mla.h"};

void Mla::Options::check() const {
  expect(rope.rotary % 2 == 0, "mla: rotary = ", rope.rotary, "; they turn in pairs");
  const int64_t query = int64_t{rope.rotary} + (absorbed ? std::max(nope, latent) : nope);
  expect(heads * std::max<int64_t>(query, value) <= 1 << 24, "mla: heads = ", heads, " of nope = ", nope, ", rotary = ", rope.rotary,
         ", value = ", value, ", latent = ", latent);
}

Mla Mla::bind(const Scope& s, Options o) {
  fill_frequencies(o.rope);
  const int64_t D = o.width, QD = int64_t{o.heads} * (o.nope + o.rope.rotary);
  Mla m{.o = o};
  if (o.query_latent > 0) {
    m.q_down = Linear::bind(s / "q_a_proj", D, o.query_latent);
    m.q_norm = Norm::rms(s / "q_a_layernorm", o.query_latent, o.norm_eps);
    m.q = Linear::bind(s / "q_b_proj", o.query_latent, QD);
  } else {
    m.q = Linear::bind(s / "q_proj", D, QD);
  }
  m.kv_down = Linear::bind(s / "kv_a_proj_with_mqa", D, o.latent + o.rope.rotary);
  m.kv_norm = Norm::rms(s / "kv_a_layernorm", o.latent, o.norm_eps);
  const Shape up{int64_t{o.heads} * (o.nope + o.value), o.latent};
  if (!o.absorbed) {
    m.kv_up = (s / "kv_b_proj").matrix("weight", up);
  } else {
    const Tensor rows = (s / "kv_b_proj")("weight", up);
    for (int64_t at = 0; at < up[0]; at += o.nope + o.value) {
      m.key_up.push_back(arranged(s.source(), transposed(rows.slice(0, at, o.nope))));
      m.value_up.push_back(arranged(s.source(), rows.slice(0, at + o.nope, o.value)));
    }
  }
  m.out = Linear::bind(s / "o_proj", int64_t{o.heads} * o.value, D);
  return m;
}

Tensor Mla::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, n = o.nope, e = o.rope.rotary, r = o.latent, V = o.value;
  Tensor qs = q(o.query_latent > 0 ? q_norm(q_down(x)) : x).view({N, H, n + e}), down = kv_down(x);
  Tensor c = kv_norm(down.slice(-1, 0, r));
  std::vector<Tensor> parts;
  for (int64_t h = 0; h < H; ++h) parts.push_back(qs.slice(1, h, 1).slice(-1, n, e).view({N, e}));
  Tensor turned = rope(concat(parts).view({N, H, e}), o.rope, p.positions());              // [N,H,e]
  parts.clear();
  Tensor key_turned = rope(down.slice(-1, r, e).view({N, 1, e}), o.rope, p.positions());   // [N,1,e]
  const Attention scaled{.scale = 1 / std::sqrt(static_cast<float>(n + e))};
  if (o.absorbed) {
    for (int64_t h = 0; h < H; ++h) {
      parts.push_back(linear(qs.slice(1, h, 1).slice(-1, 0, n).view({N, n}), key_up[h]));
      parts.push_back(turned.slice(1, h, 1).view({N, e}));
    }
    Tensor key = concat({c, key_turned.view({N, e})}).view({N, 1, r + e});
    Tensor seen = attention(concat(parts).view({N, H, r + e}), key, c.view({N, 1, r}), scaled, p.slot("kv"));   // [N,H,r]
    parts.clear();
    for (int64_t h = 0; h < H; ++h) parts.push_back(linear(seen.slice(1, h, 1).view({N, r}), value_up[h]));
    return out(concat(parts));
  }
  std::vector<Tensor> queries;
  Tensor kv = linear(c, kv_up).view({N, H, n + V});
  for (int64_t h = 0; h < H; ++h) {
    queries.push_back(qs.slice(1, h, 1).slice(-1, 0, n).view({N, n})), queries.push_back(turned.slice(1, h, 1).view({N, e}));
    parts.push_back(kv.slice(1, h, 1).slice(-1, 0, n).view({N, n})), parts.push_back(key_turned.view({N, e}));
  }
  std::vector<Tensor> values;
  for (int64_t h = 0; h < H; ++h) values.push_back(kv.slice(1, h, 1).slice(-1, n, V).view({N, V}));
  Tensor y = attention(concat(queries).view({N, H, n + e}), concat(parts).view({N, H, n + e}), concat(values).view({N, H, V}), scaled, p.slot("kv"));
  return out(y.view({N, H * V}));
}

}  // namespace headrace
