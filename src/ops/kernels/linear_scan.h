// The contracts of linear_scan's kernels.
#pragma once
#include "ops/slot.h"

namespace headrace {

struct LinearScanArgs {
  const float *q, *k, *v;                          // [N,Hq,K], [N,Hk,K], [N,Hv,V]; each divides H: head h reads h / (H/Hq)
  int64_t q_stride, k_stride, v_stride;
  float* y; int64_t y_stride;                      // [N,H,V]
  int heads, q_heads, k_heads, v_heads, key, value;
  Sequences sequences;
  const float* log_decay;                          // null: none
  int64_t decay_stride;                            // between rows; 0: constant in time
  bool decay_per_key;                              // [.,H,K] or [.,H]
  const float* a; const float* b;                  // [N,H,K]: S += b (a^T S); null: none. a reads the undecayed state
  int64_t a_stride, b_stride;
  const float* beta; int64_t beta_stride;          // [N,H]: delta rule, decay first; null: none
  const float* bonus;                              // [H,K]: read before the update plus bonus; null: read after it
  float scale;
  float* const* states;                            // one [H,K,V] per sequence, updated in place; null, or null for one: zero, not kept
};

// Gradients, one for each head and token: the op sums those of heads that share a row, and of a decay that is constant in time.
struct LinearScanBackward {
  LinearScanArgs forward;                          // y and states are not used
  const float* const* first;                       // [H,K,V]: what each sequence began with; null, or null for one: zero
  const float* dy;                                 // [N,H,V]
  float* const* d_states;                          // [H,K,V] per sequence: of its last state, becomes that of its first; null, or null for one: zero
  float *dq, *dk, *dv;                             // [N,H,K], [N,H,K], [N,H,V]
  float* d_decay;                                  // [N,H] or [N,H,K]; null where there is none, as all that follow
  float *da, *db;                                  // [N,H,K]
  float* d_beta;                                   // [N,H]
  float* d_bonus;                                  // [sequences,H,K]
};

}  // namespace headrace
