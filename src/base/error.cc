#include "base/error.h"

#include <cstdio>

namespace headrace {

void append(std::string& s, double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", v);
  s += buffer;
}

}  // namespace headrace
