// Runs a parsed template.
#pragma once
#include <optional>
#include <span>

#include "text/jinja_syntax.h"

namespace headrace::jinja {

struct Rendered {
  std::string text;
  std::vector<std::pair<size_t, size_t>> generated;  // byte ranges inside {% generation %} blocks
};
struct Run {
  Dict variables;
  Budget budget;
  std::optional<int64_t> now;  // seconds since 1970 for strftime_now; the local time when not given
};
Rendered render(const Body& body, Run run);  // throws Error that begins with "LINE: "

}  // namespace headrace::jinja
