// TOML, as values; and where each key stood. toml++ stays behind toml.cc.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "nn/value.h"

namespace headrace {

struct Toml {
  Value root;                            // an object
  std::map<std::string, int> lines;      // "optimizer.rate" -> 12
};
Toml parse_toml(std::string_view text, const std::string& file);   // throws Error with the line
// What stands behind key=: any TOML value, else the text itself.
Value toml_value(const std::string& text);

}  // namespace headrace
