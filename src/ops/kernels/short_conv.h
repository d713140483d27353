// The contract of short_conv's kernels.
#pragma once
#include "ops/slot.h"

namespace headrace {

struct ShortConvArgs {
  Rows x, y;                                       // [N,C]
  const float* weight;                             // [C,taps], the last tap meets the current token; null: y_t = x_{t-1}
  const float* bias;                               // [C] or null
  int taps;
  bool silu;
  Sequences sequences;
  float* const* states;                            // one [taps-1,C] per sequence, oldest first, updated; null: zeros, not kept
};

struct ShortConvBackward {
  ShortConvArgs forward;                           // states: what they were before, or null; y is not read
  Rows dy, dx;
  float* dweight;                                  // [C,taps] or null
  float* dbias;                                    // [C] or null
  float* const* d_after;                           // [taps-1,C] per sequence: gradients of the states afterwards, or null
  float* const* d_before;                          // the same of those before, or null
};

}  // namespace headrace
