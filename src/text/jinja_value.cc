// Values of chat templates: making, comparing, printing.
#include "text/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/unicode.h"

namespace headrace::jinja {

const Value* Dict::find(std::string_view key, Budget& budget) const {
  budget.step(entries.size() / 8 + 1);
  for (const auto& [k, value] : entries)
    if (const std::string* text = k.text(); text && *text == key) return &value;
  return nullptr;
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  if (const std::string* text = key.text()) return find(*text, budget);
  for (const auto& [k, value] : entries)
    if (equal(k, key, budget)) return &value;
  return nullptr;
}

void Dict::set(Value key, Value value, Budget& budget) {
  expect(!key.list() || key.list()->kind == List::tuple, "unhashable type: '", type_name(key), "'");
  expect(!key.dict(), "unhashable type: 'dict'");
  if (const Value* found = find(key, budget)) {
    *const_cast<Value*>(found) = std::move(value);
  } else {
    entries.emplace_back(std::move(key), std::move(value));
  }
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : names)
    if (key == name) return &value;
  return nullptr;
}

int depth_of(const Value& value) {
  if (const List* list = value.list()) return list->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const Loop* loop = value.loop()) return 1 + loop->items->depth;
  if (const Callable* callable = value.callable()) return 1 + depth_of(callable->self);
  return 0;
}

Value make_text(std::string text, Budget& budget) {
  budget.make(text.size() + 16);
  return Value(std::make_shared<std::string>(std::move(text)));
}

Value make_list(Values items, Budget& budget, List::Kind kind) {
  budget.make(items.size() * sizeof(Value) + 32);
  auto list = std::make_shared<List>();
  for (const Value& item : items) list->depth = std::max(list->depth, 1 + depth_of(item));
  expect(list->depth <= max_value_depth, "a value nested deeper than ", max_value_depth);
  list->kind = kind;
  list->items = std::move(items);
  return Value(std::shared_ptr<const List>(std::move(list)));
}

Value make_dict(Dict dict, Budget& budget) {
  budget.make(dict.entries.size() * sizeof(dict.entries[0]) + 32);
  for (const auto& [key, value] : dict.entries)
    dict.depth = std::max({dict.depth, 1 + depth_of(key), 1 + depth_of(value)});
  expect(dict.depth <= max_value_depth, "a value nested deeper than ", max_value_depth);
  return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict))));
}

Value make_method(std::string_view name, Value self, Budget& budget) {
  budget.make(sizeof(Callable));
  auto made = std::make_shared<Callable>();
  made->kind = Callable::method;
  made->name = name;
  made->self = std::move(self);
  Value value{std::shared_ptr<const Callable>(std::move(made))};
  expect(depth_of(value) <= max_value_depth, "a value nested deeper than ", max_value_depth);
  return value;
}

Value make_undefined(std::string why, Budget& budget) {
  budget.make(why.size() + 16);
  Value value;
  std::get<Undefined>(value.v).why = std::make_shared<const std::string>(std::move(why));
  return value;
}

void fail_undefined(const Value& value) {
  const Undefined* u = std::get_if<Undefined>(&value.v);
  fail(u && u->why ? *u->why : "a value is undefined");
}

bool truth(const Value& value) {
  if (value.undefined() || value.none()) return false;
  if (value.number()) return as_double(value) != 0;
  if (const std::string* text = value.text()) return !text->empty();
  if (const List* list = value.list()) return list->kind == List::generator || !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

double as_double(const Value& n) {
  if (n.boolean()) return std::get<bool>(n.v) ? 1 : 0;
  return n.integer() ? static_cast<double>(std::get<int64_t>(n.v)) : std::get<double>(n.v);
}

int64_t as_int(const Value& value, std::string_view what) {
  if (value.undefined()) fail_undefined(value);
  if (value.boolean()) return std::get<bool>(value.v);
  expect(value.integer(), what, ": expected an integer, found ", type_name(value));
  return std::get<int64_t>(value.v);
}

const std::string& as_text(const Value& value, std::string_view what) {
  if (value.undefined()) fail_undefined(value);
  expect(value.text(), what, ": expected text, found ", type_name(value));
  return *value.text();
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.number() && b.number()) {
    if (a.real() || b.real()) return as_double(a) == as_double(b);
    return as_int(a, "") == as_int(b, "");
  }
  if (a.v.index() != b.v.index()) return false;
  if (a.undefined() || a.none()) return true;
  if (const std::string* x = a.text()) {
    budget.step(x->size() / 256);
    return *x == *b.text();
  }
  if (const List* x = a.list()) {
    const List* y = b.list();
    if (x == y) return true;
    return x->kind == y->kind && x->items.size() == y->items.size() &&
           std::equal(x->items.begin(), x->items.end(), y->items.begin(),
                      [&](const Value& p, const Value& q) { return equal(p, q, budget); });
  }
  if (const Dict* x = a.dict()) {
    const Dict* y = b.dict();
    if (x == y) return true;
    if (x->entries.size() != y->entries.size()) return false;
    return std::all_of(x->entries.begin(), x->entries.end(), [&](const auto& entry) {
      const Value* other = y->find(entry.first, budget);
      return other && equal(entry.second, *other, budget);
    });
  }
  return a.loop() == b.loop() && a.callable() == b.callable() && a.space() == b.space();
}

int order(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.undefined()) fail_undefined(a);
  if (b.undefined()) fail_undefined(b);
  if (a.number() && b.number()) {
    if (a.real() || b.real()) {
      const double x = as_double(a), y = as_double(b);
      return x < y ? -1 : x > y ? 1 : 0;
    }
    const int64_t x = as_int(a, ""), y = as_int(b, "");
    return x < y ? -1 : x > y;
  }
  if (a.text() && b.text()) {
    budget.step(a.text()->size() / 256);
    return a.text()->compare(*b.text());  // bytes of UTF-8 sort as code points
  }
  if (a.list() && b.list() && a.list()->kind == b.list()->kind) {
    const Values &x = a.list()->items, &y = b.list()->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i], budget)) return order(x[i], y[i], budget);
    return x.size() < y.size() ? -1 : x.size() > y.size();
  }
  fail("'", type_name(a), "' and '", type_name(b), "' have no order");
}

std::string_view type_name(const Value& value) {
  switch (value.v.index()) {
    case 0:
      return "Undefined";
    case 1:
      return "NoneType";
    case 2:
      return "bool";
    case 3:
      return "int";
    case 4:
      return "float";
    case 5:
      return "str";
    case 6:
      return value.list()->kind == List::list ? "list" : value.list()->kind == List::tuple ? "tuple" : "generator";
    case 7:
      return "dict";
    case 8:
      return "loop";
    case 9:
      return "function";
    default:
      return "namespace";
  }
}

// repr(float): the shortest digits that read back equal, with an exponent below 1e-4 and from 1e16.
std::string format_double(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const double size = std::fabs(value);
  const bool scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 scientific ? std::chars_format::scientific : std::chars_format::fixed);
  std::string out(buffer, end.ptr);
  if (!scientific && out.find('.') == out.npos) out += ".0";
  return out;
}

namespace {

void repr_text(std::string_view text, std::string& out) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  const char* hex = "0123456789abcdef";
  out += quote;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    if (c.code == quote || c.code == '\\') {
      out += '\\';
      out += static_cast<char>(c.code);
    } else if (c.code == '\n' || c.code == '\r' || c.code == '\t') {
      out += c.code == '\n' ? "\\n" : c.code == '\r' ? "\\r" : "\\t";
    } else if (is_printable(c.code)) {
      out.append(text, i, c.bytes);
    } else {
      const int digits = c.code < 0x100 ? 2 : c.code < 0x10000 ? 4 : 8;
      out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
      for (int k = digits - 1; k >= 0; --k) out += hex[c.code >> (4 * k) & 15];
    }
    i += c.bytes;
  }
  out += quote;
}

void repr(const Value& value, Budget& budget, std::string& out) {
  budget.step();
  const size_t before = out.size();
  if (const std::string* text = value.text()) {
    repr_text(*text, out);
    budget.make(out.size() - before);
  } else if (const List* list = value.list(); list && list->kind != List::generator) {
    const bool tuple = list->kind == List::tuple;
    out += tuple ? '(' : '[';
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i) out += ", ";
      repr(list->items[i], budget, out);
    }
    if (tuple && list->items.size() == 1) out += ',';
    out += tuple ? ')' : ']';
    budget.make(list->items.size() * 2 + 2);
  } else if (const Dict* dict = value.dict()) {
    out += '{';
    for (size_t i = 0; i < dict->entries.size(); ++i) {
      if (i) out += ", ";
      repr(dict->entries[i].first, budget, out);
      out += ": ";
      repr(dict->entries[i].second, budget, out);
    }
    out += '}';
    budget.make(dict->entries.size() * 4 + 2);
  } else if (value.undefined()) {
    out += "Undefined";
  } else if (value.none()) {
    out += "None";
  } else if (value.boolean()) {
    out += std::get<bool>(value.v) ? "True" : "False";
  } else if (value.integer()) {
    out += std::to_string(std::get<int64_t>(value.v));
  } else if (value.real()) {
    out += format_double(std::get<double>(value.v));
  } else {
    fail("a ", type_name(value), " has no text");
  }
}

}  // namespace

std::string to_repr(const Value& value, Budget& budget) {
  std::string out;
  repr(value, budget, out);
  return out;
}

std::string to_text(const Value& value, Budget& budget) {
  if (const std::string* text = value.text()) {
    budget.make(text->size());
    return *text;
  }
  return value.undefined() ? "" : to_repr(value, budget);
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    out.push_back(text.substr(i, character_at(text, i).bytes));
    i += out.back().size();
  }
  return out;
}

bool is_space(int32_t code) { return is_whitespace(code) || (code >= 0x1C && code <= 0x1F); }

std::string_view strip(std::string_view text, const std::string* what, bool left, bool right) {
  if (what) expect(what->size() <= 256, "strip: at most 256 bytes of characters to strip, found ", what->size());
  const auto goes = [&](std::string_view c) {
    return what ? what->find(c) != what->npos : is_space(character_at(c, 0).code);
  };
  while (left && !text.empty()) {
    const size_t bytes = character_at(text, 0).bytes;
    if (!goes(text.substr(0, bytes))) break;
    text.remove_prefix(bytes);
  }
  while (right && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!goes(text.substr(begin))) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

}  // namespace headrace::jinja
