// Filters over texts and numbers: value | name(arguments), as jinja2 defines them.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {

namespace {

Value default_(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("default", {"default_value", "boolean"});
  const bool missing = value.undefined() || (flag(a[1], false) && !truth(value));
  return missing ? a[0].value_or(make_text("", budget)) : value;
}

Value string(const Value& value, const Arguments&, Budget& budget) {
  return value.text() ? value : make_text(to_text(value, budget), budget);
}
Value length(const Value& value, const Arguments&, Budget& budget) { return jinja::length(value, budget); }
Value same(const Value& value, const Arguments&, Budget&) { return value; }
Value upper(const Value& value, const Arguments&, Budget& budget) {
  return make_text(headrace::upper(to_text(value, budget)), budget);
}
Value lower(const Value& value, const Arguments&, Budget& budget) {
  return make_text(headrace::lower(to_text(value, budget)), budget);
}

Value capitalize(const Value& value, const Arguments&, Budget& budget) {
  return call_method("capitalize", make_text(to_text(value, budget), budget), {}, budget);
}

// Words begin after white space, - ( { [ <.
Value title(const Value& value, const Arguments&, Budget& budget) {
  std::string out;
  bool start = true;
  const std::string text = to_text(value, budget);
  for (std::string_view c : characters(text)) {
    const int32_t code = character_at(c, 0).code;
    (start ? append_upper : append_lower)(out, code);
    start = is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
  }
  return make_text(std::move(out), budget);
}

Value trim(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("trim", {"chars"});
  const std::string text = to_text(value, budget);
  return make_text(std::string(strip(text, a[0] && !a[0]->none() ? &as_text(*a[0], "trim") : nullptr, true, true)),
                   budget);
}

Value replace(const Value& value, const Arguments& arguments, Budget& budget) {
  Arguments texts = arguments;  // of old and new
  for (size_t i = 0; i < std::min<size_t>(2, texts.positional.size()); ++i)
    texts.positional[i] = string(texts.positional[i], {}, budget);
  return call_method("replace", string(value, {}, budget), texts, budget);
}

Value indent(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("indent", {"width", "first", "blank"});
  const int64_t width = a[0] && a[0]->text() ? 0 : number(a[0], 4, "indent");
  expect(width <= 1000, "indent: width ", width);
  const std::string in =
      a[0] && a[0]->text() ? *a[0]->text() : std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  const bool blank = flag(a[2], false);
  const Value lines = call_method("splitlines", make_text(as_text(value, "indent") + "\n", budget), {}, budget);
  std::string out;
  bool start = true;
  for (const Value& line : lines.list()->items) {
    if (!start) out += '\n';
    if (start ? flag(a[1], false) : blank || !line.text()->empty()) out += in;
    start = false;
    budget.make(in.size());
    out += *line.text();
  }
  return make_text(std::move(out), budget);
}

std::optional<int64_t> read_int(std::string_view text, int base) {
  text = strip(text, nullptr, true, true);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  for (const auto& [prefix, value] : {std::pair("0x", 16), std::pair("0o", 8), std::pair("0b", 2)})
    if (base == value && text.starts_with(prefix)) text.remove_prefix(2);
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_') continue;
    digits += text[i];
  }
  if (digits.starts_with('-')) return {};
  int64_t out = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  expect(end.ec != std::errc::result_out_of_range, "int: an integer of more than 64 bits");
  if (end.ec != std::errc() || end.ptr != digits.data() + digits.size()) return {};
  return negative ? -out : out;
}

std::optional<double> read_double(std::string_view text) {
  text = strip(text, nullptr, true, true);
  if (text.starts_with('+')) text.remove_prefix(1);
  double out = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || end.ptr != text.data() + text.size() || end.ec == std::errc::invalid_argument) return {};
  return out;
}

Value int_(const Value& value, const Arguments& arguments, Budget&) {
  const Bound a = arguments.bind("int", {"default", "base"});
  if (value.undefined()) fail_undefined(value);
  const int64_t base = number(a[1], 10, "int: base");
  expect(base >= 2 && base <= 36, "int: base ", base);
  std::optional<double> real;
  if (const std::string* text = value.text()) {
    if (auto n = read_int(*text, static_cast<int>(base))) return *n;
    real = read_double(*text);
  } else if (value.integer() || value.boolean()) {
    return as_int(value, "int");
  } else if (value.real()) {
    real = as_double(value);
  }
  if (!real || !std::isfinite(*real)) return a[0].value_or(0);
  expect(std::fabs(*real) < 9.2e18, "int: an integer of more than 64 bits");
  return static_cast<int64_t>(*real);
}

Value float_(const Value& value, const Arguments& arguments, Budget&) {
  const Bound a = arguments.bind("float", {"default"});
  if (value.undefined()) fail_undefined(value);
  std::optional<double> real;
  if (value.number()) real = as_double(value);
  if (value.text()) real = read_double(*value.text());
  return real ? Value(*real) : a[0].value_or(0.0);
}

Value abs(const Value& value, const Arguments&, Budget& budget) {
  if (value.undefined()) fail_undefined(value);
  expect(value.number(), "abs: expected a number, found ", type_name(value));
  if (value.real()) return std::fabs(as_double(value));
  return as_int(value, "abs") < 0 ? arithmetic("-", 0, value, budget) : value;
}

Value round(const Value& value, const Arguments& arguments, Budget&) {
  const Bound a = arguments.bind("round", {"precision", "method"});
  const int64_t precision = number(a[0], 0, "round");
  const std::string method = a[1] ? as_text(*a[1], "round: method") : "common";
  if (value.undefined()) fail_undefined(value);
  expect(value.number(), "round: expected a number, found ", type_name(value));
  expect(precision >= -300 && precision <= 300, "round: precision ", precision);
  const double scale = std::pow(10, static_cast<double>(precision)), x = as_double(value);
  if (method == "ceil") return std::ceil(x * scale) / scale;
  if (method == "floor") return std::floor(x * scale) / scale;
  expect(method == "common", "round: method ", method);
  if (!value.real() && precision >= 0) return value;  // Python's round keeps integers
  if (precision < 0 || !std::isfinite(x)) return std::isfinite(x) ? std::nearbyint(x * scale) / scale : x;
  char buffer[700];  // correctly rounded decimal digits, as Python does it
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::fixed, static_cast<int>(precision));
  double out = x;
  std::from_chars(buffer, end.ptr, out);
  return out;
}

Value escape(const Value& value, const Arguments&, Budget& budget) {
  std::string out;
  for (char c : to_text(value, budget)) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&#34;";
    } else if (c == '\'') {
      out += "&#39;";
    } else {
      out += c;
    }
  }
  return make_text(std::move(out), budget);
}

Value tojson(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{.sort_keys = flag(a[3], false), .ascii = flag(a[0], false)};
  if (a[1] && a[1]->text()) {
    style.indent = 1;
    style.indent_text = *a[1]->text();
  } else if (a[1] && !a[1]->none()) {
    const int64_t indent = as_int(*a[1], "tojson: indent");
    expect(indent <= 1000, "tojson: indent ", indent);
    style.indent = 1;
    style.indent_text.assign(static_cast<size_t>(std::max<int64_t>(indent, 0)), ' ');
  }
  if (style.indent >= 0) style.item_separator.assign(1, ',');
  if (a[2] && !a[2]->none()) {
    const List* pair = a[2]->list();
    expect(pair && pair->items.size() == 2, "tojson: separators: expected two texts");
    style.item_separator = as_text(pair->items[0], "tojson: separators");
    style.key_separator = as_text(pair->items[1], "tojson: separators");
  }
  return make_text(to_json(value, style, budget), budget);
}

Value attr(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("attr", {"name"});
  expect(a[0].has_value(), "attr: expected a name");
  if (value.dict()) return make_undefined("attr: a key of a dict is no attribute", budget);
  return attribute(value, as_text(*a[0], "attr"), budget);
}

Value format(const Value& value, const Arguments& arguments, Budget& budget) {
  expect(arguments.named.empty(), "format: named arguments are not supported");
  return make_text(percent_format(as_text(value, "format"), arguments.positional, budget), budget);
}

Value wordcount(const Value& value, const Arguments&, Budget& budget) {
  const std::string text = to_text(value, budget);
  size_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size(); i += character_at(text, i).bytes) {
    const bool word = is_word(character_at(text, i).code);
    words += word && !inside;
    inside = word;
  }
  return words;
}

constexpr Filter filters[] = {
    {"abs", abs},          {"attr", attr},   {"capitalize", capitalize}, {"count", length}, {"d", default_},
    {"default", default_}, {"e", escape},    {"escape", escape},         {"float", float_}, {"format", format},
    {"indent", indent},    {"int", int_},    {"length", length},         {"lower", lower},  {"replace", replace},
    {"round", round},      {"safe", same},   {"string", string},         {"title", title},  {"tojson", tojson},
    {"trim", trim},        {"upper", upper}, {"wordcount", wordcount},
};

}  // namespace

FilterFunction find_filter(std::string_view name) {
  for (std::span<const Filter> some : {std::span<const Filter>(filters), list_filters()})
    for (const Filter& f : some)
      if (f.name == name) return f.function;
  return nullptr;
}

}  // namespace headrace::jinja
