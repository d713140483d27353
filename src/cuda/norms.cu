// Norms and sums over heads: a block for each row and group.
#include "cuda/kernels.h"
#include "cuda/launch.h"

namespace headrace::cuda {
namespace {

constexpr int threads = 256;

// f(row, first column, width) in every thread of one block for each row and group.
template <class F>
__global__ void groups_kernel(int64_t cols, int groups, F f) {
  const int64_t width = cols / groups;
  f(blockIdx.x / groups, blockIdx.x % groups * width, width);
}
template <class F>
void for_groups(const char* name, Rows x, int groups, F f) {
  start(name, groups_kernel<F>, x.rows * groups, threads, 0, x.cols, groups, f);
}
// The sum of f(j) over [first, first + width), in every thread.
template <class F>
__device__ float sum_of(int64_t first, int64_t width, F f) {
  float sum = 0;
  for (int64_t j = first + threadIdx.x; j < first + width; j += threads) sum += f(j);
  return block_sum(sum);
}

}  // namespace

void rms_norm(Rows x, const float* w, float offset, float eps, int groups, Rows y) {
  for_groups("rms_norm", x, groups, [=] __device__(int64_t i, int64_t first, int64_t n) {
    const float r = 1 / sqrtf(sum_of(first, n, [&](int64_t j) { return x[i][j] * x[i][j]; }) / n + eps);
    for (int64_t j = first + threadIdx.x; j < first + n; j += threads) y[i][j] = x[i][j] * r * (w ? offset + w[j] : 1);
  });
}
void layer_norm(Rows x, const float* w, const float* b, float eps, int groups, Rows y) {
  for_groups("layer_norm", x, groups, [=] __device__(int64_t i, int64_t first, int64_t n) {
    const float mean = sum_of(first, n, [&](int64_t j) { return x[i][j]; }) / n;
    const float r = 1 / sqrtf(sum_of(first, n, [&](int64_t j) { return (x[i][j] - mean) * (x[i][j] - mean); }) / n + eps);
    for (int64_t j = first + threadIdx.x; j < first + n; j += threads) y[i][j] = (x[i][j] - mean) * r * (w ? w[j] : 1) + (b ? b[j] : 0);
  });
}
void l2_norm(Rows x, float eps, bool clamp, int groups, Rows y) {
  for_groups("l2_norm", x, groups, [=] __device__(int64_t i, int64_t first, int64_t n) {
    const float square = sum_of(first, n, [&](int64_t j) { return x[i][j] * x[i][j]; });
    const float r = clamp ? 1 / fmaxf(sqrtf(square), eps) : 1 / sqrtf(square + eps);
    for (int64_t j = first + threadIdx.x; j < first + n; j += threads) y[i][j] = x[i][j] * r;
  });
}
void head_dot(Rows a, Rows b, const float* w, int heads, Rows y) {
  for_groups("head_dot", a, heads, [=] __device__(int64_t i, int64_t first, int64_t n) {
    const float sum = sum_of(first, n, [&](int64_t j) { return a[i][j] * b[i][j] * (w ? w[j] : 1); });
    if (threadIdx.x == 0) y[i][first / n] = sum;
  });
}

}  // namespace headrace::cuda
