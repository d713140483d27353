// A tree of plain values: what config.json, GGUF metadata and recipes become, so that few files see a JSON library.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace headrace {

struct Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value>;

struct Value {
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object> v = nullptr;
  Value() = default;
  Value(bool b) : v(b) {}
  Value(int i) : v(int64_t{i}) {}
  Value(int64_t i) : v(i) {}
  Value(double d) : v(d) {}
  Value(const char* s) : v(std::string(s)) {}
  Value(std::string s) : v(std::move(s)) {}
  Value(Array a) : v(std::move(a)) {}
  Value(Object o) : v(std::move(o)) {}
  bool is_null() const { return std::holds_alternative<std::nullptr_t>(v); }
  template <class T> const T* get() const { return std::get_if<T>(&v); }
  const Value* find(std::string_view key) const;      // null where this is no object, or has no such key, or a null there
};

Value parse_json(std::string_view text, const std::string& file);   // throws Error; accepts bare Infinity and NaN as old configs have
std::string to_json(const Value& value, int indent = -1);

}  // namespace headrace
