// Options of a layer, as they stand in a blueprint: a struct lists each once, in visit(v), with its default, a line of help,
// and its range; defaults may follow from options listed before. The same list reads them, prints those that differ from
// their defaults, and prints the help.
//
//   struct Options {
//     int width, heads, kv;  bool gate;  std::string act;
//     void visit(auto& v) {
//       v("heads", heads, heads_for(width, 64), "heads");                                  // integers: 1 and more
//       v("kv", kv, heads, "heads of keys and values");
//       v("window", window, 0, "keys that a query sees; 0: all", Range{0, 1 << 30});
//       v("gate", gate, true, "an output gate");                                           // gate=on, gate=off
//       v("act", act, "silu", "activation", Choice{"silu", "gelu"});
//     }
//     void check() const { expect(heads % kv == 0, "kv = ", kv, " does not divide heads = ", heads); }   // optional
//   };
#pragma once
#include <cmath>
#include <initializer_list>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace headrace {

// An Error about a place in a text: `at` counts characters from 0.
struct TextError : Error {
  size_t at;
  TextError(size_t place, const std::string& message) : Error(message), at(place) {}
};
template <class... Parts>
[[noreturn]] void fail_at(size_t at, const Parts&... parts) { throw TextError(at, text(parts...)); }

struct Setting {                         // name=value, and where both begin
  std::string name, value;
  size_t at = 0, value_at = 0;
};
struct Range { double least = 1, most = 1 << 24; };
// Heads and their dimensions, up to what a configuration of a checkpoint may name; the channels of all heads are for check() to bound.
inline constexpr Range heads_range{1, 1 << 16}, head_range{1, 1 << 16};
// What norms and normalisers add, so that zeros stay zeros and are not NaN: from 1e-12, which is BERT's.
inline constexpr Range eps_range{1e-12, 1};
struct Choice {
  std::vector<std::string> of;
  Choice(std::initializer_list<std::string> all) : of(all) {}
};

// Text of a value as a blueprint has it, and back; throws TextError at `at`.
std::string option_value(int64_t v);
std::string option_value(double v);      // the shortest that reads back as the same
std::string option_value(float v);
inline std::string option_value(int v) { return option_value(int64_t{v}); }
inline std::string option_value(bool v) { return v ? "on" : "off"; }
inline std::string option_value(const std::string& v) { return v; }
// In the precision of v: 1e-12 as a float, which is a little less, is in 1e-12..1.
template <class T>
bool within(T v, const Range& r) {
  if constexpr (std::is_floating_point_v<T>) return v >= static_cast<T>(r.least) && v <= static_cast<T>(r.most);
  else return static_cast<double>(v) >= r.least && static_cast<double>(v) <= r.most;
}
void read_option(const Setting& s, int64_t& v, const Range& r);
void read_option(const Setting& s, int& v, const Range& r);
void read_option(const Setting& s, double& v, const Range& r);
void read_option(const Setting& s, float& v, const Range& r);
void read_option(const Setting& s, bool& v);
void read_option(const Setting& s, std::string& v, const Choice& c);

class OptionReader {
 public:
  // owner: "attn", for errors.
  OptionReader(std::span<const Setting> given, std::string owner) : given_(given), owner_(std::move(owner)) {}
  template <class T>
  void operator()(const char* name, T& field, const std::type_identity_t<T>& otherwise, const char*, const Range& r = {}) {
    field = otherwise;
    if (const Setting* s = find(name)) {
      if constexpr (std::is_same_v<T, bool>) read_option(*s, field);
      else read_option(*s, field, r);
    } else if constexpr (!std::is_same_v<T, bool>) {
      check_default(name, field, r);
    }
  }
  void operator()(const char* name, std::string& field, const std::string& otherwise, const char*, const Choice& c) {
    field = otherwise;
    if (const Setting* s = find(name)) read_option(*s, field, c);
  }
  void finish() const;                   // throws TextError at a name that no option has, or that is given twice

 private:
  const Setting* find(const char* name);
  // A default that follows from other options may be none: a width of 1 has no two heads.
  template <class T>
  void check_default(const char* name, T v, const Range& r) const {
    if (!within(v, r))
      fail(owner_, ": ", name, " = ", option_value(v), " by default", beside(), " is not in ", option_value(r.least), "..", option_value(r.most));
  }
  std::string beside() const;            // " beside heads=7": what was given before
  std::span<const Setting> given_;
  std::string owner_;
  std::vector<std::string> known_;
};

// "heads=8, kv=4": what differs from the defaults.
struct OptionPrinter {
  std::string out;
  void operator()(const char* name, const auto& field, const auto& otherwise, const char*, const auto&... ) {
    if (field == static_cast<std::remove_cvref_t<decltype(field)>>(otherwise)) return;
    out += (out.empty() ? "" : ", ") + std::string(name) + "=" + option_value(field);
  }
};

struct OptionHelp { std::string name, otherwise, help, values; };
// Sets every field to its default and lists it.
struct OptionLister {
  std::vector<OptionHelp> all;
  template <class T>
  void operator()(const char* name, T& field, const std::type_identity_t<T>& otherwise, const char* help, const Range& r = {}) {
    field = otherwise;
    all.push_back({name, option_value(field), help, std::is_same_v<T, bool> ? "on, off" : option_value(r.least) + " to " + option_value(r.most)});
  }
  void operator()(const char* name, std::string& field, const std::string& otherwise, const char* help, const Choice& c) {
    field = otherwise;
    std::string values;
    for (const std::string& s : c.of) values += (values.empty() ? "" : ", ") + s;
    all.push_back({name, otherwise, help, values});
  }
};

// Options as blueprint text: "attn(heads=8, kv=4)", or "attn" where all are the defaults.
template <class Options>
std::string option_text(const std::string& name, Options o) {
  OptionPrinter p;
  o.visit(p);
  return p.out.empty() ? name : name + "(" + p.out + ")";
}

// How many heads of about `dim` a width has: the most that divide it and are not smaller.
inline int heads_for(int width, int dim) {
  int n = width / dim > 1 ? width / dim : 1;
  while (width % n) --n;
  return n;
}
// The least multiple of `step` that is not below x.
inline int round_up(double x, int step) { return static_cast<int>(std::ceil(x / step)) * step; }

}  // namespace headrace
