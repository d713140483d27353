// What mixers with heads share.
#pragma once
#include <cmath>
#include <vector>

#include "ops/ops.h"

namespace headrace {

// Each head `times` in a row: [N,G,D] -> [N,G times,D].
inline Tensor repeat_heads(const Tensor& x, int64_t times) {
  if (times == 1) return x;
  const int64_t N = x.dim(0), G = x.dim(1), D = x.dim(2);
  const Tensor rows = (x.contiguous() ? x : concat({x})).view({N * G, D});
  return concat(std::vector<Tensor>(static_cast<size_t>(times), rows)).view({N, G * times, D});
}
// Numbers that are no parameter, where the parameters are.
inline Tensor constants(const std::vector<float>& values, const Shape& shape, Device device) {
  return device == Device::meta ? Tensor::empty(shape, DType::f32, device) : copy_to(Tensor::from(values, shape), device);
}
// ALiBi's slopes (Press et al. 2021, 2108.12409): geometric over the heads of a power of two; the heads above it take every other one of the
// next power's.
inline std::vector<double> alibi_slopes(int heads) {
  int power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<double> s;
  for (int h = 0; h < power; ++h) s.push_back(std::exp2(-8.0 * (h + 1) / power));
  for (int h = 0; h < heads - power; ++h) s.push_back(std::exp2(-8.0 * (2 * h + 1) / (2 * power)));
  return s;
}
// v [H], as often as a head has channels: [H D].
inline Tensor over_channels(const Tensor& v, int64_t channels) {
  const int64_t H = v.count();
  return scale_heads(exp(Tensor::zeros({1, H, channels}, DType::f32, v.device())), v.view({1, H})).view({H * channels});
}

}  // namespace headrace
