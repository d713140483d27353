// Where the sequences of a ragged batch lie, and the state that each continues from.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace headrace {

// Where the sequences of a ragged batch begin: sequence s has rows offsets[s] .. offsets[s+1].
struct Sequences {
  std::span<const int64_t> offsets;
  int count() const { return static_cast<int>(offsets.size()) - 1; }
  int64_t tokens() const { return offsets.back(); }
};

constexpr int page_tokens = 64;                    // tokens in a page of keys and values

// One named state of one layer and one sequence: a tensor, or pages of keys and values. Copies share memory;
// a primitive copies what is shared before it writes (copy-on-write), so a kept copy is a bookmark.
struct SlotValue {
  Tensor value;                          // f32; empty until first use
  std::vector<Tensor> pages;             // [Hkv*64*(K+V)] each; empty tensors have left every window
  int64_t length = 0;                    // tokens in pages
  size_t bytes() const;
};

// A primitive picks step, chunk or whole form by the lengths of the sequences.
struct Slot {
  Sequences sequences;
  std::vector<SlotValue*> values;        // one per sequence; empty: no state is carried. linear_scan: null for one without
};

}  // namespace headrace
