// Methods of texts, lists and dicts, as Python defines them, and the global functions range and dict.
#include <algorithm>
#include <span>

#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {
namespace {

constexpr std::string_view text_methods[] = {
    "capitalize", "casefold", "center",    "count",      "endswith",  "find",         "format",       "index",
    "isalnum",    "isalpha",  "isdecimal", "isdigit",    "islower",   "isnumeric",    "isspace",      "isupper",
    "join",       "ljust",    "lower",     "lstrip",     "partition", "removeprefix", "removesuffix", "replace",
    "rfind",      "rindex",   "rjust",     "rpartition", "rsplit",    "rstrip",       "split",        "splitlines",
    "startswith", "strip",    "swapcase",  "title",      "upper",     "zfill"};
constexpr std::string_view dict_methods[] = {"copy", "get", "items", "keys", "values"};
constexpr std::string_view list_methods[] = {"copy", "count", "index"};
constexpr std::string_view loop_methods[] = {"cycle"};
constexpr std::string_view dict_changes[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view list_changes[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"};

std::string_view among(std::span<const std::string_view> names, std::string_view name) {
  const auto at = std::find(names.begin(), names.end(), name);
  return at == names.end() ? std::string_view() : *at;
}

// The pieces of a text; `limit` cuts at most, from the right with `from_right`.
Value split(const std::string& text, const std::optional<Value>& separator, int64_t limit, bool from_right,
            Budget& budget) {
  std::vector<std::string_view> out;
  const bool by_space = !separator || separator->none();
  std::string_view rest = text;
  if (by_space) { rest = strip(rest, nullptr, !from_right, from_right); }
  const std::string between = by_space ? "" : as_text(*separator, "split");
  expect(by_space || !between.empty(), "split: empty separator");
  budget.search(rest, between);
  for (; limit != 0; --limit) {
    budget.step();
    size_t begin = rest.npos, end = 0;
    if (by_space && rest.empty()) break;
    if (!by_space) {
      begin = from_right ? rest.rfind(between) : rest.find(between);
      end = begin + between.size();
    } else if (from_right) {
      for (size_t i = rest.size(); i > 0 && begin == rest.npos;) {
        size_t c = i - 1;
        while (c > 0 && (static_cast<uint8_t>(rest[c]) & 0xC0) == 0x80) --c;
        if (is_space(character_at(rest, c).code)) {
          end = i;
          begin = strip(rest.substr(0, i), nullptr, false, true).size();
        }
        i = c;
      }
    } else {
      for (size_t i = 0; i < rest.size() && begin == rest.npos;) {
        const Character c = character_at(rest, i);
        if (is_space(c.code)) {
          begin = i;
          end = rest.size() - strip(rest.substr(i), nullptr, true, false).size();
        }
        i += c.bytes;
      }
    }
    if (begin == rest.npos) break;
    out.push_back(from_right ? rest.substr(end) : rest.substr(0, begin));
    rest = from_right ? rest.substr(0, begin) : rest.substr(end);
  }
  if (!by_space || !rest.empty()) out.push_back(rest);
  if (from_right) std::reverse(out.begin(), out.end());
  Values values;
  for (std::string_view piece : out) values.push_back(make_text(std::string(piece), budget));
  return make_list(std::move(values), budget);
}

Value splitlines(const std::string& text, bool keep_ends, Budget& budget) {
  Values out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    const size_t end = i;
    i += c.bytes;
    const bool ends = (c.code >= 0x0A && c.code <= 0x0D) || (c.code >= 0x1C && c.code <= 0x1E) || c.code == 0x85 ||
                      c.code == 0x2028 || c.code == 0x2029;
    if (!ends) continue;
    if (c.code == '\r' && i < text.size() && text[i] == '\n') ++i;
    budget.step();
    out.push_back(make_text(text.substr(begin, (keep_ends ? i : end) - begin), budget));
    begin = i;
  }
  if (begin < text.size()) out.push_back(make_text(text.substr(begin), budget));
  return make_list(std::move(out), budget);
}

std::string replace(const std::string& text, const std::string& from, const std::string& to, int64_t limit,
                    Budget& budget) {
  std::string out;
  size_t at = 0;
  if (from.empty()) {  // between all characters
    for (std::string_view c : characters(text)) {
      if (limit-- != 0) {
        budget.make(to.size());
        out += to;
      } else {
        ++limit;
      }
      out += c;
    }
    if (limit != 0) out += to;
    return out;
  }
  budget.search(text, from);
  for (size_t hit; limit != 0 && (hit = text.find(from, at)) != text.npos; --limit) {
    budget.step();
    budget.make(to.size());
    out.append(text, at, hit - at);
    out += to;
    at = hit + from.size();
  }
  return out.append(text, at);
}

// Whether all characters are of a kind, and there is one.
template <class F>
bool all_are(const std::string& text, F kind) {
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    if (!kind(c.code)) return false;
    i += c.bytes;
  }
  return !text.empty();
}
bool is_upper(int32_t code) {
  std::string a, b;
  append_lower(a, code);
  append_utf8(b, code);
  return a != b;
}
bool is_lower(int32_t code) {
  std::string a, b;
  append_upper(a, code);
  append_utf8(b, code);
  return a != b;
}
bool cased(const std::string& text, bool want_upper) {
  bool any = false;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    if (want_upper ? is_lower(c.code) : is_upper(c.code)) return false;
    any |= want_upper ? is_upper(c.code) : is_lower(c.code);
    i += c.bytes;
  }
  return any;
}

// find, rfind, index, rindex, count, startswith, endswith take a part of the text.
Value search(std::string_view name, const std::string& whole, const Arguments& arguments, Budget& budget) {
  const Bound a = arguments.bind(name, {"sub", "start", "end"});
  expect(a[0].has_value(), name, ": expected a text to look for");
  const Value none = None{};
  const Value part =
      a[1] || a[2] ? slice(make_text(whole, budget), {a[1].value_or(none), a[2].value_or(none), none}, budget) : none;
  const std::string& text = part.none() ? whole : *part.text();
  budget.step(text.size() / 64 + 1);
  if (name == "startswith" || name == "endswith") {
    const auto fits = [&](const Value& v) {
      const std::string& affix = as_text(v, name);
      return name == "startswith" ? text.starts_with(affix) : text.ends_with(affix);
    };
    const List* several = a[0]->list();
    if (!several) return fits(*a[0]);
    return std::any_of(several->items.begin(), several->items.end(), [&](const Value& v) {
      budget.step();
      return fits(v);
    });
  }
  const std::string& wanted = as_text(*a[0], name);
  budget.search(text, wanted);
  if (name == "count") {
    if (wanted.empty()) return length(make_text(text, budget), budget) + 1;
    int64_t n = 0;
    for (size_t at = 0; (at = text.find(wanted, at)) != text.npos; at += wanted.size()) ++n;
    return n;
  }
  const size_t at = name[0] == 'r' ? text.rfind(wanted) : text.find(wanted);
  if (at == text.npos) {
    expect(name == "find" || name == "rfind", name, ": substring not found");
    return -1;
  }
  int64_t start = 0;
  if (a[1] && !a[1]->none()) {
    const int64_t n = static_cast<int64_t>(length(make_text(whole, budget), budget));
    start = as_int(*a[1], name);
    if (start < 0) start = std::max<int64_t>(0, start + n);
  }
  return start + static_cast<int64_t>(length(make_text(text.substr(0, at), budget), budget));
}

Value text_method(std::string_view name, const std::string& s, const Arguments& arguments, Budget& budget) {
  const auto made = [&](std::string t) { return make_text(std::move(t), budget); };
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex" || name == "count" ||
      name == "startswith" || name == "endswith")
    return search(name, s, arguments, budget);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Bound a = arguments.bind(name, {"chars"});
    return made(std::string(
        strip(s, a[0] && !a[0]->none() ? &as_text(*a[0], name) : nullptr, name != "rstrip", name != "lstrip")));
  }
  if (name == "split" || name == "rsplit") {
    const Bound a = arguments.bind(name, {"sep", "maxsplit"});
    return split(s, a[0], a[1] ? as_int(*a[1], name) : -1, name == "rsplit", budget);
  }
  if (name == "splitlines") {
    const Bound a = arguments.bind(name, {"keepends"});
    return splitlines(s, a[0] && truth(*a[0]), budget);
  }
  if (name == "replace") {
    const Bound a = arguments.bind(name, {"old", "new", "count"});
    expect(a[0] && a[1], "replace: expected two texts");
    const int64_t limit = a[2] && !a[2]->none() ? as_int(*a[2], name) : -1;
    return made(replace(s, as_text(*a[0], name), as_text(*a[1], name), limit, budget));
  }
  if (name == "join") {
    const Bound a = arguments.bind(name, {"iterable"});
    expect(a[0].has_value(), "join: expected a list");
    std::string out;
    bool first = true;
    for (const Value& item : iterate(*a[0], budget)) {
      budget.make(s.size());
      if (!first) out += s;
      first = false;
      out += as_text(item, "join");
    }
    return made(std::move(out));
  }
  if (name == "format") return made(brace_format(s, arguments, budget));
  if (name == "partition" || name == "rpartition") {
    const Bound a = arguments.bind(name, {"sep"});
    expect(a[0].has_value(), name, ": expected a separator");
    const std::string& by = as_text(*a[0], name);
    expect(!by.empty(), name, ": empty separator");
    budget.search(s, by);
    const size_t at = name[0] == 'r' ? s.rfind(by) : s.find(by);
    if (at == s.npos) {
      const bool right = name[0] == 'r';
      return make_list({made(right ? "" : s), made(""), made(right ? s : "")}, budget, List::tuple);
    }
    return make_list({made(s.substr(0, at)), made(by), made(s.substr(at + by.size()))}, budget, List::tuple);
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const Bound a = arguments.bind(name, {"affix"});
    expect(a[0].has_value(), name, ": expected a text");
    const std::string& affix = as_text(*a[0], name);
    if (name == "removeprefix") return made(s.starts_with(affix) ? s.substr(affix.size()) : s);
    return made(s.ends_with(affix) ? s.substr(0, s.size() - affix.size()) : s);
  }
  if (name == "center" || name == "ljust" || name == "rjust") {
    const Bound a = arguments.bind(name, {"width", "fillchar"});
    expect(a[0].has_value(), name, ": expected a width");
    const std::string fill = a[1] ? as_text(*a[1], name) : " ";
    expect(characters(fill).size() == 1, name, ": expected one character to fill with");
    return made(pad(s, as_int(*a[0], name), fill, name == "center" ? 0 : name == "rjust" ? -1 : 1, budget));
  }
  if (name == "zfill") {
    const Bound a = arguments.bind(name, {"width"});
    expect(a[0].has_value(), "zfill: expected a width");
    const bool sign = s.starts_with('-') || s.starts_with('+');
    return made((sign ? s.substr(0, 1) : "") + pad(s.substr(sign), as_int(*a[0], name) - sign, "0", -1, budget));
  }
  arguments.bind(name, {});
  budget.step(s.size() / 64);
  if (name == "upper") return made(upper(s));
  if (name == "lower" || name == "casefold") return made(lower(s));
  if (name == "isspace") return all_are(s, is_space);
  if (name == "isalpha") return all_are(s, is_letter);
  if (name == "isdigit" || name == "isdecimal" || name == "isnumeric") return all_are(s, is_numeric);
  if (name == "isalnum") return all_are(s, [](int32_t c) { return is_letter(c) || is_numeric(c); });
  if (name == "isupper" || name == "islower") return cased(s, name == "isupper");
  std::string out;  // capitalize, title, swapcase
  bool start = true;
  for (size_t i = 0; i < s.size();) {
    const Character c = character_at(s, i);
    const bool up = name == "swapcase" ? is_lower(c.code) : start;
    (up ? append_upper : append_lower)(out, c.code);
    start = name == "title" && !is_upper(c.code) && !is_lower(c.code);
    i += c.bytes;
  }
  return made(std::move(out));
}

}  // namespace

std::string_view method_name(const Value& self, std::string_view name) {
  if (self.text()) return among(text_methods, name);
  if (self.dict()) return among(dict_methods, name);
  if (self.list() && self.list()->kind != List::generator) return among(list_methods, name);
  if (self.loop()) return among(loop_methods, name);
  return {};
}

bool changes_its_object(const Value& self, std::string_view name) {
  if (self.dict()) return !among(dict_changes, name).empty();
  return self.list() && self.list()->kind == List::list && !among(list_changes, name).empty();
}

Value call_method(std::string_view name, const Value& self, const Arguments& arguments, Budget& budget) {
  budget.step();
  if (const std::string* text = self.text()) return text_method(name, *text, arguments, budget);
  if (const Dict* dict = self.dict()) {
    if (name == "get") {
      const Bound a = arguments.bind(name, {"key", "default"});
      expect(a[0].has_value(), "get: expected a key");
      const Value* found = dict->find(*a[0], budget);
      return found ? *found : a[1].value_or(None{});
    }
    arguments.bind(name, {});
    if (name == "copy") return self;
    Values out;
    for (const auto& [key, value] : dict->entries)
      out.push_back(name == "items" ? make_list({key, value}, budget, List::tuple) : name == "keys" ? key : value);
    return make_list(std::move(out), budget);
  }
  if (const List* list = self.list()) {
    if (name == "copy") return self;
    const Bound a = arguments.bind(name, {"value"});
    expect(a[0].has_value(), name, ": expected a value");
    int64_t n = 0;
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (!equal(list->items[i], *a[0], budget)) continue;
      if (name == "index") return i;
      ++n;
    }
    expect(name == "count", "index: the value is not in the list");
    return n;
  }
  if (const Loop* loop = self.loop()) {
    expect(!arguments.positional.empty(), "cycle: expected values");
    return arguments.positional[loop->index % arguments.positional.size()];
  }
  fail("'", type_name(self), "' has no ", name, "()");
}

Value call_function(std::string_view name, const Arguments& arguments, Budget& budget) {
  if (name == "range") {
    const Bound a = arguments.bind(name, {"start", "stop", "step"});
    expect(a[0].has_value(), "range: expected a number");
    const int64_t from = a[1] ? as_int(*a[0], name) : 0, to = as_int(a[1] ? *a[1] : *a[0], name);
    const int64_t step = a[2] ? as_int(*a[2], name) : 1;
    expect(step != 0, "range: the step is zero");
    Values out;
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
      expect(out.size() < 100'000, "range: more than 100000 numbers");
      out.push_back(i);
      if (__builtin_add_overflow(i, step, &i)) break;
    }
    return make_list(std::move(out), budget);
  }
  Dict dict;  // dict(mapping or pairs, name=value, ...)
  expect(arguments.positional.size() <= 1, "dict: expected one mapping");
  if (!arguments.positional.empty()) {
    const Value& given = arguments.positional[0];
    if (given.dict()) {
      dict = *given.dict();
      budget.step(dict.entries.size());
    } else {
      for (const Value& pair : iterate(given, budget)) {
        const Values two = iterate(pair, budget);
        expect(two.size() == 2, "dict: expected pairs");
        dict.set(two[0], two[1], budget);
      }
    }
  }
  for (const auto& [key, value] : arguments.named) dict.set(make_text(key, budget), value, budget);
  return make_dict(std::move(dict), budget);
}

}  // namespace headrace::jinja
