// B'MOJO (Zancato et al. 2024, 2407.06324; equations: bmojo.h): the sets of keys are disjoint, so each is an attention of its own,
// and their results become one softmax by the logs of their denominators.
#include "mixers/bmojo.h"

#include "base/error.h"
#include "ops/eidetic.h"
#include "ops/tape.h"

namespace headrace {

const MixerDoc BmojoF::doc{
    "bmojo_f", "memory", "B'MOJO-F: attention with a fading memory", "Zancato et al. 2024 (2407.06324)",
    "f = rms(mamba(x)) w;  q, k, v = W x;  k', v' = W' f\n"
    "o_t = one softmax over {k_s : t - w < s <= t} and {k'_s : t - 2w < s <= t - w};  y = W_o o",
    "W_q, W_o [d, d], W_k, W_v [G K, d], untied W'_k, W'_v [G K, d], norm [d], Mamba's",
    "Mamba's; keys and values, 2 G K a token, of w and of 2 w tokens", "O(w d) and Mamba's", "O(T w d) and Mamba's", "mixers/bmojo.h"};

const MixerDoc Bmojo::doc{
    "bmojo", "memory", "B'MOJO: attention with fading and eidetic memory", "Zancato et al. 2024 (2407.06324)",
    "f, q, k, v, k', v' as bmojo_f;  o_t = one softmax over {k_s : t - w < s <= t}, {k'_s : t - 2w < s <= t - w}\n"
    "and {k_s : s <= t - w, s among the m of largest |x_s - W_p f_(s-1)|^2 before t's chunk of w};  y = W_o o",
    "as bmojo_f, and W_p [d, d]", "Mamba's; keys and values, 2 G K a token, of w, of 2 w and of 2 m tokens", "O((w + m) d) and Mamba's",
    "O(T (w + m) d) and Mamba's", "mixers/bmojo.h"};

BmojoF BmojoF::bind(const Scope& s, Options o) {
  const int D = o.width, K = D / o.heads, G = o.kv_heads * K;
  if (o.rope.base > 0) o.rope.rotary = K / 2 * 2;
  fill_frequencies(o.rope);
  BmojoF m{.o = o, .mamba = Mamba::bind(s / "mamba", o.mamba), .norm = Norm::rms(s / "norm", D, o.eps), .q = Linear::bind(s / "q_proj", D, D),
           .k = Linear::bind(s / "k_proj", D, G), .v = Linear::bind(s / "v_proj", D, G), .fading_k = {}, .fading_v = {},
           .out = Linear::bind(s / "o_proj", D, D)};
  m.fading_k = o.tied ? m.k : Linear::bind(s / "k_proj_", D, G);
  m.fading_v = o.tied ? m.v : Linear::bind(s / "v_proj_", D, G);
  return m;
}

BmojoF::Parts BmojoF::parts(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), K = o.width / o.heads;
  const auto by_head = [&](const Tensor& y, int64_t heads) { return y.view({N, heads, K}); };
  const auto turned = [&](const Tensor& y, int64_t heads) { return headrace::rope(by_head(y, heads), o.rope, p.positions()); };
  Parts all;
  all.f = norm(mamba(x, p));
  auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  auto fading = linear(all.f, {{fading_k.weight, fading_k.bias}, {fading_v.weight, fading_v.bias}});
  all.q = turned(qkv[0], o.heads), all.k = turned(qkv[1], o.kv_heads), all.v = by_head(qkv[2], o.kv_heads);
  Attention near{.window = o.window, .sinks = {}, .slopes = {}}, older{.window = 2 * int64_t{o.window}, .sinks = {}, .slopes = {}};
  Pattern behind{.kind = Pattern::Kind::behind};
  behind.block = o.window;
  older.pattern = std::make_shared<const Pattern>(std::move(behind));
  const Attended far = attention_with_lse(all.q, turned(fading[0], o.kv_heads), by_head(fading[1], o.kv_heads), older, p.slot("fading_kv"));
  all.seen = {attention_with_lse(all.q, all.k, all.v, near, p.slot("kv")), seen_from(far, p.positions(), o.window)};
  return all;
}
Tensor BmojoF::operator()(const Tensor& x, Pass p) const { return out(merged(parts(x, p).seen).view({x.dim(0), int64_t{o.width}})); }

Bmojo Bmojo::bind(const Scope& s, const Options& o) {
  return {.fading = BmojoF::bind(s, o.fading), .predictor = Linear::bind(s / "predictor", o.fading.width, o.fading.width),
          .count = o.count};
}
Tensor Bmojo::operator()(const Tensor& x, Pass p) const {
  BmojoF::Parts all = fading.parts(x, p);
  // The choice has no gradient, and what is predicted from what is not moved by the error.
  const auto constant = [](const Tensor& t) {
    if (!Tape::current()) return t;
    PauseTape pause;
    return 1.f * t;
  };
  Tensor before;
  {
    PauseTape pause;
    before = token_shift(all.f, p.slot("summary"));
  }
  const Tensor off = constant(x) - predictor(before), error = sum_columns(off * off);
  if (recording(error) || p.batch->training) {
    const Tensor loss = (1 / static_cast<float>(std::max<int64_t>(1, x.count()))) * sum_rows(error.view({x.dim(0), 1}));
    Tensor& shared = p.batch->shared["bmojo.prediction"];
    shared = shared ? shared + loss : loss;
  }
  all.seen.push_back(eidetic_attention(all.q, all.k, all.v, constant(error), {count, fading.o.window}, p.positions(), p.slot("eidetic")));
  return fading.out(merged(all.seen).view({x.dim(0), int64_t{fading.o.width}}));
}

}  // namespace headrace
