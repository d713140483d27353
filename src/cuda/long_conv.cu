// long_conv as plain sums (ops/kernels/long_conv.h): a thread for each number that changes.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "ops/kernels/long_conv.h"

namespace headrace::cuda {

void long_conv(const LongConvArgs& a) {
  using Of = LongConvArgs::Of;
  expect(a.of != Of::filter, "cuda: the kernel 'long_conv' gives no gradient of filters");
  const bool of_y = a.of == Of::y;
  for (const LongConvPiece& piece : a.pieces) {
    const Rows to = of_y ? piece.y : piece.u;
    for_each("long_conv", to.rows * to.cols, [=, p = piece, filter = a.filter, stride = a.stride, taps = a.taps] __device__(int64_t at) {
      const int64_t r = at / to.cols, c = at % to.cols;
      const float* k = filter + c * stride;
      double sum = 0;
      if (of_y) {                                  // tap lag + r - j meets u[j]
        const int64_t begin = max(int64_t{0}, p.lag + r - taps + 1), end = min(p.u.rows, p.lag + r + 1);
        for (int64_t j = begin; j < end; ++j) sum += double{k[p.lag + r - j]} * p.u[j][c];
      } else {                                     // tap lag + i - r meets y[i]
        const int64_t begin = max(int64_t{0}, r - p.lag), end = min(p.y.rows, r - p.lag + taps);
        for (int64_t i = begin; i < end; ++i) sum += double{k[p.lag + i - r]} * p.y[i][c];
      }
      to[r][c] = static_cast<float>(to[r][c] + sum);
    });
  }
}

}  // namespace headrace::cuda
