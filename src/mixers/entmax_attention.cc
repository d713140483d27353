// Entmax attention (Correia et al. 2019, 1909.00015; equations: entmax_attention.h): alpha is made of its parameter in each call,
// so that its gradient flows.
#include "mixers/entmax_attention.h"

#include "base/error.h"

namespace headrace {

const MixerDoc EntmaxAttention::doc{
    "entmax", "attention", "adaptively sparse attention (alpha-entmax)",
    "Correia, Niculae, Martins 2019 (1909.00015); Peters et al. 2019 (1905.05702)",
    "p = [1 + (alpha-1) (q k^T / sqrt(K) - t)]_+^(1/(alpha-1)), t such that p sums to 1 over j <= i\n"
    "alpha_h = 1 + sigmoid(a_h)\n"
    "y = W_o p v",
    "W_q [H K, d], W_k and W_v [Hkv K, d], W_o [d, H K], a [H]", "keys and values, 2 Hkv K a token", "O(T H K)", "O(T^2 H K)",
    "mixers/entmax_attention.h"};

EntmaxAttention EntmaxAttention::bind(const Scope& s, Options o) {
  o.rope.rotary = o.rope.base > 0 ? o.head_dim / 2 * 2 : 0;
  fill_frequencies(o.rope);
  const int64_t D = o.width, QD = int64_t{o.heads} * o.head_dim, KD = int64_t{o.kv_heads} * o.head_dim;
  return {.o = o, .q = Linear::bind(s / "q_proj", D, QD), .k = Linear::bind(s / "k_proj", D, KD), .v = Linear::bind(s / "v_proj", D, KD),
          .out = Linear::bind(s / "o_proj", QD, D), .sharpness = s("alpha", {o.heads}, Init::constant(0).no_decay())};
}

Tensor EntmaxAttention::operator()(const Tensor& x, Pass p) const {
  auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const int64_t N = x.dim(0);
  const Shape keys{N, o.kv_heads, o.head_dim};
  Tensor qs = headrace::rope(qkv[0].view({N, o.heads, o.head_dim}), o.rope, p.positions());
  Tensor ks = headrace::rope(qkv[1].view(keys), o.rope, p.positions());
  // The 1 as an op of a: a constant of its device.
  Tensor alpha = exp(0.f * sharpness) + sigmoid(sharpness);
  Tensor y = attention(qs, ks, qkv[2].view(keys), {.alpha = alpha}, p.slot("kv"));
  return out(y.view({N, int64_t{o.heads} * o.head_dim}));
}

}  // namespace headrace
