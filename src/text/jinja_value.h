// The values that chat templates compute with. They follow Python's rules (truth, ==, <, str(), repr(), indexing by
// character), because the templates were written against Python's jinja2. All are immutable but for namespaces, as in
// the sandbox that transformers renders in. Text is valid UTF-8.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace headrace::jinja {

// What one rendering may still spend. Every loop over data that a template can grow pays here, so a hostile template
// ends with an Error after a second or so, whatever it does.
struct Budget {
  int64_t steps = 20'000'000;
  int64_t bytes = int64_t{256} << 20;  // of texts and containers made
  int depth = 0;                       // nested evaluations now running
  void step(size_t n = 1) {
    steps -= static_cast<int64_t>(n);
    expect(steps >= 0, "the template takes too many steps");
  }
  void search(std::string_view text, std::string_view wanted) {          // as long as it takes where nearly everything fits
    step(1 + text.size() / 64 + text.size() * wanted.size() / 1024);
  }
  void make(size_t n) {
    expect(n <= static_cast<size_t>(bytes), "the template makes too much text");
    bytes -= static_cast<int64_t>(n);
  }
};

struct Value;
struct List;
struct Dict;
struct Loop;
struct Callable;
struct Namespace;  // owned by the rendering, so that no value can own itself

struct None {};
struct Undefined {
  std::shared_ptr<const std::string> why;  // "'x' is undefined"; raised when it is used for more than printing
};
using Text = std::shared_ptr<std::string>;  // shared texts are never changed

struct Value {
  std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<const List>, std::shared_ptr<const Dict>,
               std::shared_ptr<const Loop>, std::shared_ptr<const Callable>, Namespace*>
      v;
  Value() = default;
  Value(None n) : v(n) {}
  Value(bool b) : v(b) {}
  Value(int i) : v(int64_t{i}) {}
  Value(int64_t i) : v(i) {}
  Value(size_t n) : v(static_cast<int64_t>(n)) {}
  Value(double d) : v(d) {}
  Value(const char*) = delete;
  explicit Value(Text t) : v(std::move(t)) {}
  template <class T>
  explicit Value(std::shared_ptr<const T> p) : v(std::move(p)) {}
  explicit Value(Namespace* n) : v(n) {}

  bool undefined() const { return std::holds_alternative<Undefined>(v); }
  bool none() const { return std::holds_alternative<None>(v); }
  const std::string* text() const { return std::holds_alternative<Text>(v) ? std::get<Text>(v).get() : nullptr; }
  const List* list() const {
    auto* p = std::get_if<std::shared_ptr<const List>>(&v);
    return p ? p->get() : nullptr;
  }
  const Dict* dict() const {
    auto* p = std::get_if<std::shared_ptr<const Dict>>(&v);
    return p ? p->get() : nullptr;
  }
  const Loop* loop() const {
    auto* p = std::get_if<std::shared_ptr<const Loop>>(&v);
    return p ? p->get() : nullptr;
  }
  const Callable* callable() const {
    auto* p = std::get_if<std::shared_ptr<const Callable>>(&v);
    return p ? p->get() : nullptr;
  }
  Namespace* space() const {
    auto* p = std::get_if<Namespace*>(&v);
    return p ? *p : nullptr;
  }
  bool boolean() const { return std::holds_alternative<bool>(v); }
  bool integer() const { return std::holds_alternative<int64_t>(v); }
  bool real() const { return std::holds_alternative<double>(v); }
  bool number() const { return boolean() || integer() || real(); }  // as in Python, True is 1
};
using Values = std::vector<Value>;

// A list, a tuple, or what Python would compute lazily (true even when empty, and without a length).
struct List {
  enum Kind { list, tuple, generator } kind = list;
  Values items;
  int depth = 1;
};
struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in the order of insertion
  int depth = 1;
  const Value* find(std::string_view key, Budget& budget) const;
  const Value* find(const Value& key, Budget& budget) const;
  void set(Value key, Value value, Budget& budget);
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> names;
  Value* find(std::string_view name);
};
// The variable `loop` of a running for.
struct Loop {
  std::shared_ptr<const List> items;
  size_t index = 0;
};
struct Statement;
struct Frame;
// A function of ours by name, a method of `self`, or a macro.
struct Callable {
  enum Kind { function, method, macro } kind = function;
  std::string_view name;
  Value self;
  const Statement* body = nullptr;  // macro
  Frame* scope = nullptr;           // macro: where it was defined
};

// Makers: they pay, and refuse nesting deeper than 64, so that destroying and printing never exhaust the stack.
Value make_text(std::string text, Budget& budget);
Value make_list(Values items, Budget& budget, List::Kind kind = List::list);
Value make_dict(Dict dict, Budget& budget);
Value make_method(std::string_view name, Value self, Budget& budget);
Value make_undefined(std::string why, Budget& budget);
int depth_of(const Value& value);
inline constexpr int max_value_depth = 64;

bool truth(const Value& value);
bool equal(const Value& a, const Value& b, Budget& budget);
int order(const Value& a, const Value& b, Budget& budget);  // <0, 0, >0; throws for what has no order
std::string_view type_name(const Value& value);             // "str", "int", ...
double as_double(const Value& number);
int64_t as_int(const Value& value, std::string_view what);  // throws when it is no integer
const std::string& as_text(const Value& value, std::string_view what);
std::string format_double(double value);
std::string to_text(const Value& value, Budget& budget);  // str()
std::string to_repr(const Value& value, Budget& budget);  // repr()
[[noreturn]] void fail_undefined(const Value& value);

// What a for loop or a filter goes over: items, keys or characters.
Values iterate(const Value& value, Budget& budget);
size_t length(const Value& value, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);
Value item_at(const Value& container, const Value& index, Budget& budget);         // a[b]
Value attribute(const Value& container, const std::string& name, Budget& budget);  // a.b
Value slice(const Value& container, const Value (&bounds)[3], Budget& budget);     // a[b:c:d]
Value arithmetic(std::string_view op, Value a, const Value& b, Budget& budget);    // + - * / // % **

// JSON as Python's json module writes it.
struct JsonStyle {
  int indent = -1;  // below 0: on one line
  std::string indent_text, item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ascii = false;
};
std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);
Value from_json(std::string_view json, std::string_view what, Budget& budget);  // throws Error

// Characters, for what Python counts by code point.
std::vector<std::string_view> characters(std::string_view text);
bool is_space(int32_t code);  // str.isspace()
std::string_view strip(std::string_view text, const std::string* what, bool left, bool right);

}  // namespace headrace::jinja
