// What `headrace explain` says of each layer a blueprint can name. A new mixer adds a row; a test holds that every layer
// of every fixture's blueprint has one.
#pragma once
#include <span>
#include <string_view>

namespace headrace {

struct MixerInfo {
  const char* name;                      // in a blueprint
  const char* title;
  const char* paper;
  const char* equations;                 // lines
  const char* options;                   // in a blueprint
  const char* parameters;
  const char* state;                     // per sequence and layer
  const char* cost;                      // of a decoded token; of a sequence of T
  const char* source;
};
std::span<const MixerInfo> mixers();
const MixerInfo* find_mixer(std::string_view name);   // null: unknown

}  // namespace headrace
