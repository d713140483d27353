// What the benches share: the time of a call, and numbers to call it with.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

#include "base/random.h"
#include "tensor/tensor.h"

namespace headrace {

// Seconds of each of `repetitions` calls, the shortest first.
inline std::vector<double> sorted_seconds(int repetitions, const auto& f) {
  std::vector<double> t;
  for (int i = 0; i < repetitions; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    t.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(t.begin(), t.end());
  return t;
}
inline double median_seconds(int repetitions, const auto& f) { return sorted_seconds(repetitions, f)[static_cast<size_t>(repetitions / 2)]; }
inline double least_ms(int repetitions, const auto& f) { return 1e3 * sorted_seconds(repetitions, f)[0]; }

// Uniform around `offset`, to `scale` on either side.
inline Tensor random(const Shape& shape, uint32_t seed, float scale = 1, float offset = 0) {
  Tensor x = Tensor::empty(shape);
  uint32_t s = seed;
  for (int64_t i = 0; i < x.count(); ++i) s = s * 1664525u + 1013904223u, x.f32()[i] = offset + scale * (static_cast<float>(s >> 8) / (1 << 23) - 1);
  return x;
}
inline Tensor random_normal(const Shape& shape, uint64_t seed, float scale = 1) {
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] = scale * static_cast<float>(Philox{seed}.normal(static_cast<uint64_t>(i)));
  return x;
}

}  // namespace headrace
