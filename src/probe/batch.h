// Samples as one ragged batch, one sequence after the other, and as padded tensors for a file.
#pragma once
#include <cstdint>
#include <vector>

#include "io/tensor_file.h"
#include "probe/probe.h"

namespace headrace {

struct ProbeBatch {
  std::vector<Sample> samples;
  int64_t tokens() const;
};
// Samples begin..begin+count-1, drawn on all threads.
ProbeBatch draw_batch(const Task& task, uint64_t seed, Split split, uint64_t begin, int64_t count);

// input_ids, targets [B,T] i64 (padding: 0 and -100), mask [B,T] u8, lengths [B] i64; x [B,T,inputs], y [B,T,outputs] f32 where the task has
// them; decoded [B,D] i64; also [A,3] i64: sample, position, token.
std::vector<NamedTensor> padded(const Task& task, const ProbeBatch& batch);

}  // namespace headrace
