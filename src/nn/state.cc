// Slots by name within a layer, made when a primitive first asks for them, and the ragged batch that brings sequences and states together.
#include "nn/state.h"

#include <cstring>

#include "base/error.h"
#include "ops/training.h"

namespace headrace {

SlotValue& State::Layer::at(const char* name) {
  for (int i = 0; i < slots_per_layer; ++i) {
    if (names[i] == nullptr) names[i] = name;
    if (names[i] == name || std::strcmp(names[i], name) == 0) return values[i];
  }
  fail("state: a layer has at most ", slots_per_layer, " slots; '", name, "' is one too many");
}

size_t State::bytes() const {
  size_t n = 0;
  for (const Layer& l : layers)
    for (const SlotValue& v : l.values) n += v.bytes();
  return n;
}

void Batch::add(int64_t tokens, State* state) {
  int64_t first = state ? state->tokens : 0;
  for (int64_t i = 0; i < tokens; ++i) positions.push_back(static_cast<int32_t>(first + i));
  offsets.push_back(offsets.back() + tokens);
  if (state) states.push_back(state);
}

Slot Pass::slot(const char* name) const {
  Slot s{.sequences = {batch->offsets}, .values = {}};
  for (State* state : batch->states) {
    if (static_cast<int>(state->layers.size()) <= layer) state->layers.resize(static_cast<size_t>(layer) + 1);
    s.values.push_back(&state->layers[static_cast<size_t>(layer)].at(name));
  }
  return s;
}

Tensor Pass::dropped(const Tensor& x) const {
  if (!batch->training || batch->training->dropout == 0) return x;
  Training& t = *batch->training;
  return dropout(x, t.dropout, {t.random.seed, t.random.stream + t.draws++});
}

}  // namespace headrace
