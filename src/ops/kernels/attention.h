// The contract of attention's kernels.
#pragma once
#include "ops/slot.h"

namespace headrace {

// Keys and values of one sequence in pages: page p holds tokens [64 p, 64 p + 64) as keys [Hkv,K,64], then values [Hkv,64,V]:
// scores of a page are then a product of rows, q [.,K] times keys [K,64], and so is their sum of values.
struct KeyPages {
  float* const* pages;                             // null where a page has left every window
  int64_t length;                                  // tokens stored, the new ones included
};

struct AttentionArgs {
  const float* q; int64_t q_stride;                // [N,H,K], rows q_stride apart
  float* y; int64_t y_stride;                      // [N,H,V]
  int heads, kv_heads, key, value;
  Sequences sequences;
  const KeyPages* keys;                            // one per sequence; the last rows of each are the queries' own tokens
  float scale;
  float cap;                                       // 0: none; scores become cap * tanh(score / cap)
  int64_t window_left, window_right;               // keys j with i - left < j <= i + right; left 0: no bound. causal: right 0
  const float* sinks;                              // [H] or null: one more logit in the denominator
  const float* slopes;                             // [H] or null: ALiBi, score -= slope * (i - j)
};

}  // namespace headrace
