// The definitions of the loss, dropout, the sum of squares and Adam's step, in double precision (ops/kernels/training.h has the equations).
#include <cmath>

#include "base/random.h"
#include "ops/kernels/training.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {

void cross_entropy(const CrossEntropyArgs& a) {
  for (int64_t n = 0; n < a.x.rows; ++n) {
    double top = -HUGE_VAL, sum = 0, mean = 0;
    for (int64_t v = 0; v < a.x.cols; ++v) top = std::max(top, double{a.x[n][v]}), mean += a.x[n][v] / static_cast<double>(a.x.cols);
    for (int64_t v = 0; v < a.x.cols; ++v) sum += std::exp(a.x[n][v] - top);
    const double lse = top + std::log(sum);
    const int32_t t = a.targets[static_cast<size_t>(n)];
    a.lse[n] = static_cast<float>(lse);
    a.loss[n] = t < 0 ? 0 : static_cast<float>(lse - (1 - double{a.smoothing}) * a.x[n][t] - a.smoothing * mean + a.z * lse * lse);
    for (int64_t v = 0; a.dx.data && v < a.x.cols; ++v) {
      const double p = std::exp(a.x[n][v] - lse) * (1 + 2 * a.z * lse), target = v == t ? 1 - double{a.smoothing} : 0;
      a.dx[n][v] = t < 0 ? 0 : static_cast<float>(p - target - a.smoothing / static_cast<double>(a.x.cols));
    }
  }
}
void cross_entropy_backward(const CrossEntropyBackwardArgs& a) {
  for (int64_t n = 0; n < a.x.rows; ++n) {
    const int32_t t = a.targets[static_cast<size_t>(n)];
    const double lse = a.lse[n], spread = a.smoothing / static_cast<double>(a.x.cols);
    for (int64_t v = 0; v < a.x.cols; ++v) {
      const double p = std::exp(a.x[n][v] - lse) * (1 + 2 * a.z * lse);
      a.dx[n][v] = t < 0 ? 0 : static_cast<float>(a.dloss[n] * (p - (v == t ? 1 - double{a.smoothing} : 0) - spread));
    }
  }
}

void dropout(const DropoutArgs& a) {
  const Philox random{a.seed, a.stream};
  for (int64_t i = 0; i < a.x.rows; ++i)
    for (int64_t j = 0; j < a.x.cols; ++j)
      a.y[i][j] = random.uniform(static_cast<uint64_t>(i * a.x.cols + j)) < a.rate ? 0 : static_cast<float>(a.x[i][j] / (1 - double{a.rate}));
}

void square_sum(Rows x, double* sum) {
  *sum = 0;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) *sum += double{x[i][j]} * x[i][j];
}

void adam_step(const AdamArgs& a) {
  for (int64_t i = 0; i < a.count; ++i) {
    const double g = double{a.scale} * a.gradient[i];
    const double m = a.first[i] + (1 - double{a.beta1}) * (g - a.first[i]), v = a.second[i] + (1 - double{a.beta2}) * (g * g - a.second[i]);
    a.first[i] = static_cast<float>(m), a.second[i] = static_cast<float>(v);
    a.value[i] = static_cast<float>(a.value[i] - a.rate * (m * a.gain1 / (std::sqrt(v * a.gain2) + a.eps) + double{a.decay} * a.value[i]));
  }
}

}  // namespace headrace::naive
