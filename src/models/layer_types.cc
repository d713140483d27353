// Shared by the families whose layers differ in what they see (Gemma 2 and 3, Qwen, SmolLM 3, Mistral).
#include "models/layer_types.h"

#include "base/error.h"
#include "nn/config.h"

namespace headrace {

std::optional<std::vector<bool>> read_layer_types(const Value& config, int64_t layers, bool has_window, const std::string& file) {
  const Value* key = config.find("layer_types");
  if (!key) return {};
  const Array* list = key->get<Array>();
  expect(list, file, ": layer_types = ", to_json(*key).substr(0, 80), ", wanted a list");
  if (list->empty()) return {};
  expect(std::ssize(*list) == layers, file, ": layer_types: wanted ", layers, " entries, one for each layer, found ", list->size());
  std::vector<bool> windowed;
  for (const Value& entry : *list) {
    const std::string* kind = entry.get<std::string>();
    expect(kind && (*kind == "full_attention" || *kind == "sliding_attention"), file, ": layer_types of layer ", windowed.size(),
           ": wanted full_attention or sliding_attention, found ", to_json(entry).substr(0, 80));
    windowed.push_back(*kind == "sliding_attention");
    expect(has_window || !windowed.back(), file, ": layer_types of layer ", windowed.size() - 1,
           ": sliding_attention, but there is no sliding_window");
  }
  return windowed;
}

}  // namespace headrace
