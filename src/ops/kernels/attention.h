// The contract of attention's kernels.
#pragma once
#include "ops/kernels/pattern.h"
#include "ops/slot.h"

namespace headrace {

// Keys and values of one sequence in pages: page p holds tokens [64 p, 64 p + 64) as keys [Hkv,K,64], then values [Hkv,64,V]:
// scores of a page are then a product of rows, q [.,K] times keys [K,64], and so is their sum of values. With log gates their
// sums follow, [H,64], over the tokens of the page up to each: small numbers, so that nothing of a late gate is lost.
struct KeyPages {
  float* const* pages;                             // null where a page has left every window
  int64_t length;                                  // tokens stored, the new ones included
};

// The sums of new log gates [N,H] within each page, `at` numbers from its beginning: the one definition, for all that run on the CPU.
inline void append_gates(Rows log_gates, int64_t at, const Sequences& sequences, const KeyPages* keys) {
  for (int s = 0; s < sequences.count(); ++s) {
    const int64_t begin = sequences.offsets[s], n = sequences.offsets[s + 1] - begin, past = keys[s].length - n;
    for (int64_t t = 0; t < n; ++t) {
      const int64_t place = (past + t) % page_tokens;
      float* sums = keys[s].pages[(past + t) / page_tokens] + at + place;
      for (int64_t h = 0; h < log_gates.cols; ++h)
        sums[h * page_tokens] = (place > 0 ? sums[h * page_tokens - 1] : 0) + log_gates[begin + t][h];
    }
  }
}

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
  float* lse = nullptr;                            // [N,H] or null: log of the denominator, 0 where nothing is seen; entmax: its t
  const float* alpha = nullptr;                    // [H] or null: alpha-entmax (ops/kernels/entmax.h) instead of softmax
  bool gates = false;                              // pages have sums of log gates: score += sum of those after j up to i
  const Pattern* pattern = nullptr;                // null: the window alone
  Sequences key_sequences = {};                    // not empty: keys are rows of their own; query t of a sequence stands at t

  int64_t first_query(int s) const {               // the position of a sequence's first query
    return key_sequences.offsets.empty() ? keys[s].length - (sequences.offsets[s + 1] - sequences.offsets[s]) : 0;
  }
  int64_t first_key_row(int s) const { return (key_sequences.offsets.empty() ? sequences : key_sequences).offsets[s]; }
  bool plain() const { return !alpha && !gates && !pattern && key_sequences.offsets.empty(); }
};

// From what the forward had and gave (y, lse) and dy, dlse. The gradients of keys and values are those of this call's rows: what a
// state held before is constant.
struct AttentionBackwardArgs {
  AttentionArgs forward;
  const float* dy; int64_t dy_stride;              // [N,H,V]
  const float* dlse;                               // [N,H] or null
  float *dq, *dk, *dv;                             // [N,H,K], [rows of keys,Hkv,K], [.,Hkv,V], whole
  float *dsinks, *dslopes, *dalpha;                // [H] or null
  float* dgates;                                   // [N,H] or null: of the log gates
};

}  // namespace headrace
