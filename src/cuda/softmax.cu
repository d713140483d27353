// Softmax, alpha-entmax, sums and the largest of rows: a block for each row.
#include "cuda/kernels.h"
#include "cuda/entmax.h"
#include "cuda/launch.h"

namespace headrace::cuda {
namespace {

// Larger numbers have larger ranks, and of equal ones the first; NaN is the largest of all. No two places of a row share one.
__device__ uint64_t rank_of(float v, int64_t column) {
  uint32_t bits = isnan(v) ? 0x7fffffffu : __float_as_uint(v == 0 ? 0.f : v);
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  return uint64_t{bits} << 32 | (0xfffffffeu - static_cast<uint32_t>(column));
}

}  // namespace

void softmax(Rows x, Rows y) {
  for_blocks("softmax", x.rows, [=] __device__(int64_t i) {
    float top = -INFINITY, sum = 0;
    for (int64_t j = threadIdx.x; j < x.cols; j += block_threads) top = fmaxf(top, x[i][j]);
    top = block_max(top);
    for (int64_t j = threadIdx.x; j < x.cols; j += block_threads) sum += expf(x[i][j] - top);
    sum = block_sum(sum);
    for (int64_t j = threadIdx.x; j < x.cols; j += block_threads) y[i][j] = expf(x[i][j] - top) / sum;
  });
}

// alpha lies on the device, as all tensors of the op do.
void entmax(Rows x, std::span<const float> alpha, Rows y) {
  for_blocks("entmax", x.rows, [=, alphas = alpha.data(), one = alpha.size() == 1] __device__(int64_t i) {
    const Entmax p = entmax_of(alphas[one ? 0 : i], x.cols, x.cols, [&](int64_t j) { return double{x[i][j]}; });
    for (int64_t j = threadIdx.x; j < x.cols; j += block_threads) y[i][j] = static_cast<float>(p.value(x[i][j]));
  });
}

// Of equal numbers the first come first; the CPU's order among them is its library's.
void top_k(Rows x, Rows values, int64_t* columns) {
  expect(x.cols < int64_t{0xffffffff}, "cuda: top_k: rows of ", x.cols);
  const int64_t k = values.cols;
  if (k == 0) return;
  for_blocks("top_k", x.rows, [=] __device__(int64_t i) {
    uint64_t last = UINT64_MAX;                    // above every rank
    for (int64_t n = 0; n < k; ++n) {
      uint64_t best = 0;
      for (int64_t j = threadIdx.x; j < x.cols; j += block_threads)
        if (const uint64_t r = rank_of(x[i][j], j); r < last && r > best) best = r;
      last = block_max(best);
      if (threadIdx.x > 0) continue;
      const auto column = static_cast<int64_t>(0xfffffffeu - static_cast<uint32_t>(last));
      values[i][n] = x[i][column], columns[i * k + n] = column;
    }
  });
}

void sum(Rows x, bool over_rows, float* y) {
  if (over_rows) {
    for_each("sum", x.cols, [=] __device__(int64_t j) {
      double sum = 0;
      for (int64_t i = 0; i < x.rows; ++i) sum += x[i][j];
      y[j] = static_cast<float>(sum);
    });
    return;
  }
  for_blocks("sum", x.rows, [=] __device__(int64_t i) {
    double sum = 0;
    for (int64_t j = threadIdx.x; j < x.cols; j += block_threads) sum += x[i][j];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[i] = static_cast<float>(sum);
  });
}

}  // namespace headrace::cuda
