// The definition of long_conv's pieces in double precision: sums over all pairs of an input and an output (ops/kernels/long_conv.h).
#include <algorithm>
#include <vector>

#include "ops/kernels/long_conv.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {

void long_conv(const LongConvArgs& a) {
  if (a.pieces.empty()) return;
  using Of = LongConvArgs::Of;
  std::vector<double> sums;
  for (int64_t c = 0; c < a.pieces[0].u.cols; ++c) {
    float* k = a.filter + c * a.stride;
    std::vector<double> dk(static_cast<size_t>(a.taps));
    for (const LongConvPiece& p : a.pieces) {
      sums.assign(static_cast<size_t>(a.of == Of::u ? p.u.rows : p.y.rows), 0);
      for (int64_t i = 0; i < p.y.rows; ++i)
        for (int64_t j = std::max<int64_t>(0, p.lag + i - a.taps + 1); j < std::min(p.u.rows, p.lag + i + 1); ++j) {
          const int64_t l = p.lag + i - j;
          if (a.of == Of::y) sums[static_cast<size_t>(i)] += double{k[l]} * p.u[j][c];
          else if (a.of == Of::u) sums[static_cast<size_t>(j)] += double{k[l]} * p.y[i][c];
          else dk[static_cast<size_t>(l)] += double{p.u[j][c]} * p.y[i][c];
        }
      const Rows& to = a.of == Of::u ? p.u : p.y;
      for (int64_t i = 0; a.of != Of::filter && i < to.rows; ++i) to[i][c] = static_cast<float>(to[i][c] + sums[static_cast<size_t>(i)]);
    }
    for (int64_t l = 0; a.of == Of::filter && l < a.taps; ++l) k[l] = static_cast<float>(k[l] + dk[static_cast<size_t>(l)]);
  }
}

}  // namespace headrace::naive
