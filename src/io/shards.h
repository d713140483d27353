// model.safetensors.index.json: which files of a folder hold which tensors.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace headrace {

// File -> names of its tensors. `index`: the path, for messages.
std::map<std::string, std::vector<std::string>> shards_of(std::string_view contents, const std::string& index);

}  // namespace headrace
