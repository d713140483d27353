// GGUF's metadata by key. A number is given as the type asked for where it fits; else the error names file, key, wanted and found.
#include "base/error.h"
#include "io/bytes.h"
#include "io/gguf.h"

namespace headrace {

const char* name(GgufType t) {
  static constexpr const char* names[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
  return names[static_cast<uint32_t>(t)];
}
size_t GgufArray::size() const {
  return std::visit([](const auto& v) { return v.size(); }, values);
}

GgufValue::GgufValue(std::vector<std::string> v) : type(GgufType::array), value(GgufArray{GgufType::string, std::move(v)}) {}
GgufValue::GgufValue(const std::vector<float>& v)
    : type(GgufType::array), value(GgufArray{GgufType::f32, std::vector<double>(v.begin(), v.end())}) {}
GgufValue::GgufValue(const std::vector<int32_t>& v)
    : type(GgufType::array), value(GgufArray{GgufType::i32, std::vector<int64_t>(v.begin(), v.end())}) {}
GgufValue::GgufValue(const std::vector<uint32_t>& v)
    : type(GgufType::array), value(GgufArray{GgufType::u32, std::vector<uint64_t>(v.begin(), v.end())}) {}

void GgufMetadata::add(std::string key, GgufValue value) {
  expect(index_.emplace(key, values_.size()).second, path_, ": key ", shown(key), " is there twice");
  values_.emplace_back(std::move(key), std::move(value));
}
void GgufMetadata::set(const std::string& key, GgufValue value) {
  if (auto it = index_.find(key); it != index_.end())
    values_[it->second].second = std::move(value);
  else
    add(key, std::move(value));
}
const GgufValue* GgufMetadata::find(std::string_view key) const {
  auto it = index_.find(std::string(key));
  return it == index_.end() ? nullptr : &values_[it->second].second;
}
const GgufValue& GgufMetadata::at(std::string_view key) const {
  const GgufValue* v = find(key);
  expect(v, path_, ": no key ", shown(key));
  return *v;
}
void GgufMetadata::mismatch(std::string_view key, const char* wanted) const {
  const GgufValue& v = at(key);
  const auto* a = std::get_if<GgufArray>(&v.value);
  fail(path_, ": ", shown(key), ": wanted ", wanted, ", found ", name(v.type), a ? text(" of ", a->size(), " ", name(a->element)) : "");
}

int64_t GgufMetadata::integer(std::string_view key) const {
  const auto& v = at(key).value;
  if (auto* i = std::get_if<int64_t>(&v)) return *i;
  if (auto* u = std::get_if<uint64_t>(&v); u && *u <= INT64_MAX) return static_cast<int64_t>(*u);
  mismatch(key, "an integer below 2^63");
}
double GgufMetadata::number(std::string_view key) const {
  const auto& v = at(key).value;
  if (auto* d = std::get_if<double>(&v)) return *d;
  if (auto* i = std::get_if<int64_t>(&v)) return static_cast<double>(*i);
  if (auto* u = std::get_if<uint64_t>(&v)) return static_cast<double>(*u);
  mismatch(key, "a number");
}
bool GgufMetadata::boolean(std::string_view key) const {
  if (auto* b = std::get_if<bool>(&at(key).value)) return *b;
  mismatch(key, "a boolean");
}
const std::string& GgufMetadata::string(std::string_view key) const {
  if (auto* s = std::get_if<std::string>(&at(key).value)) return *s;
  mismatch(key, "a string");
}

const std::vector<std::string>& GgufMetadata::strings(std::string_view key) const {
  if (auto* a = std::get_if<GgufArray>(&at(key).value))
    if (auto* s = std::get_if<std::vector<std::string>>(&a->values)) return *s;
  mismatch(key, "an array of strings");
}
std::vector<int64_t> GgufMetadata::integers(std::string_view key) const {
  auto* a = std::get_if<GgufArray>(&at(key).value);
  if (!a) return {integer(key)};
  if (auto* i = std::get_if<std::vector<int64_t>>(&a->values)) return *i;
  if (auto* u = std::get_if<std::vector<uint64_t>>(&a->values)) {
    for (uint64_t v : *u)
      if (v > INT64_MAX) mismatch(key, "integers below 2^63");
    return {u->begin(), u->end()};
  }
  mismatch(key, "an array of integers");
}
std::vector<double> GgufMetadata::numbers(std::string_view key) const {
  auto* a = std::get_if<GgufArray>(&at(key).value);
  if (!a) return {number(key)};
  if (auto* d = std::get_if<std::vector<double>>(&a->values)) return *d;
  if (auto* i = std::get_if<std::vector<int64_t>>(&a->values)) return {i->begin(), i->end()};
  if (auto* u = std::get_if<std::vector<uint64_t>>(&a->values)) return {u->begin(), u->end()};
  mismatch(key, "an array of numbers");
}
std::vector<bool> GgufMetadata::booleans(std::string_view key) const {
  auto* a = std::get_if<GgufArray>(&at(key).value);
  if (!a) return {boolean(key)};
  if (auto* b = std::get_if<std::vector<bool>>(&a->values)) return *b;
  mismatch(key, "an array of booleans");
}

}  // namespace headrace
