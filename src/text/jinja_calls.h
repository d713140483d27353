// The functions, methods, filters and tests that templates may call.
#pragma once
#include <initializer_list>
#include <optional>
#include <span>

#include "text/jinja_value.h"

namespace headrace::jinja {

using Bound = std::vector<std::optional<Value>>;   // the arguments of a call; empty where one was not given
struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
  // The arguments in the order of a signature; throws for one too many or a name that is not in it.
  Bound bind(std::string_view who, std::initializer_list<std::string_view> names) const;
};

inline bool flag(const std::optional<Value>& v, bool otherwise) { return v ? truth(*v) : otherwise; }
inline int64_t number(const std::optional<Value>& v, int64_t otherwise, std::string_view what) { return v ? as_int(*v, what) : otherwise; }

// The method's name with static lifetime; empty when the value has no such method.
std::string_view method_name(const Value& self, std::string_view name);
bool changes_its_object(const Value& self, std::string_view name);  // list.append and its like
Value call_method(std::string_view name, const Value& self, const Arguments& arguments, Budget& budget);
Value call_function(std::string_view name, const Arguments& arguments, Budget& budget);  // range, dict
// '{} {0} {name}'.format(...), without format specifications.
std::string brace_format(const std::string& format, const Arguments& arguments, Budget& budget);
std::string pad(std::string text, int64_t width, std::string_view fill, int side,
                Budget& budget);  // side -1: before it, 0: around it, 1: after it
std::string percent_format(std::string_view format, const Values& values, Budget& budget);

using FilterFunction = Value (*)(const Value& value, const Arguments& arguments, Budget& budget);
struct Filter {
  std::string_view name;
  FilterFunction function;
};
std::span<const Filter> list_filters();
FilterFunction find_filter(std::string_view name);  // null when there is none
using TestFunction = bool (*)(const Value& value, const Arguments& arguments, Budget& budget);
TestFunction find_test(std::string_view name);

// Counts one level of evaluation while it lives.
struct Deeper {
  Budget& budget;
  explicit Deeper(Budget& b) : budget(b) { expect(++budget.depth <= 200, "the template nests deeper than 200"); }
  ~Deeper() { --budget.depth; }
};

}  // namespace headrace::jinja
