// The contract of log_linear's kernel.
#pragma once
#include <span>

#include "ops/kernels/linear_scan.h"

namespace headrace {

struct LogLinearArgs {
  LinearScanArgs scan;                             // as many heads everywhere, a decay per head; states: one [L-1,H,K,V] per sequence
  const float* levels; int64_t levels_stride;      // [N,H,L]
  int count;                                       // L
  std::span<const int32_t> positions;              // [N], one after the other within a sequence
};

}  // namespace headrace
