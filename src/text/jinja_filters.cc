// Filters: value | name(arguments), as jinja2 defines them.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {

std::vector<std::optional<Value>> Arguments::bind(std::string_view who,
                                                  std::initializer_list<std::string_view> names) const {
  expect(positional.size() <= names.size(), who, ": at most ", names.size(), " arguments, found ", positional.size());
  std::vector<std::optional<Value>> out(names.size());
  for (size_t i = 0; i < positional.size(); ++i) out[i] = positional[i];
  for (const auto& [name, value] : named) {
    const auto at = std::find(names.begin(), names.end(), name);
    expect(at != names.end(), who, ": no argument is called ", name);
    std::optional<Value>& place = out[static_cast<size_t>(at - names.begin())];
    expect(!place, who, ": argument ", name, " is given twice");
    place = value;
  }
  return out;
}

namespace {

using Bound = std::vector<std::optional<Value>>;

bool flag(const std::optional<Value>& v, bool otherwise) { return v ? truth(*v) : otherwise; }
int64_t number(const std::optional<Value>& v, int64_t otherwise, std::string_view what) {
  return v ? as_int(*v, what) : otherwise;
}

// "a.b.0": what selectattr, map and sort look at.
Value by_path(Value value, const Value& path, Budget& budget) {
  const std::string* text = path.text();
  if (!text) return item_at(value, path, budget);
  for (size_t at = 0; at <= text->size();) {
    const size_t end = std::min(text->find('.', at), text->size());
    const std::string part = text->substr(at, end - at);
    const bool digits = !part.empty() && part.size() < 10 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    value = item_at(value, digits ? Value(int64_t{std::stoi(part)}) : make_text(part, budget), budget);
    at = end + 1;
  }
  return value;
}

// The key to compare by, without case unless asked.
Value key_of(const Value& value, const std::optional<Value>& path, bool case_sensitive, Budget& budget) {
  Value key = path && !path->none() ? by_path(value, *path, budget) : value;
  if (case_sensitive || !key.text()) return key;
  return make_text(lower(*key.text()), budget);
}

Value sorted(Values items, const std::vector<Value>& keys, bool reverse, Budget& budget) {
  std::vector<size_t> at(items.size());
  for (size_t i = 0; i < at.size(); ++i) at[i] = i;
  std::stable_sort(at.begin(), at.end(), [&](size_t a, size_t b) {
    return reverse ? order(keys[b], keys[a], budget) < 0 : order(keys[a], keys[b], budget) < 0;
  });
  Values out;
  for (size_t i : at) out.push_back(std::move(items[i]));
  return make_list(std::move(out), budget);
}

Value sort(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("sort", {"reverse", "case_sensitive", "attribute"});
  Values items = iterate(value, budget);
  std::vector<Value> keys;
  for (const Value& item : items) keys.push_back(key_of(item, a[2], flag(a[1], false), budget));
  return sorted(std::move(items), keys, flag(a[0], false), budget);
}

Value dictsort(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("dictsort", {"case_sensitive", "by", "reverse"});
  const std::string by = a[1] ? as_text(*a[1], "dictsort: by") : "key";
  expect(value.dict(), "dictsort: expected a dict, found ", type_name(value));
  expect(by == "key" || by == "value", "dictsort: by ", by);
  Values items, keys;
  for (const auto& [key, mapped] : value.dict()->entries) {
    items.push_back(make_list({key, mapped}, budget, List::tuple));
    keys.push_back(key_of(by == "key" ? key : mapped, {}, flag(a[0], false), budget));
  }
  return sorted(std::move(items), keys, flag(a[2], false), budget);
}

Value unique(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("unique", {"case_sensitive", "attribute"});
  Values out, keys;
  for (const Value& item : iterate(value, budget)) {
    Value key = key_of(item, a[1], flag(a[0], false), budget);
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& k) { return equal(k, key, budget); })) continue;
    keys.push_back(std::move(key));
    out.push_back(item);
  }
  return make_list(std::move(out), budget, List::generator);
}

template <int sign>
Value extreme(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind(sign < 0 ? "min" : "max", {"case_sensitive", "attribute"});
  Value best, best_key;
  bool any = false;
  for (const Value& item : iterate(value, budget)) {
    Value key = key_of(item, a[1], flag(a[0], false), budget);
    if (any && order(key, best_key, budget) * sign <= 0) continue;
    best = item;
    best_key = std::move(key);
    any = true;
  }
  return any ? best : make_undefined("No aggregated item, sequence was empty.", budget);
}

Value map(const Value& value, const Arguments& arguments, Budget& budget) {
  Deeper deeper(budget);
  Values out;
  if (!truth(value)) return make_list({}, budget, List::generator);  // none | map(...) is no error in jinja2
  const auto attribute = std::find_if(arguments.named.begin(), arguments.named.end(),
                                      [](const auto& n) { return n.first == "attribute"; });
  if (attribute != arguments.named.end()) {
    std::optional<Value> otherwise;
    for (const auto& [name, v] : arguments.named) {
      expect(name == "attribute" || name == "default", "map: no argument is called ", name);
      if (name == "default") otherwise = v;
    }
    for (const Value& item : iterate(value, budget)) {
      Value found = by_path(item, attribute->second, budget);
      out.push_back(found.undefined() && otherwise ? *otherwise : std::move(found));
    }
  } else {
    expect(!arguments.positional.empty(), "map: expected the name of a filter");
    const std::string& name = as_text(arguments.positional[0], "map");
    const FilterFunction filter = find_filter(name);
    expect(filter, "no filter named '", name, "'");
    const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
    for (const Value& item : iterate(value, budget)) {
      budget.step(rest.positional.size() + 1);
      out.push_back(filter(item, rest, budget));
    }
  }
  return make_list(std::move(out), budget, List::generator);
}

// select, reject, selectattr, rejectattr.
template <bool by_attribute, bool wanted>
Value choose(const Value& value, const Arguments& arguments, Budget& budget) {
  Deeper deeper(budget);
  size_t next = 0;
  const Values& given = arguments.positional;
  expect(!by_attribute || !given.empty(), "selectattr: expected the name of an attribute");
  const Value path = by_attribute ? given[next++] : Value();
  TestFunction test = nullptr;
  if (next < given.size()) {
    const std::string& name = as_text(given[next++], "select");
    test = find_test(name);
    expect(test, "no test named '", name, "'");
  }
  const Arguments rest{{given.begin() + static_cast<ptrdiff_t>(next), given.end()}, arguments.named};
  Values out;
  if (!truth(value)) return make_list({}, budget, List::generator);
  for (const Value& item : iterate(value, budget)) {
    const Value looked_at = by_attribute ? by_path(item, path, budget) : item;
    if ((test ? test(looked_at, rest, budget) : truth(looked_at)) == wanted) out.push_back(item);
  }
  return make_list(std::move(out), budget, List::generator);
}

Value join(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("join", {"d", "attribute"});
  const std::string between = a[0] ? to_text(*a[0], budget) : "";
  std::string out;
  bool first = true;
  for (const Value& item : iterate(value, budget)) {
    if (!first) out += between;
    first = false;
    out += to_text(a[1] && !a[1]->none() ? by_path(item, *a[1], budget) : item, budget);
    budget.make(between.size());
  }
  return make_text(std::move(out), budget);
}

Value first(const Value& value, const Arguments&, Budget& budget) {
  const Values items = iterate(value, budget);
  return items.empty() ? make_undefined("No first item, sequence was empty.", budget) : items.front();
}
Value last(const Value& value, const Arguments&, Budget& budget) {
  const Values items = iterate(value, budget);
  return items.empty() ? make_undefined("No last item, sequence was empty.", budget) : items.back();
}

Value reverse(const Value& value, const Arguments&, Budget& budget) {
  Values items = iterate(value, budget);
  std::reverse(items.begin(), items.end());
  if (!value.text()) return make_list(std::move(items), budget, List::generator);
  std::string out;
  for (const Value& c : items) out += *c.text();
  return make_text(std::move(out), budget);
}

Value items(const Value& value, const Arguments&, Budget& budget) {
  Values out;
  expect(value.dict() || value.undefined(), "items: can only get item pairs from a mapping");
  if (value.dict())
    for (const auto& [key, mapped] : value.dict()->entries)
      out.push_back(make_list({key, mapped}, budget, List::tuple));
  return make_list(std::move(out), budget, List::generator);
}

Value batch(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("batch", {"linecount", "fill_with"});
  const int64_t n = number(a[0], 0, "batch");
  expect(n > 0 && n <= 1'000'000, "batch: ", n, " items in a row");
  Values out, row;
  const auto finish = [&] { out.push_back(make_list(std::exchange(row, {}), budget)); };
  for (const Value& item : iterate(value, budget)) {
    if (row.size() == static_cast<size_t>(n)) finish();
    row.push_back(item);
  }
  if (!row.empty()) {
    if (a[1] && !a[1]->none()) {
      budget.make(static_cast<size_t>(n) * sizeof(Value));
      row.resize(static_cast<size_t>(n), *a[1]);
    }
    finish();
  }
  return make_list(std::move(out), budget, List::generator);
}

Value sum(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("sum", {"attribute", "start"});
  Value total = a[1].value_or(0);
  for (const Value& item : iterate(value, budget))
    total = arithmetic("+", std::move(total), a[0] && !a[0]->none() ? by_path(item, *a[0], budget) : item, budget);
  return total;
}

Value default_(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind("default", {"default_value", "boolean"});
  const bool missing = value.undefined() || (flag(a[1], false) && !truth(value));
  return missing ? a[0].value_or(make_text("", budget)) : value;
}

Value string(const Value& value, const Arguments&, Budget& budget) {
  return value.text() ? value : make_text(to_text(value, budget), budget);
}
Value list(const Value& value, const Arguments&, Budget& budget) { return make_list(iterate(value, budget), budget); }
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

constexpr std::pair<std::string_view, FilterFunction> filters[] = {
    {"abs", abs},
    {"attr", attr},
    {"batch", batch},
    {"capitalize", capitalize},
    {"count", length},
    {"d", default_},
    {"default", default_},
    {"dictsort", dictsort},
    {"e", escape},
    {"escape", escape},
    {"first", first},
    {"float", float_},
    {"format", format},
    {"indent", indent},
    {"int", int_},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"lower", lower},
    {"map", map},
    {"max", extreme<1>},
    {"min", extreme<-1>},
    {"reject", choose<false, false>},
    {"rejectattr", choose<true, false>},
    {"replace", replace},
    {"reverse", reverse},
    {"round", round},
    {"safe", same},
    {"select", choose<false, true>},
    {"selectattr", choose<true, true>},
    {"sort", sort},
    {"string", string},
    {"sum", sum},
    {"title", title},
    {"tojson", tojson},
    {"trim", trim},
    {"unique", unique},
    {"upper", upper},
    {"wordcount", wordcount},
};

}  // namespace

FilterFunction find_filter(std::string_view name) {
  for (const auto& [known, function] : filters)
    if (known == name) return function;
  return nullptr;
}

}  // namespace headrace::jinja
