// Feature maps composed of ops (papers: feature_maps.h); their gradients come from the tape.
#include "ops/feature_maps.h"

#include <cmath>

#include "ops/run.h"

namespace headrace {

Tensor constant(const Shape& shape, float value, Device device) {
  const PauseTape pause;
  const Tensor one = exp(Tensor::zeros(shape, DType::f32, device));
  return value == 1 ? one : value * one;
}

namespace {
Tensor scaled(const Tensor& x) { return std::pow(static_cast<float>(x.dim(2)), -0.25f) * x; }
Tensor with(const Tensor& x, float eps) { return x + constant({x.dim(-1)}, eps, x.device()); }
Tensor projected(const Tensor& x, const Tensor& W) {       // x whole [N,H,K]
  expect(W.rank() == 2 && W.dim(1) == x.dim(2), "random features: x ", x.shape(), " W ", W.shape());
  return linear(x, W);                           // a row's sums do not depend on the rows beside it
}
}  // namespace

RandomFeatures random_features(const Tensor& x, const Tensor& W) {
  const Tensor y = scaled(x), p = projected(y, W);
  return {p, p - (0.5f * sum_columns(y * y)).view({x.dim(0), x.dim(1), 1})};
}
Tensor favor(const Tensor& exponent, const Tensor& c, float eps) {
  const float size = 1 / std::sqrt(static_cast<float>(exponent.dim(2)));
  return size * with(exp(c ? exponent - c : exponent), eps);
}
Tensor relu_features(const Tensor& x, const Tensor& W, float eps) { return with(unary(Unary::relu, projected(scaled(x), W)), eps); }

Tensor two_softmaxes(const Tensor& y) { return at_least(concat({softmax(y), softmax(-1.f * y)}), 1e-12f); }

Tensor taylor_features(const Tensor& x) {
  const int64_t N = x.dim(0), H = x.dim(1), K = x.dim(2);
  expect(K <= 512, "taylor_features: ", K, " channels of a head would be ", K, " times as many features");
  const Tensor y = scaled(x), half = std::sqrt(0.5f) * y;
  std::vector<Tensor> parts{constant({N, H, 1}, 1, x.device()), y};
  for (int64_t i = 0; i < K; ++i) parts.push_back(half * y.slice(-1, i, 1));
  return concat(parts);
}

}  // namespace headrace
