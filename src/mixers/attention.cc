// Softmax attention as models have it (papers, equations: attention.h): products, norms and rotation around one primitive.
#include "mixers/attention.h"

#include "base/error.h"
#include "mixers/heads.h"
#include "nn/config.h"

namespace headrace {

const MixerDoc AttentionMixer::doc{
    "attn", "attention", "softmax attention",
    "Vaswani et al. 2017 (1706.03762); Shazeer 2019 (1911.02150); Ainslie et al. 2023 (2305.13245); RoPE: Su et al. 2021 (2104.09864); "
    "ALiBi: Press et al. 2021 (2108.12409)",
    "q = W_q x, k = W_k x, v = W_v x;  q, k <- rope(norm(q)), rope(norm(k))\n"
    "y = W_o softmax(scale q k^T) v                     over j <= i, with window: i - j < window; alibi: score - 2^(-8h/H) (i - j)",
    "W_q [H D, d], W_k and W_v [Hkv D, d], W_o [d, H D]; biases and norms of q and k where asked",
    "keys and values, 2 Hkv D a token, at most `window` tokens where there is one", "O(T H D)", "O(T^2 H D)", "mixers/attention.h"};

std::shared_ptr<const Pattern> first_keys(int count) {
  if (count == 0) return nullptr;
  Pattern p{.kind = Pattern::Kind::first};
  p.extra = count;
  return std::make_shared<const Pattern>(std::move(p));
}

void AttentionMixer::Options::check() const {
  expect(heads % kv_heads == 0, "attn: kv = ", kv_heads, " does not divide heads = ", heads);
  expect(int64_t{heads} * head_dim <= 1 << 24, "attn: heads = ", heads, " of dim = ", head_dim);
  expect(rope.rotary <= head_dim && rope.rotary % 2 == 0, "attn: rotary = ", rope.rotary, " of dim = ", head_dim, "; they turn in pairs");
}

void AttentionMixer::check(const std::string& file, int heads, int kv_heads, int head_dim) {
  check_size(file, "num_attention_heads", heads, 65536);
  check_size(file, "num_key_value_heads", kv_heads, heads);
  check_size(file, "head_dim", head_dim, 65536);
  check_size(file, "num_attention_heads * head_dim", int64_t{heads} * head_dim);
  expect(heads % kv_heads == 0, file, ": num_key_value_heads = ", kv_heads, " does not divide num_attention_heads = ", heads);
}

AttentionMixer AttentionMixer::bind(const Scope& s, Options o) {
  fill_frequencies(o.rope);
  if (o.alibi) {
    const std::vector<double> slopes = alibi_slopes(o.heads);
    o.attend.slopes = constants(std::vector<float>(slopes.begin(), slopes.end()), {o.heads}, s.source().device);
  }
  if (o.attend.window <= 0) o.attend.pattern = {};           // all are in sight
  const int64_t D = o.width, QD = int64_t{o.heads} * o.head_dim, KD = int64_t{o.kv_heads} * o.head_dim;
  AttentionMixer m{.o = o,
                   .q = Linear::bind(s / "q_proj", D, QD, o.qkv_bias),
                   .k = Linear::bind(s / "k_proj", D, KD, o.qkv_bias),
                   .v = Linear::bind(s / "v_proj", D, KD, o.qkv_bias),
                   .out = Linear::bind(s / "o_proj", QD, D, o.out_bias, Init::output(o.layers))};
  if (o.qk_norm) {
    m.q_norm = Norm::rms(s / "q_norm", o.head_dim, o.norm_eps, o.norm_offset);
    m.k_norm = Norm::rms(s / "k_norm", o.head_dim, o.norm_eps, o.norm_offset);
  }
  return m;
}

Tensor AttentionMixer::operator()(const Tensor& x, Pass p) const {
  auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const int64_t N = x.dim(0);
  Tensor qs = qkv[0].view({N, o.heads, o.head_dim}), ks = qkv[1].view({N, o.kv_heads, o.head_dim});
  if (o.qk_norm) qs = q_norm(qs), ks = k_norm(ks);
  qs = headrace::rope(qs, o.rope, p.positions());
  ks = headrace::rope(ks, o.rope, p.positions());
  Tensor y = attention(qs, ks, qkv[2].view({N, o.kv_heads, o.head_dim}), o.attend, p.slot("kv"));
  return out(y.view({N, int64_t{o.heads} * o.head_dim}));
}

}  // namespace headrace
