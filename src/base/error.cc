// What of a file or a caller goes into a message: no control character that would move a terminal, no more than 400 bytes of it.
#include "base/error.h"

#include <cstdio>

namespace headrace {

void append(std::string& s, double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", v);
  s += buffer;
}

std::string quoted(std::string_view s) {
  std::string out(s.substr(0, 400));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  if (s.size() > out.size()) out += "...";
  return out;
}

}  // namespace headrace
