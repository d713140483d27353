// JSON to values and back by nlohmann's library: integers stay exact, and Infinity is read as transformers writes it.
#include "nn/value.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace headrace {
namespace {

using json = nlohmann::json;

Value convert(const json& j) {
  if (j.is_boolean()) return j.get<bool>();
  // Above 2^63 as above 2^64: a real number.
  if (j.is_number_integer() && !(j.is_number_unsigned() && j.get<uint64_t>() > INT64_MAX)) return j.get<int64_t>();
  if (j.is_number()) return j.get<double>();
  if (j.is_string()) return j.get<std::string>();
  if (j.is_array()) {
    Array a;
    for (const auto& e : j) a.push_back(convert(e));
    return a;
  }
  if (j.is_object()) {
    if (auto f = j.find("__float__"); f != j.end() && f->is_string())   // how transformers 5 writes Infinity
      return f->get<std::string>() == "Infinity" ? INFINITY : f->get<std::string>() == "-Infinity" ? -INFINITY : NAN;
    Object o;
    for (const auto& [k, e] : j.items()) o.emplace(k, convert(e));
    return o;
  }
  return {};
}
json convert(const Value& value) {
  return std::visit([](const auto& x) -> json {
    using T = std::decay_t<decltype(x)>;
    if constexpr (std::is_same_v<T, Array>) {
      json a = json::array();
      for (const auto& e : x) a.push_back(convert(e));
      return a;
    } else if constexpr (std::is_same_v<T, Object>) {
      json o = json::object();
      for (const auto& [k, e] : x) o[k] = convert(e);
      return o;
    } else {
      return x;
    }
  }, value.v);
}

// Outside strings, Infinity and NaN are quoted for the parser; convert() sees {"__float__": ...}.
std::string quote_bare_floats(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out += text[i++];
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (text.substr(i, word.size()) == word) {
          out += "{\"__float__\": \"" + std::string(word) + "\"}";
          i += word.size();
          break;
        }
      if (i >= text.size()) break;
    }
    out += text[i];
  }
  return out;
}

// Nesting deeper than this is no configuration; it also bounds the recursion of the parser and of convert().
void check_depth(std::string_view text, const std::string& file) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string) {
      if (text[i] == '\\') ++i;
      else if (text[i] == '"') in_string = false;
    } else if (text[i] == '"') {
      in_string = true;
    } else if (text[i] == '[' || text[i] == '{') {
      expect(++depth <= 100, file, ": nested deeper than 100 levels");
    } else if (text[i] == ']' || text[i] == '}') {
      --depth;
    }
  }
}

}  // namespace

const Value* Value::find(std::string_view key) const {
  const Object* o = get<Object>();
  if (!o) return nullptr;
  auto it = o->find(std::string(key));
  return it == o->end() || it->second.is_null() ? nullptr : &it->second;
}

Value parse_json(std::string_view text, const std::string& file) {
  expect(!text.empty(), file, ": empty, wanted JSON");
  check_depth(text, file);
  try {
    return convert(json::parse(quote_bare_floats(text)));
  } catch (const json::exception& e) {
    fail(file, ": not valid JSON: ", e.what());
  }
}
std::string to_json(const Value& value, int indent) { return convert(value).dump(indent, ' ', false, json::error_handler_t::replace); }

}  // namespace headrace
