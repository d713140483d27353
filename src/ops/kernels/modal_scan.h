// The contract of modal_scan's kernels: a long convolution whose filter is a sum of N modes by channel, as a recurrence.
#pragma once
#include "ops/slot.h"

namespace headrace {

// x_t[n] = pole[n] x_{t-1}[n] + u_t,  y_t = Re sum_n residue[n] x_t[n], by channel. pole, residue and the state are [2 N,C]: real parts,
// then imaginary ones, channels side by side.
struct ModalScanArgs {
  Rows u, y;                                       // [tokens,C]
  Rows pole, residue;                              // [2 N,C]
  Sequences sequences;
  float* const* states;                            // [2 N,C] in place; null: zero, not kept
};

// A gradient of a complex number is that of its real part plus i times that of its imaginary part.
struct ModalScanBackwardArgs {
  ModalScanArgs forward;                           // y and states are not used
  Rows dy, du;                                     // [tokens,C]
  Rows dpole, dresidue;                            // [2 N,C]
  const float* const* before;                      // the state of each sequence before it; null, or null for one: zero
  const float* const* d_after;                     // gradients of the states after; null, or null for one: zero
  float* const* d_before;                          // null, or null for one: not wanted
};

}  // namespace headrace
