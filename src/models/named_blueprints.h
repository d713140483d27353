// Models of the literature as blueprints, each tiny (for tests), small (about 20M parameters, for comparisons at one size) and as
// published. "mamba-tiny", "mamba-small", "mamba-130m".
#pragma once
#include <span>
#include <string_view>

namespace headrace {

struct NamedBlueprint {
  const char* name;                      // of the model
  const char* size;                      // "tiny", "small", or the published size
  const char* text;
  const char* note;                      // paper; what of the published model a blueprint does not say
};
std::span<const NamedBlueprint> named_blueprints();
const NamedBlueprint* find_blueprint(std::string_view name);   // "mamba-small"; null: unknown

}  // namespace headrace
