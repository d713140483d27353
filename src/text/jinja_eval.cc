// Evaluates the expressions of a template.
#include <ctime>

#include "text/jinja_renderer.h"

namespace headrace::jinja {
namespace {

constexpr std::string_view functions[] = {"range", "dict", "namespace", "raise_exception", "strftime_now"};

}  // namespace

Value* Renderer::find(Frame* from, std::string_view name) {
  for (Frame* f = from; f; f = f->parent) {
    budget.step(f->names.size() / 16 + 1);
    for (auto& [known, value] : f->names)
      if (known == name) return &value;
  }
  return nullptr;
}
void Renderer::assign(std::string_view name, Value value) {
  budget.step(frame->names.size() / 16 + 1);
  for (auto& [known, old] : frame->names)
    if (known == name) {
      old = std::move(value);
      return;
    }
  budget.make(sizeof(Value) * 2);
  frame->names.emplace_back(name, std::move(value));
}
void Renderer::assign(const Expression& target, Value value) {
  if (target.kind == Expression::name) {
    assign(target.text, std::move(value));
  } else if (target.kind == Expression::attribute) {
    const std::string& name = target.parts[0]->text;
    Value* found = find(frame, name);
    if (!found) fail("'", name, "' is undefined");
    Namespace* space = found->space();
    expect(space, "cannot assign attribute '", target.text, "': '", name, "' is no namespace");
    budget.step(space->names.size() / 8 + 1);
    if (Value* old = space->find(target.text)) {
      *old = std::move(value);
    } else {
      budget.make(target.text.size() + sizeof(Value) * 2);
      space->names.emplace_back(target.text, std::move(value));
    }
  } else {
    Values items = iterate(value, budget);
    expect(items.size() == target.parts.size(), "cannot unpack ", items.size(), " values into ", target.parts.size());
    for (size_t i = 0; i < items.size(); ++i) assign(*target.parts[i], std::move(items[i]));
  }
}

Value Renderer::name(const std::string& wanted) {
  if (Value* found = find(frame, wanted)) return *found;
  for (std::string_view known : functions)
    if (known == wanted) {
      auto made = std::make_shared<Callable>();
      made->name = known;
      return Value(std::shared_ptr<const Callable>(std::move(made)));
    }
  return make_undefined(text("'", wanted, "' is undefined"), budget);
}

Arguments Renderer::arguments(const Expression& e) {
  Arguments a;
  for (size_t i = 1; i < e.parts.size(); ++i) a.positional.push_back(eval(*e.parts[i]));
  for (const auto& [key, value] : e.named) a.named.emplace_back(key, eval(*value));
  if (e.star)
    for (Value& v : iterate(eval(*e.star), budget)) a.positional.push_back(std::move(v));
  if (e.stars) {
    const Value given = eval(*e.stars);
    expect(given.dict(), "the argument after ** is a ", type_name(given));
    for (const auto& [key, value] : given.dict()->entries) a.named.emplace_back(as_text(key, "**"), value);
  }
  budget.make((a.positional.size() + a.named.size() * 2) * sizeof(Value));
  return a;
}

Value Renderer::call(const Value& callee, const Arguments& a) {
  if (callee.undefined()) fail_undefined(callee);
  const Callable* c = callee.callable();
  expect(c, "'", type_name(callee), "' object is not callable");
  if (c->kind == Callable::method) return call_method(c->name, c->self, a, budget);
  if (c->kind == Callable::macro) return call_macro(*c, a);
  if (c->name == "raise_exception") {
    const auto b = a.bind(c->name, {"message"});
    fail(b[0] ? to_text(*b[0], budget) : "the template raised an exception");
  }
  if (c->name == "namespace") {
    budget.make(sizeof(Namespace));
    Namespace& space = spaces.emplace_back();
    const Value given = call_function("dict", a, budget);
    for (const auto& [key, value] : given.dict()->entries) space.names.emplace_back(as_text(key, "namespace"), value);
    return Value(&space);
  }
  if (c->name == "strftime_now") {
    const auto b = a.bind(c->name, {"format"});
    expect(b[0].has_value(), "strftime_now: expected a format");
    return make_text(date(as_text(*b[0], "strftime_now")), budget);
  }
  return call_function(c->name, a, budget);
}

std::string Renderer::date(const std::string& format) {
  expect(format.size() <= 200, "strftime_now: a format of ", format.size(), " bytes");
  std::tm parts{};
  const std::time_t seconds = now ? static_cast<std::time_t>(*now) : std::time(nullptr);
  const std::tm* made = now ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts);
  expect(made, "strftime_now: no such time");
  char buffer[8192];
  return std::string(buffer, std::strftime(buffer, sizeof buffer, format.c_str(), &parts));
}

Value Renderer::call_macro(const Callable& macro, const Arguments& a) {
  Deeper deeper(budget);
  const Statement& s = *macro.body;
  Scope scope(*this, macro.scope);
  expect(a.positional.size() <= s.parameters.size(), "macro ", macro.name, ": at most ", s.parameters.size(),
         " arguments, found ", a.positional.size());
  for (const auto& [key, value] : a.named) {
    size_t i = 0;
    while (i < s.parameters.size() && s.parameters[i].first != key) ++i;
    budget.step(i + 1);
    expect(i < s.parameters.size() || key == "caller", "macro ", macro.name, ": no argument is called ", key);
    expect(i >= a.positional.size() || i == s.parameters.size(), "macro ", macro.name, ": argument ", key,
           " is given twice");
    assign(i < s.parameters.size() ? std::string_view(s.parameters[i].first) : "caller", value);
  }
  for (size_t i = 0; i < s.parameters.size(); ++i) {
    const auto& [key, otherwise] = s.parameters[i];
    if (i < a.positional.size()) {
      assign(key, a.positional[i]);
      continue;
    }
    bool given = false;
    for (const auto& named : a.named) given |= named.first == key;
    budget.step(a.named.size());
    if (!given)
      assign(key,
             otherwise ? eval(*otherwise) : make_undefined(text("parameter '", key, "' was not provided"), budget));
  }
  Capture capture(*this);
  run(s.body);
  return make_text(std::move(capture.text), budget);
}

Value Renderer::macro(const Statement& s, std::string_view called) {
  auto made = std::make_shared<Callable>();
  made->kind = Callable::macro;
  made->name = called;
  made->body = &s;
  made->scope = frame;
  for (Frame* f = frame; f && !f->kept; f = f->parent) f->kept = true;
  return Value(std::shared_ptr<const Callable>(std::move(made)));
}

bool Renderer::compare(const Expression& e) {
  Value left = eval(*e.parts[0]);
  for (size_t i = 0; i < e.operators.size(); ++i) {
    Value right = eval(*e.parts[i + 1]);
    const std::string& op = e.operators[i];
    line = e.line;
    bool holds = false;
    if (op == "==" || op == "!=") {
      holds = equal(left, right, budget) == (op == "==");
    } else if (op == "in" || op == "not in") {
      holds = contains(right, left, budget) == (op == "in");
    } else {
      const int o = order(left, right, budget);
      holds = op == "<" ? o < 0 : op == "<=" ? o <= 0 : op == ">" ? o > 0 : o >= 0;
    }
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

Value Renderer::eval(const Expression& e) {
  budget.step();
  line = e.line;
  switch (e.kind) {
    case Expression::constant:
      return e.value;
    case Expression::name:
      return name(e.text);
    default:
      break;
  }
  Deeper deeper(budget);
  return operation(e);
}

Value Renderer::operation(const Expression& e) {
  switch (e.kind) {
    case Expression::list:
    case Expression::tuple: {
      Values items;
      for (const auto& part : e.parts) items.push_back(eval(*part));
      return make_list(std::move(items), budget, e.kind == Expression::list ? List::list : List::tuple);
    }
    case Expression::dict: {
      Dict dict;
      for (size_t i = 0; i < e.parts.size(); i += 2) {
        Value key = eval(*e.parts[i]);
        dict.set(std::move(key), eval(*e.parts[i + 1]), budget);
      }
      return make_dict(std::move(dict), budget);
    }
    case Expression::attribute:
      return attribute(eval(*e.parts[0]), e.text, budget);
    case Expression::item: {
      const Value container = eval(*e.parts[0]);
      return item_at(container, eval(*e.parts[1]), budget);
    }
    case Expression::slice: {
      const Value container = eval(*e.parts[0]);
      Value bounds[3] = {None{}, None{}, None{}};
      for (size_t i = 0; i < 3; ++i)
        if (e.parts[i + 1]) bounds[i] = eval(*e.parts[i + 1]);
      return slice(container, bounds, budget);
    }
    case Expression::call: {
      const Value callee = eval(*e.parts[0]);
      const Arguments a = arguments(e);
      line = e.line;
      return call(callee, a);
    }
    case Expression::filter: {
      const FilterFunction filter = find_filter(e.text);
      expect(filter, "no filter named '", e.text, "'");
      const Value value = e.parts[0] ? eval(*e.parts[0]) : block_text;
      const Arguments a = arguments(e);
      line = e.line;
      return filter(value, a, budget);
    }
    case Expression::test: {
      const TestFunction test = find_test(e.text);
      expect(test, "no test named '", e.text, "'");
      const Value value = eval(*e.parts[0]);
      return test(value, arguments(e), budget);
    }
    case Expression::negate:
      return arithmetic("-", 0, eval(*e.parts[0]), budget);
    case Expression::plus:
      return arithmetic("+", 0, eval(*e.parts[0]), budget);
    case Expression::not_:
      return !truth(eval(*e.parts[0]));
    case Expression::and_:
    case Expression::or_: {
      Value value;
      for (const auto& part : e.parts) {
        value = eval(*part);
        if (truth(value) == (e.kind == Expression::or_)) break;
      }
      return value;
    }
    case Expression::arithmetic: {
      std::vector<const Expression*> chain;  // a + b + c + ... leans left; walked, not recursed
      const Expression* first = &e;
      for (; first->kind == Expression::arithmetic; first = first->parts[0].get()) chain.push_back(first);
      Value value = eval(*first);
      for (auto next = chain.rbegin(); next != chain.rend(); ++next) {
        const Value right = eval(*(*next)->parts[1]);
        line = (*next)->line;
        value = arithmetic((*next)->text, std::move(value), right, budget);
      }
      return value;
    }
    case Expression::concat: {
      std::string joined;
      for (const auto& part : e.parts) joined += to_text(eval(*part), budget);
      return make_text(std::move(joined), budget);
    }
    case Expression::compare:
      return compare(e);
    case Expression::conditional:
      if (truth(eval(*e.parts[1]))) return eval(*e.parts[0]);
      if (e.parts[2]) return eval(*e.parts[2]);
      return make_undefined("an inline if without else was false", budget);
    default:
      return {};
  }
}

}  // namespace headrace::jinja
