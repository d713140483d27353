// The contract of diag_scan's kernels.
#pragma once
#include "ops/slot.h"

namespace headrace {

enum class DiagScan { real, selective, rwkv4, complex };
struct DiagScanArgs {
  // real: h_t = exp(log_decay_t) h_{t-1} + x_t, y = h.                                     state [C]
  // selective (Mamba): h[c,n] = exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c]; y[c] = sum_n C[n] h[c,n]. state [C,N]
  // rwkv4: num, den, max of the weighted sums in log space, decay and bonus constant.      state [3,C]
  // complex: h_t = a_t h_{t-1} + x_t, y = h; a, x, h are rows of C real parts, then C imaginary ones. state [2,C]
  DiagScan kind;
  const float* x; int64_t x_stride;                // [N,C]; rwkv4: v; complex: [N,2C]
  // real: [N,C], or [C] with stride 0; complex: a, [N,2C] or [2C]; selective: A [C,N]; rwkv4: w [C] (negative)
  const float* log_decay; int64_t decay_stride;
  const float* dt; int64_t dt_stride;              // selective: [N,C]; rwkv4: k
  const float* B; int64_t B_stride;                // selective: [N,N]; rwkv4: bonus u [C]
  const float* C; int64_t C_stride;
  float* y; int64_t y_stride;
  int channels, state;
  Sequences sequences;
  float* const* states;                            // in place; null: the initial state, not kept
};

// Gradients of what came in. Rows of results are whole: [N,C] (complex [N,2C], selective's B and C [N,N]); where an input is
// constant in time, its gradient has the input's shape and is summed over all tokens.
struct DiagScanBackwardArgs {
  DiagScanArgs forward;                            // as it was; y: what came out. states: unused
  const float* dy; int64_t dy_stride;              // null: zero
  const float* const* before;                      // the state of each sequence before it; null, or null for one: fresh
  const float* const* d_after;                     // gradients of the states after; null, or null for one: zero
  float *dx, *d_decay, *d_dt, *dB, *dC;            // rwkv4: dv, dw, dk, du
  float* const* d_before;                          // gradients of the states before; null, or null for one: not wanted
};

}  // namespace headrace
