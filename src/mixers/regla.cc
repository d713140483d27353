// ReGLA (Lu et al. 2025, 2502.01578; equations: regla.h): the frame of linear_attention.h with its features and gate, both kept in logs.
#include "mixers/regla.h"

#include "mixers/feature_attention.h"
#include "ops/feature_maps.h"

namespace headrace {

const MixerDoc Regla::doc{
    "regla", "linear attention", "ReGLA: gated linear attention, refined", "Lu et al. 2025 (2502.01578)",
    "phi(x) = exp(x - max x);  f = sigmoid(W_g x + b_g),  r = sigmoid(W_r x + b_r),  w = (1-r) f^2 + r (1 - (1-f)^2)\n"
    "S_t = diag(w) S_{t-1} + phi(W_k x) v^T;  o = norm(scale S_t^T phi(W_q x));  y = W_o o",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V], W_g, W_r [H K, d], biases, norm [V]", "H (K V + 1)", "O(H K V)", "O(T H K V)",
    "mixers/regla.h"};

LinearAttention Regla::bind(const Scope& s, Options o) {
  const int64_t D = o.frame.width, H = o.frame.heads, K = o.frame.key;
  const Linear forget = Linear::bind(s / "g_proj", D, H * K, true), refine = Linear::bind(s / "r_proj", D, H * K, true);
  // What the frame's scale 1 / sqrt(K) lacks.
  const float scale = static_cast<float>(1 / (std::exp(1.0) * std::sqrt(std::exp(2.0) - 1)));
  LinearAttention m = LinearAttention::bind(s, o.frame, [=](const Tensor& x, LinearAttention::Inputs& in, Pass p) {
    const Shape shape{x.dim(0), H, K};
    in.q = scale * exp(in.q - largest_feature(in.q));
    const KeyRange range = range_of_keys(in.k, true, p);
    in.k = exp(in.k - range.c);
    const Tensor a = forget(x), f = sigmoid(a), r = sigmoid(refine(x));
    const Tensor log_w = log_sigmoid(a) + log(2.f * r + (f - 2.f * (r * f)));   // log of f (2r + (1-2r) f): f alone may be 0 in f32
    in.log_decay = log_w.view(shape) + range.log_decay.view({x.dim(0), H, 1});
  });
  m.norm = Norm::layer(s / "norm", o.frame.value, o.frame.norm_eps);
  return m;
}

}  // namespace headrace
