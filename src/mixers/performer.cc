// Performer (Choromanski et al. 2020, 2009.14794; equations: performer.h): the random matrix is stored, not drawn again, and not trained.
#include "mixers/performer.h"

#include "ops/feature_maps.h"

namespace headrace {

const MixerDoc Performer::doc{
    "performer", "linear attention", "Performer: positive orthogonal random features (FAVOR+)", "Choromanski et al. 2020 (2009.14794)",
    "phi(x) = M^-1/2 (exp(W x' - |x'|^2/2 - c) + 1e-4),  x' = K^-1/4 x;  kernel=relu: relu(W x') + 1e-3\n"
    "S_t = S_{t-1} + phi(k) v^T,  z_t = z_{t-1} + phi(k);  o = S_t^T phi(q) / (phi(q).z_t + eps);  y = W_o o",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V]; fixed: W [M, K]", "H M (V + 1) + H", "O(H M (K + V))", "O(T H M (K + V))",
    "mixers/performer.h"};

FeatureAttention Performer::bind(const Scope& s, const Options& o) {
  const Tensor W = s.matrix("projection_matrix", {o.features, o.frame.key}, Init::orthogonal_features().fixed());
  if (o.kernel == "relu")
    return FeatureAttention::bind(s, o.frame, [W](const Tensor& q, const Tensor& k, Pass) {
      return FeatureAttention::Features{relu_features(q, W, 1e-3f), relu_features(k, W, 1e-3f)};
    });
  return FeatureAttention::bind(s, o.frame, [W, causal = o.frame.causal](const Tensor& q, const Tensor& k, Pass p) {
    const RandomFeatures fq = random_features(q, W), fk = random_features(k, W);
    const KeyRange range = range_of_keys(fk.exponent, causal, p);
    return FeatureAttention::Features{favor(fq.exponent, largest_feature(fq.projected), 1e-4f), favor(fk.exponent, range.c, 1e-4f), range.log_decay};
  });
}

}  // namespace headrace
