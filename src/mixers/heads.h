// What mixers with heads share.
#pragma once
#include <cmath>
#include <vector>

#include "nn/layer.h"
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

// What the levels of a Fenwick tree of states are read with: softplus(L * W_l x), [N,H,levels] (Guo et al. 2025, 2506.04761).
struct Levels {
  Linear map;                                              // W_l [H levels, D]
  Tensor scale;                                            // L [H levels]
  int heads = 0, count = 0;
  static Levels bind(const Scope& s, int width, int heads, int count) {
    const int64_t all = int64_t{heads} * count;
    return {Linear::bind(s / "l_proj", width, all), s("L", {heads, count}, Init::ones().no_decay()).view({all}), heads, count};
  }
  Tensor operator()(const Tensor& x) const { return softplus(map(x) * scale).view({x.dim(0), heads, count}); }
};

}  // namespace headrace
