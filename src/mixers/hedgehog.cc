// Hedgehog's three feature maps (Zhang et al. 2024, 2402.04347; equations: hedgehog.h), each beginning as the identity.
#include "mixers/hedgehog.h"

#include "ops/feature_maps.h"

namespace headrace {

const MixerDoc Hedgehog::doc{
    "hedgehog", "linear attention", "Hedgehog: a learned map that imitates softmax", "Zhang et al. 2024 (2402.04347)",
    "y = W_phi x by head;  phi(x) = [softmax(y); softmax(-y)], exp: [e^y; e^-y], joint: softmax([2y; -2y])\n"
    "S_t = S_{t-1} + phi(k) v^T,  z_t = z_{t-1} + phi(k);  o = S_t^T phi(q) / (phi(q).z_t + eps);  y = W_o o",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V], W_phi of q and of k [H, K, K]", "2 H K (V + 1)", "O(H K (K + V))", "O(T H K (K + V))",
    "mixers/hedgehog.h"};

namespace {

// y of q or k [N,H,K].
std::function<Tensor(const Tensor&)> learned(const Scope& s, const Hedgehog::Options& o) {
  const int64_t H = o.frame.heads, K = o.frame.key;
  const Init identity = Init::by_element([K](int64_t i) { return i % (K * K) / K == i % K; });
  if (o.by_head)
    return [w = (s / "mlp")("layer", {H, K, K}, identity)](const Tensor& x) {
      return block_linear(x.view({x.dim(0), w.dim(0) * w.dim(1)}), w, {}).view(x.shape());
    };
  return [layer = Linear::bind(s / "layer", K, K, true, identity)](const Tensor& x) { return layer(x); };
}

}  // namespace

FeatureAttention Hedgehog::bind(const Scope& s, const Options& o) {
  using Features = FeatureAttention::Features;
  const auto q_map = learned(s / "feature_map_q", o), k_map = learned(s / "feature_map_k", o);
  const auto halves = [](const Tensor& y, float scale) { return concat({scale * y, -scale * y}); };
  if (o.map == "softmax")
    return FeatureAttention::bind(s, o.frame, [=](const Tensor& q, const Tensor& k, Pass) {
      return Features{two_softmaxes(q_map(q)), two_softmaxes(k_map(k))};
    });
  if (o.map == "joint")
    return FeatureAttention::bind(s, o.frame, [=](const Tensor& q, const Tensor& k, Pass) {
      return Features{softmax(halves(q_map(q), 2)), softmax(halves(k_map(k), 2))};
    });
  return FeatureAttention::bind(s, o.frame, [=, causal = o.frame.causal](const Tensor& q, const Tensor& k, Pass p) {
    const Tensor a = halves(q_map(q), 1), b = halves(k_map(k), 1);
    const KeyRange range = range_of_keys(b, causal, p);
    return Features{exp(a - largest_feature(a)), exp(b - range.c), range.log_decay};
  });
}

}  // namespace headrace
