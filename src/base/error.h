// Errors that a user, a file or a caller caused. The CLI prints one line, the server answers JSON, Python raises.
#pragma once
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace headrace {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void append(std::string& s, std::string_view v) { s += v; }
inline void append(std::string& s, const char* v) { s += v; }
inline void append(std::string& s, char v) { s += v; }
inline void append(std::string& s, bool v) { s += v ? "true" : "false"; }
void append(std::string& s, double v);
template <class T>
  requires std::is_integral_v<T>
void append(std::string& s, T v) { s += std::to_string(v); }
template <class T>
void append(std::string& s, const std::vector<T>& v) {
  s += '[';
  for (size_t i = 0; i < v.size(); ++i) {
    if (i) s += ',';
    append(s, v[i]);
  }
  s += ']';
}

// The parts one after the other: text("linear: x ", x.shape(), " weight ", w.shape()).
template <class... Parts>
std::string text(const Parts&... parts) {
  std::string s;
  (append(s, parts), ...);
  return s;
}
// What a file says, fit to be quoted in an error: one line, without control characters, at most 400 bytes.
std::string quoted(std::string_view s);
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) { throw Error(text(parts...)); }
template <class... Parts>
void expect(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]] fail(parts...);
}
// What f gives; an Error of it that does not yet begin with the file's name (or a path in it) gets it.
template <class F>
auto naming(const std::string& file, F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    const std::string_view what = e.what();
    if (what.starts_with(file) && what.size() > file.size() && std::string_view(":/ ,").find(what[file.size()]) != what.npos) throw;
    fail(file, ": ", e.what());
  }
}

}  // namespace headrace
