// Sequences as wholes: every token sees all of its own, later ones too, so there is nothing to continue from. x [N,...] holds the tokens
// of a ragged batch (ops/slot.h). A slot that carries states is an error: "softmax_over_time: cannot continue: not causal".
#pragma once
#include <vector>

#include "ops/ops.h"
#include "ops/slot.h"

namespace headrace {

void expect_whole(const char* op, const Slot& slot);
Tensor softmax_over_time(const Tensor& x, const Slot& slot);        // by channel
Tensor max_over_time(const Tensor& x, const Slot& slot);            // by channel, the same for every token
// o_t = (sum of k_s v_s^T over all s)^T q_t by head. q, k [N,H,K], v [N,H,V] -> [N,H,V]. Linear in T.
Tensor linear_whole(const Tensor& q, const Tensor& k, const Tensor& v, const Slot& slot);

// f(first row, rows, sequence) of each sequence that has tokens, one after the other; of no rows where none has.
template <class F>
Tensor each_sequence(const Sequences& sequences, F f) {
  std::vector<Tensor> parts;
  for (int s = 0; s < sequences.count(); ++s)
    if (const int64_t n = sequences.offsets[s + 1] - sequences.offsets[s]; n > 0) parts.push_back(f(sequences.offsets[s], n, s));
  if (parts.empty()) return f(int64_t{0}, int64_t{0}, 0);
  return parts.size() == 1 ? parts[0] : concat_rows(parts);
}

}  // namespace headrace
