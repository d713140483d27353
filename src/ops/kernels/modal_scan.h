// The contract of modal_scan's kernels: a long convolution whose filter is a sum of N modes by channel, as a recurrence.
#pragma once
#include "ops/slot.h"

namespace headrace {

// x_t[n] = pole[n] x_{t-1}[n] + u_t,  y_t = Re sum_n residue[n] x_t[n], by channel. pole, residue and the state are [2 N,C]: real parts,
// then imaginary ones, channels side by side. Coupled, x_t[n] = pole[n] x_{t-1}[n] - column[n] Re sum_m row[m] x_{t-1}[m] + input[n] u_t.
struct ModalScanArgs {
  Rows u, y;                                       // [tokens,C]
  Rows pole, residue;                              // [2 N,C]
  Sequences sequences;
  float* const* states;                            // [2 N,C] in place; null: zero, not kept
  Rows input = {}, column = {}, row = {};          // [2 N,C], or none of them
  constexpr bool coupled() const { return row.rows > 0; }
};

// A gradient of a complex number is that of its real part plus i times that of its imaginary part.
struct ModalScanBackwardArgs {
  ModalScanArgs forward;                           // y and states are not used
  Rows dy, du;                                     // [tokens,C]
  Rows dpole, dresidue;                            // [2 N,C]
  const float* const* before;                      // the state of each sequence before it; null, or null for one: zero
  const float* const* d_after;                     // gradients of the states after; null, or null for one: zero
  float* const* d_before;                          // null, or null for one: not wanted
  Rows dinput = {}, dcolumn = {}, drow = {};       // [2 N,C] where it is coupled
};

}  // namespace headrace
