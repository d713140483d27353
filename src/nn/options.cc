// Options read, printed and explained from the one list of their struct; an error knows the character that it is about.
#include "nn/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/nearest.h"

namespace headrace {
namespace {

template <class T>
std::string shortest(T v) {
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, v).ptr};
}
template <class T>
T number(const Setting& s, const Range& r) {
  T v{};
  const char *begin = s.value.data(), *end = begin + s.value.size();
  const auto [stop, error] = std::from_chars(begin, end, v);
  if (error != std::errc() || stop != end)
    fail_at(s.value_at, s.name, " = '", quoted(s.value).substr(0, 40), "' is no ", std::is_integral_v<T> ? "whole number" : "number");
  if (!within(v, r))
    fail_at(s.value_at, s.name, " = ", option_value(v), " is not in ", option_value(r.least), "..", option_value(r.most));
  return v;
}

}  // namespace

std::string option_value(int64_t v) { return std::to_string(v); }
std::string option_value(double v) { return std::abs(v) < 1e15 && v == std::floor(v) ? std::to_string(static_cast<int64_t>(v)) : shortest(v); }
std::string option_value(float v) { return std::abs(v) < 1e7f && v == std::floor(v) ? std::to_string(static_cast<int64_t>(v)) : shortest(v); }

void read_option(const Setting& s, int64_t& v, const Range& r) { v = number<int64_t>(s, r); }
void read_option(const Setting& s, int& v, const Range& r) { v = number<int>(s, r); }
void read_option(const Setting& s, double& v, const Range& r) { v = number<double>(s, r); }
void read_option(const Setting& s, float& v, const Range& r) { v = number<float>(s, r); }
void read_option(const Setting& s, bool& v) {
  std::string word;
  read_option(s, word, {"on", "off"});
  v = word == "on";
}
void read_option(const Setting& s, std::string& v, const Choice& c) {
  if (!c.of.empty() && std::find(c.of.begin(), c.of.end(), s.value) == c.of.end())
    fail_at(s.value_at, s.name, " = '", quoted(s.value).substr(0, 40), "'; known: ", listed(c.of));
  v = s.value;
}

const Setting* OptionReader::find(const char* name) {
  known_.push_back(name);
  for (const Setting& s : given_)
    if (s.name == name) return &s;
  return nullptr;
}
std::string OptionReader::beside() const {
  std::string all;
  for (const Setting& s : given_)
    if (std::find(known_.begin(), known_.end(), s.name) != known_.end())
      all += (all.empty() ? " beside " : ", ") + s.name + "=" + quoted(s.value).substr(0, 40);
  return all;
}
void OptionReader::finish() const {
  for (size_t i = 0; i < given_.size(); ++i) {
    const Setting& s = given_[i];
    if (std::find(known_.begin(), known_.end(), s.name) == known_.end())
      fail_at(s.at, owner_, " has no option '", quoted(s.name).substr(0, 40), "'; ",
              known_.empty() ? "it has none" : did_you_mean(s.name, known_) + "it has: " + listed(known_));
    for (size_t j = 0; j < i; ++j)
      if (given_[j].name == s.name) fail_at(s.at, owner_, ": ", s.name, " is given twice");
  }
}

}  // namespace headrace
