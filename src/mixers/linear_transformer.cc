// Linear Transformer (Katharopoulos et al. 2020, 2006.16236; equations: linear_transformer.h): the frame with elu + 1 on both sides.
#include "mixers/linear_transformer.h"

namespace headrace {

const MixerDoc LinearTransformer::doc{
    "linear_transformer", "linear attention", "Linear Transformer: elu(x) + 1 in place of softmax", "Katharopoulos et al. 2020 (2006.16236)",
    "phi(x) = elu(x) + 1;  S_t = S_{t-1} + phi(k) v^T,  z_t = z_{t-1} + phi(k)\n"
    "o = S_t^T phi(q) / (phi(q).z_t + eps);  y = W_o o",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V]", "H K (V + 1)", "O(H K V)", "O(T H K V)", "mixers/linear_transformer.h"};

FeatureAttention LinearTransformer::bind(const Scope& s, const Options& o) {
  return FeatureAttention::bind(s, o.frame, [](const Tensor& q, const Tensor& k, Pass) {
    return FeatureAttention::Features{elu_plus_one(q), elu_plus_one(k)};
  });
}

}  // namespace headrace
