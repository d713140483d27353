// Feature maps: phi(q).phi(k) stands in for exp(q.k) in linear attention (ops/sequence.h's linear_scan, ops/whole.h). All are composed
// of ops, x [N,H,K] -> [N,H,features].
#pragma once
#include "ops/ops.h"

namespace headrace {

// Choromanski et al. 2020 (2009.14794), FAVOR+: phi(x) = M^-1/2 (exp(W x' - |x'|^2/2 - c) + eps), x' = K^-1/4 x, W [M,K]; c is a
// constant that keeps exp in range, one for all features of a head.
struct RandomFeatures { Tensor projected, exponent; };                     // W x' and W x' - |x'|^2/2, [N,H,M]
RandomFeatures random_features(const Tensor& x, const Tensor& W);
Tensor favor(const Tensor& exponent, const Tensor& c, float eps);          // c [N,H,1] or nothing
Tensor relu_features(const Tensor& x, const Tensor& W, float eps);         // relu(W x') + eps
// Zhang et al. 2024 (2402.04347), Hedgehog as LoLCATs has it: [softmax(y); softmax(-y)], at least 1e-12.
Tensor two_softmaxes(const Tensor& y);
// Arora et al. 2024 (2402.18668), Based: phi(q).phi(k) = 1 + s + s^2/2, s = q.k / sqrt(K); 1 + K + K^2 features.
Tensor taylor_features(const Tensor& x);
inline Tensor largest_feature(const Tensor& x) { return top_k(x, 1).values; }    // [N,H,M] -> [N,H,1]
// A tensor of one value.
Tensor constant(const Shape& shape, float value, Device device);

}  // namespace headrace
