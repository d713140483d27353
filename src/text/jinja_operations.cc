// What templates do with values: indexing, slicing, arithmetic, iteration.
#include <algorithm>
#include <cmath>

#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {

Values iterate(const Value& value, Budget& budget) {
  if (value.undefined()) return {};
  Values out;
  if (const List* list = value.list()) {
    budget.step(list->items.size());
    out = list->items;
  } else if (const Dict* dict = value.dict()) {
    budget.step(dict->entries.size());
    for (const auto& [key, unused] : dict->entries) out.push_back(key);
  } else if (const std::string* text = value.text()) {
    for (std::string_view c : characters(*text)) {
      budget.step();
      out.push_back(make_text(std::string(c), budget));
    }
  } else {
    fail("'", type_name(value), "' object is not iterable");
  }
  budget.make(out.size() * sizeof(Value));
  return out;
}

size_t length(const Value& value, Budget& budget) {
  if (value.undefined()) return 0;
  if (const std::string* text = value.text()) {
    budget.step(text->size() / 64);
    if (is_ascii(*text)) return text->size();
    size_t n = 0;
    for (char c : *text) n += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
    return n;
  }
  if (const Dict* dict = value.dict()) return dict->entries.size();
  const List* list = value.list();
  expect(list && list->kind != List::generator, "object of type '", type_name(value), "' has no len()");
  return list->items.size();
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (container.undefined()) return false;
  if (const std::string* text = container.text()) {
    const std::string& wanted = as_text(item, "in");
    budget.search(*text, wanted);
    return text->find(wanted) != text->npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(item, budget) != nullptr;
  if (const List* list = container.list())
    return std::any_of(list->items.begin(), list->items.end(), [&](const Value& v) { return equal(v, item, budget); });
  fail("argument of type '", type_name(container), "' is not iterable");
}

namespace {

Value missing(const Value& container, std::string_view what, std::string_view name, Budget& budget) {
  return make_undefined(text("'", type_name(container), " object' has no ", what, " '", name, "'"), budget);
}

Value of_loop(const Loop& loop, std::string_view name, bool& found) {
  const Values& items = loop.items->items;
  const size_t i = loop.index, n = items.size();
  found = true;
  if (name == "index") return i + 1;
  if (name == "index0") return i;
  if (name == "revindex") return n - i;
  if (name == "revindex0") return n - i - 1;
  if (name == "first") return i == 0;
  if (name == "last") return i + 1 == n;
  if (name == "length") return n;
  if (name == "depth") return 1;
  if (name == "depth0") return 0;
  if (name == "previtem") return i > 0 ? items[i - 1] : Value();
  if (name == "nextitem") return i + 1 < n ? items[i + 1] : Value();
  found = false;
  return {};
}

}  // namespace

Value attribute(const Value& container, const std::string& name, Budget& budget) {
  budget.step();
  if (container.undefined()) fail_undefined(container);
  if (const Loop* loop = container.loop()) {
    bool found = false;
    Value value = of_loop(*loop, name, found);
    if (found) return value;
  }
  if (Namespace* space = container.space()) {
    budget.step(space->names.size() / 8);
    if (const Value* found = space->find(name)) return *found;
    return missing(container, "attribute", name, budget);
  }
  if (std::string_view method = method_name(container, name); !method.empty())
    return make_method(method, container, budget);
  if (changes_its_object(container, name))
    return make_undefined(text("'", type_name(container), "' values do not change, so they have no ", name, "()"),
                          budget);
  if (const Dict* dict = container.dict())
    if (const Value* found = dict->find(name, budget)) return *found;
  return missing(container, "attribute", name, budget);
}

Value item_at(const Value& container, const Value& index, Budget& budget) {
  budget.step();
  if (container.undefined()) fail_undefined(container);
  if (const Dict* dict = container.dict())
    if (const Value* found = dict->find(index, budget)) return *found;
  if (const std::string* name = index.text()) return attribute(container, *name, budget);
  const List* list = container.list();
  const std::string* text = container.text();
  if ((text || (list && list->kind != List::generator)) && (index.integer() || index.boolean())) {
    const int64_t n = static_cast<int64_t>(length(container, budget));
    int64_t i = as_int(index, "index");
    if (i < 0) i += n;
    if (i >= 0 && i < n) {
      if (list) return list->items[static_cast<size_t>(i)];
      if (is_ascii(*text)) return make_text(std::string(1, (*text)[static_cast<size_t>(i)]), budget);
      size_t at = 0;
      for (; i > 0; --i) at += character_at(*text, at).bytes;
      return make_text(text->substr(at, character_at(*text, at).bytes), budget);
    }
  }
  return missing(container, "element", index.number() ? to_repr(index, budget) : type_name(index), budget);
}

Value slice(const Value& container, const Value (&bounds)[3], Budget& budget) {
  if (container.undefined()) fail_undefined(container);
  const List* list = container.list();
  const std::string* text = container.text();
  expect(text || (list && list->kind != List::generator), "'", type_name(container), "' object cannot be sliced");
  const int64_t n = static_cast<int64_t>(length(container, budget));
  const int64_t step = bounds[2].none() ? 1 : as_int(bounds[2], "slice");
  expect(step != 0, "slice: the step is zero");
  const auto bound = [&](const Value& v, int64_t otherwise) {
    if (v.none()) return otherwise;
    int64_t i = as_int(v, "slice");
    if (i < 0) i = i < -n ? -1 : i + n;
    return step > 0 ? std::clamp<int64_t>(i, 0, n) : std::clamp<int64_t>(i, -1, n - 1);
  };
  const int64_t from = bound(bounds[0], step > 0 ? 0 : n - 1), to = bound(bounds[1], step > 0 ? n : -1);
  budget.step(static_cast<size_t>(n) / 64);
  if (text && is_ascii(*text) && step == 1)
    return make_text(from < to ? text->substr(static_cast<size_t>(from), static_cast<size_t>(to - from)) : "", budget);
  if (text) budget.make(text->size() * sizeof(std::string_view));
  const std::vector<std::string_view> letters = text ? characters(*text) : std::vector<std::string_view>();
  std::string out;
  Values items;
  for (int64_t i = from; step > 0 ? i < to : i > to;) {
    budget.step();
    if (text) {
      out += letters[static_cast<size_t>(i)];
    } else {
      items.push_back(list->items[static_cast<size_t>(i)]);
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return text ? make_text(std::move(out), budget) : make_list(std::move(items), budget, list->kind);
}

namespace {

int64_t whole(std::string_view op, int64_t a, int64_t b) {
  int64_t r = 0;
  bool over = false;
  if (op == "+") over = __builtin_add_overflow(a, b, &r);
  if (op == "-") over = __builtin_sub_overflow(a, b, &r);
  if (op == "*") over = __builtin_mul_overflow(a, b, &r);
  if (op == "//" || op == "%") {
    expect(b != 0, "division by zero");
    over = a == INT64_MIN && b == -1;
    if (!over) {
      const int64_t quotient = a / b, rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);  // Python rounds towards minus infinity
      r = op == "%" ? (down ? rest + b : rest) : (down ? quotient - 1 : quotient);
    }
  }
  if (op == "**") {
    r = 1;
    for (int64_t base = a, n = b; n > 0 && !over; n >>= 1) {
      if (n & 1) over = __builtin_mul_overflow(r, base, &r);
      if (n > 1 && !over) over = __builtin_mul_overflow(base, base, &base);
    }
  }
  expect(!over, "an integer of more than 64 bits: ", a, " ", op, " ", b);
  return r;
}

double real(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  expect(b != 0, "division by zero");
  if (op == "/") return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return op == "%" ? rest : std::floor((a - rest) / b + 0.5);
}

}  // namespace

Value arithmetic(std::string_view op, Value a, const Value& b, Budget& budget) {
  budget.step();
  if (a.undefined()) fail_undefined(a);
  if (op == "%" && a.text())
    return make_text(
        percent_format(*a.text(), b.list() && b.list()->kind == List::tuple ? b.list()->items : Values{b}, budget),
        budget);
  if (b.undefined()) fail_undefined(b);
  if (a.number() && b.number()) {
    if (op == "/" || a.real() || b.real() || (op == "**" && as_double(b) < 0))
      return real(op, as_double(a), as_double(b));
    return whole(op, as_int(a, op), as_int(b, op));
  }
  if (op == "+" && a.text() && b.text()) {
    Text& left = std::get<Text>(a.v);
    if (left.use_count() == 1) {  // nobody else sees this one: a + b + c + ... stays linear
      budget.make(b.text()->size());
      *left += *b.text();
      return a;
    }
    budget.make(left->size() + b.text()->size());
    return Value(std::make_shared<std::string>(*left + *b.text()));
  }
  if (op == "+" && a.list() && b.list() && a.list()->kind == b.list()->kind && a.list()->kind != List::generator) {
    Values items = iterate(a, budget);
    for (Value& item : iterate(b, budget)) items.push_back(std::move(item));
    return make_list(std::move(items), budget, a.list()->kind);
  }
  if (op == "*" && (a.text() || a.list() || b.text() || b.list()) && (a.number() || b.number())) {
    const Value& many = a.number() ? b : a;
    const int64_t n = std::max<int64_t>(0, as_int(a.number() ? a : b, "*"));
    const size_t one = many.text() ? many.text()->size() : many.list()->items.size() * sizeof(Value);
    expect(one == 0 || n <= budget.bytes / static_cast<int64_t>(one), "the template makes too much text");
    if (const std::string* text = many.text()) {
      std::string out;
      for (int64_t i = 0; i < n && one; ++i) out += *text;
      return make_text(std::move(out), budget);
    }
    expect(many.list()->kind != List::generator, "a generator cannot be repeated");
    Values items;
    for (int64_t i = 0; i < n && one; ++i)
      items.insert(items.end(), many.list()->items.begin(), many.list()->items.end());
    return make_list(std::move(items), budget, many.list()->kind);
  }
  fail("unsupported operand types for ", op, ": '", type_name(a), "' and '", type_name(b), "'");
}

}  // namespace headrace::jinja
