// Filters over lists and dicts, as jinja2 defines them.
#include <algorithm>

#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {
namespace {

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

Value list(const Value& value, const Arguments&, Budget& budget) { return make_list(iterate(value, budget), budget); }

constexpr Filter filters[] = {
    {"batch", batch},
    {"dictsort", dictsort},
    {"first", first},
    {"items", items},
    {"join", join},
    {"last", last},
    {"list", list},
    {"map", map},
    {"max", extreme<1>},
    {"min", extreme<-1>},
    {"reject", choose<false, false>},
    {"rejectattr", choose<true, false>},
    {"reverse", reverse},
    {"select", choose<false, true>},
    {"selectattr", choose<true, true>},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const Filter> list_filters() { return filters; }

}  // namespace headrace::jinja
