// The contract of diag_scan's kernels.
#pragma once
#include "ops/slot.h"

namespace headrace {

enum class DiagScan { real, selective, rwkv4 };
struct DiagScanArgs {
  // real: h_t = exp(log_decay_t) h_{t-1} + x_t, y = h.                                     state [C]
  // selective (Mamba): h[c,n] = exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c]; y[c] = sum_n C[n] h[c,n]. state [C,N]
  // rwkv4: num, den, max of the weighted sums in log space, decay and bonus constant.      state [3,C]
  DiagScan kind;
  const float* x; int64_t x_stride;                // [N,C]; rwkv4: v
  const float* log_decay; int64_t decay_stride;    // real: [N,C]; selective: A [C,N]; rwkv4: w [C] (negative)
  const float* dt; int64_t dt_stride;              // selective: [N,C]; rwkv4: k
  const float* B; int64_t B_stride;                // selective: [N,N]; rwkv4: bonus u [C]
  const float* C; int64_t C_stride;
  float* y; int64_t y_stride;
  int channels, state;
  Sequences sequences;
  float* const* states;                            // in place; null: the initial state, not kept
};

}  // namespace headrace
