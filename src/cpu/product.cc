// Products of plain matrices, for training and for the definitions' inputs: by OpenBLAS on each of our threads, cut along the longer side
// of the result; and the gradient of an embedding. How a row is summed goes with how many there are, so a model that runs packs its
// matrices (linear.cc), where it does not.
#include <algorithm>

#include "base/blas.h"
#include "base/parallel.h"
#include "cpu/kernels.h"
#include "cpu/product_bf16.h"

namespace headrace::cpu {

void product(const MatrixProduct& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.bf16) return product_bf16(p);
  const bool by_rows = p.m >= p.n;
  const int64_t side = by_rows ? p.m : p.n, other = by_rows ? p.n : p.m, unit = 16;
  const Blas& library = blas();
  parallel((side + unit - 1) / unit, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, unit * other * p.k)), [&](int64_t b, int64_t e, int) {
    const int64_t from = b * unit, n = std::min(side, e * unit) - from;
    const float* A = by_rows ? p.a + (p.a_transposed ? from : from * p.lda) : p.a;
    const float* B = by_rows ? p.b : p.b + (p.b_transposed ? from * p.ldb : from);
    float* C = p.c + (by_rows ? from * p.ldc : from);
    library.sgemm(CblasRowMajor, p.a_transposed ? CblasTrans : CblasNoTrans, p.b_transposed ? CblasTrans : CblasNoTrans,
                  static_cast<int>(by_rows ? n : p.m), static_cast<int>(by_rows ? p.n : n), static_cast<int>(p.k), 1.f, A, static_cast<int>(p.lda),
                  B, static_cast<int>(p.ldb), p.add ? 1.f : 0.f, C, static_cast<int>(p.ldc));
  });
}

// Each thread adds its own columns, so that no two write to one number and sums repeat.
void embedding_backward(std::span<const int32_t> ids, Rows dy, Rows dtable) {
  parallel((dy.cols + 15) / 16, 4, [&](int64_t b, int64_t e, int) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const float* from = dy[static_cast<int64_t>(i)];
      float* to = dtable[ids[i]];
      for (int64_t j = b * 16; j < std::min(dy.cols, e * 16); ++j) to[j] += from[j];
    }
  });
}

}  // namespace headrace::cpu
