// Patterns of sparse attention that depend on the lengths of the sequences.
#pragma once
#include <cstdint>

#include "ops/kernels/pattern.h"
#include "ops/slot.h"

namespace headrace {

// Zaheer et al. 2020, 2007.14062: a block of queries sees the first and the last block, itself and its neighbours, and `random`
// others, drawn for each head and sequence by its length alone; the first and the last block see all. Where that is all there is
// (fewer than 5 + 2 random blocks), attention is full.
struct BigBird {
  int64_t block = 64;
  int random = 3, heads = 1;
  uint64_t seed = 0;
};
Pattern bigbird_pattern(const BigBird& options, const Sequences& sequences);

}  // namespace headrace
