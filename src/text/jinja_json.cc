// JSON in and out for templates: objects keep their order, and text comes out as Python's json module writes it.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "text/jinja_value.h"
#include "text/unicode.h"

namespace headrace::jinja {
namespace {

void quote(std::string_view text, bool ascii, std::string& out) {
  const auto unit = [&](uint32_t code) {
    out += "\\u";
    for (int k = 3; k >= 0; --k) out += "0123456789abcdef"[code >> (4 * k) & 15];
  };
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    const char* known = c.code == '"'    ? "\\\""
                        : c.code == '\\' ? "\\\\"
                        : c.code == '\n' ? "\\n"
                        : c.code == '\r' ? "\\r"
                        : c.code == '\t' ? "\\t"
                        : c.code == '\b' ? "\\b"
                        : c.code == '\f' ? "\\f"
                                         : nullptr;
    if (known) {
      out += known;
    } else if (c.code < 0x20 || (ascii && c.code >= 0x7F && c.code < 0x10000 && c.code != 0x7F)) {
      unit(static_cast<uint32_t>(std::max(c.code, 0)));
    } else if (ascii && c.code >= 0x10000) {
      unit(0xD800 + static_cast<uint32_t>((c.code - 0x10000) >> 10));
      unit(0xDC00 + static_cast<uint32_t>((c.code - 0x10000) & 0x3FF));
    } else {
      out.append(text, i, c.bytes);
    }
    i += c.bytes;
  }
  out += '"';
}

std::string number(const Value& value) {
  if (value.boolean()) return truth(value) ? "true" : "false";
  if (value.integer()) return std::to_string(as_int(value, ""));
  const double d = as_double(value);
  return std::isnan(d) ? "NaN" : std::isinf(d) ? (d < 0 ? "-Infinity" : "Infinity") : format_double(d);
}

void write(const Value& value, const JsonStyle& style, int depth, Budget& budget, std::string& out) {
  budget.step();
  const size_t before = out.size();
  const auto line = [&](int level) {
    if (style.indent < 0) return;
    budget.make(style.indent_text.size() * static_cast<size_t>(level) + 1);
    out += '\n';
    for (int i = 0; i < level; ++i) out += style.indent_text;
  };
  if (value.undefined()) fail_undefined(value);
  if (value.none()) {
    out += "null";
  } else if (value.number()) {
    out += number(value);
  } else if (const std::string* text = value.text()) {
    quote(*text, style.ascii, out);
    budget.make(out.size() - before);
  } else if (const List* list = value.list(); list && list->kind != List::generator) {
    out += '[';
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i) out += style.item_separator;
      budget.make(style.item_separator.size());
      line(depth + 1);
      write(list->items[i], style, depth + 1, budget, out);
    }
    if (!list->items.empty()) line(depth);
    out += ']';
  } else if (const Dict* dict = value.dict()) {
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const auto& [key, mapped] : dict->entries) {
      budget.step();
      expect(key.text() || key.number() || key.none(), "tojson: a key that is a ", type_name(key));
      entries.emplace_back(key.text() ? *key.text() : key.none() ? "null" : number(key), &mapped);
    }
    if (style.sort_keys)
      std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    out += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i) out += style.item_separator;
      line(depth + 1);
      const size_t at = out.size();
      quote(entries[i].first, style.ascii, out);
      out += style.key_separator;
      budget.make(out.size() - at + style.item_separator.size());
      write(*entries[i].second, style, depth + 1, budget, out);
    }
    if (!entries.empty()) line(depth);
    out += '}';
  } else {
    fail("a ", type_name(value), " has no JSON");
  }
}

Value convert(const nlohmann::ordered_json& j, Budget& budget) {
  switch (j.type()) {
    case nlohmann::ordered_json::value_t::null:
      return None{};
    case nlohmann::ordered_json::value_t::boolean:
      return j.get<bool>();
    case nlohmann::ordered_json::value_t::number_integer:
      return j.get<int64_t>();
    case nlohmann::ordered_json::value_t::number_unsigned:
      return j.get<uint64_t>() <= INT64_MAX ? Value(j.get<int64_t>()) : Value(j.get<double>());
    case nlohmann::ordered_json::value_t::number_float:
      return j.get<double>();
    case nlohmann::ordered_json::value_t::string:
      return make_text(j.get_ref<const std::string&>(), budget);
    case nlohmann::ordered_json::value_t::array: {
      Values items;
      for (const auto& item : j) items.push_back(convert(item, budget));
      return make_list(std::move(items), budget);
    }
    default: {
      Dict dict;
      for (const auto& [key, value] : j.items())
        dict.entries.emplace_back(make_text(key, budget), convert(value, budget));
      return make_dict(std::move(dict), budget);
    }
  }
}

}  // namespace

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  std::string out;
  write(value, style, 0, budget, out);
  return out;
}

Value from_json(std::string_view text, std::string_view what, Budget& budget) {
  const auto shallow = [](int depth, nlohmann::ordered_json::parse_event_t, nlohmann::ordered_json&) {
    if (depth >= max_value_depth) fail("nested deeper than ", max_value_depth);
    return true;
  };
  try {
    return convert(nlohmann::ordered_json::parse(text, shallow), budget);
  } catch (const nlohmann::ordered_json::exception& e) { fail(what, ": ", e.what()); } catch (const Error& e) {
    fail(what, ": ", e.what());
  }
}

}  // namespace headrace::jinja
