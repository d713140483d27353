// The contract of long_conv's kernels.
#pragma once
#include <span>

#include "tensor/tensor.h"

namespace headrace {

// y[i] += sum_j k[lag + i - j] u[j] for every channel: what some inputs give to some outputs; taps outside [0, taps) are zero. A whole
// sequence is one piece with lag 0, and so is all that streaming needs (ops/long_conv.cc). Pieces do not write to the same rows.
struct LongConvPiece {
  Rows u, y;                                       // [inputs,C], [outputs,C]
  int64_t lag;
};

struct LongConvArgs {
  enum class Of {
    y,
    u,                                             // u[j] += sum_i k[lag + i - j] y[i]: y holds dy, u becomes du
    filter,                                        // k[l] += sum over pieces and i - j = l - lag of u[j] y[i]
  } of;
  float* filter;                                   // [C,taps], rows `stride` apart
  int64_t taps, stride;
  std::span<const LongConvPiece> pieces;
};

}  // namespace headrace
