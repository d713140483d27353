// What stands around linear_scan where its answers are weighted means: the running maximum of log gates, and the division by
// the column that counts the weights.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/normalise.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

void RunningMax(Rows decay, Rows x, int64_t begin, int64_t end, float* m, Rows y, Rows fell) {
  strips(x.cols, [&](auto s) {
    V most = s.load(m);
    for (int64_t t = begin; t < end; ++t) {
      const V next = hn::Max(hn::Add(s.load(decay[t]), most), s.load(x[t]));
      s.store(next, y[t]), s.store(hn::Sub(most, next), fell[t]);
      most = next;
    }
    s.store(most, m);
  });
}

void Normalise(Rows x, Rows floor, float eps, int heads, Rows y, int64_t begin, int64_t end) {
  const int64_t W = y.cols / heads;
  for (int64_t t = begin; t < end; ++t)
    for (int h = 0; h < heads; ++h) {
      const float *from = x[t] + h * (W + 1), n = from[W];
      const V d = set(1 / ((floor.data ? std::max(std::abs(n), floor[t][h]) : n) + eps));
      strips(W, [&](auto s) { s.store(hn::Mul(s.load(from), d), y[t] + h * W); });
    }
}

void NormaliseBackward(Rows x, Rows floor, float eps, int heads, Rows dy, Rows dx, int64_t begin, int64_t end) {
  const int64_t W = dy.cols / heads;
  for (int64_t t = begin; t < end; ++t)
    for (int h = 0; h < heads; ++h) {
      const float *from = x[t] + h * (W + 1), *d_to = dy[t] + h * W, n = from[W];
      float* to = dx[t] + h * (W + 1);
      const float size = floor.data ? std::abs(n) : n, low = floor.data ? floor[t][h] : size, by = 1 / (std::max(size, low) + eps);
      strips(W, [&](auto s) { s.store(hn::Mul(s.load(d_to), set(by)), to); });
      to[W] = size < low ? 0.f : dot(to, from, W) * by * (floor.data && n < 0 ? 1.f : -1.f);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(RunningMax);
HWY_EXPORT(Normalise);
HWY_EXPORT(NormaliseBackward);

void running_max(Rows decay, Rows x, const Sequences& sequences, float* const* states, Rows y, Rows fell) {
  parallel(sequences.count(), 16, [&](int64_t b, int64_t e, int) {
    std::vector<float> fresh;
    for (int64_t s = b; s < e; ++s) {
      fresh.assign(static_cast<size_t>(x.cols), 0.f);
      HWY_DYNAMIC_DISPATCH(RunningMax)(decay, x, sequences.offsets[s], sequences.offsets[s + 1], states ? states[s] : fresh.data(), y, fell);
    }
  });
}
void normalise(Rows x, Rows floor, float eps, int heads, Rows y) {
  parallel(x.rows, std::max<int64_t>(1, 8192 / y.cols), [&](int64_t b, int64_t e, int) {
    HWY_DYNAMIC_DISPATCH(Normalise)(x, floor, eps, heads, y, b, e);
  });
}
void normalise_backward(Rows x, Rows floor, float eps, int heads, Rows dy, Rows dx) {
  parallel(x.rows, std::max<int64_t>(1, 8192 / dy.cols), [&](int64_t b, int64_t e, int) {
    HWY_DYNAMIC_DISPATCH(NormaliseBackward)(x, floor, eps, heads, dy, dx, b, e);
  });
}

}  // namespace headrace::cpu
#endif
