// `layer_types` of a config.json: for each layer "full_attention", or "sliding_attention" where it sees a window.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/value.h"

namespace headrace {

// Which layers see a window; nothing where the key is absent, null or empty. Throws on another length and on any other kind:
// taken for full attention it would give wrong logits. `has_window`: the configuration gives one, for those that want it.
std::optional<std::vector<bool>> read_layer_types(const Value& config, int64_t layers, bool has_window, const std::string& file);

}  // namespace headrace
