// One query of one head and all that it sees, in double precision: what the definitions of attention's forward and backward share.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/kernels/attention.h"

namespace headrace::naive {

struct SeenRow {
  std::vector<int64_t> keys;             // places in the sequence
  std::vector<double> scores, weights, cut;   // cut: d score / d (scale q.k)
  double lse = 0;                        // entmax: its t
};
SeenRow seen_row(const AttentionArgs& a, int sequence, int head, int64_t t);   // t: of the sequence's queries

inline const float* query(const AttentionArgs& a, int sequence, int head, int64_t t) {
  return a.q + (a.sequences.offsets[sequence] + t) * a.q_stride + int64_t{head} * a.key;
}
// Element i of key j is key_of(...)[64 i].
inline const float* key_of(const AttentionArgs& a, int sequence, int head, int64_t j) {
  return a.keys[sequence].pages[j / page_tokens] + int64_t{head / (a.heads / a.kv_heads)} * a.key * page_tokens + j % page_tokens;
}
inline const float* value_of(const AttentionArgs& a, int sequence, int head, int64_t j) {
  return a.keys[sequence].pages[j / page_tokens] + int64_t{a.kv_heads} * page_tokens * a.key +
         ((head / (a.heads / a.kv_heads)) * page_tokens + j % page_tokens) * a.value;
}

}  // namespace headrace::naive
