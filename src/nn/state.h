// State is a value: everything a model carries of one sequence. Copy is fork (memory is shared until one side writes),
// a kept copy is a bookmark, assigning it back is rollback. run/state_file.h saves and loads it.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "ops/slot.h"

namespace headrace {

struct State {
  static constexpr int slots_per_layer = 8;
  struct Layer {
    std::array<const char*, slots_per_layer> names{};   // static strings; null: free
    std::array<SlotValue, slots_per_layer> values;
    SlotValue& at(const char* name);                    // finds or takes a free one; throws Error over eight
  };
  int64_t tokens = 0;                                   // how many the state has seen; the next token's position
  std::vector<Layer> layers;
  Tensor last_logits;                                   // [vocab] on the cpu, after the last token; may be empty
  size_t bytes() const;
};

// What a forward pass does otherwise while a model is trained.
struct Training {
  float dropout = 0;                                    // of each sublayer's output, and of the embedding
  bool recompute = false;                               // layers keep their inputs only; backward computes the rest again
  Philox random;                                        // of this pass
  uint64_t draws = 0;                                   // dropouts so far
};

// A ragged batch on its way through the layers. tokens lie one sequence after the other.
struct Batch {
  std::vector<int64_t> offsets{0};                      // [S+1]
  std::vector<int32_t> positions;                       // [N]
  std::vector<State*> states;                           // one per sequence, or none at all
  std::map<std::string, Tensor> shared;                 // what one layer hands to later ones (RWKV-7's first value)
  std::optional<Training> training;
  void add(int64_t tokens, State* state = nullptr);     // positions go on from the state's
};

// What a layer sees: the batch and its own place in the stack.
struct Pass {
  Batch* batch;
  int layer = 0;
  Slot slot(const char* name) const;
  Tensor dropped(const Tensor& x) const;                // dropout where the model is trained with it, else x
  std::span<const int32_t> positions() const { return batch->positions; }
  Pass at(int l) const { return {batch, l}; }
};

}  // namespace headrace
