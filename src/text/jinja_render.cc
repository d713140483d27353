// The interpreter of chat templates: a walk over the tree.
//
// Names are looked up in a chain of frames. Bodies of for, macro, call, filter, with and set blocks have a frame of
// their own; if has none. A macro keeps the frame it was defined in alive, and those around it, until the rendering
// ends: frames and namespaces belong to the rendering, so that what a template ties into a knot is freed all the same.
#include "text/jinja_render.h"

#include <ctime>
#include <deque>

#include "text/jinja_calls.h"

namespace headrace::jinja {

struct Frame {
  Frame* parent = nullptr;
  bool kept = false;
  std::vector<std::pair<std::string_view, Value>> names;
};

namespace {

enum class Flow { next, break_, continue_ };

constexpr std::string_view functions[] = {"range", "dict", "namespace", "raise_exception", "strftime_now"};

struct Renderer {
  Budget budget;
  std::optional<int64_t> now;
  std::deque<Namespace> spaces;
  std::deque<Frame> frames;
  std::vector<Frame*> unused;
  Frame* frame = nullptr;
  int line = 1;
  Rendered result;
  std::string* out = &result.text;
  Value block_text;  // what the innermost filter block filters

  struct Scope {
    Renderer& r;
    Frame* before;
    explicit Scope(Renderer& renderer) : Scope(renderer, renderer.frame) {}
    Scope(Renderer& renderer, Frame* parent) : r(renderer), before(renderer.frame) {
      if (r.unused.empty()) {
        r.budget.make(sizeof(Frame));
        r.unused.push_back(&r.frames.emplace_back());
      }
      r.frame = r.unused.back();
      r.unused.pop_back();
      r.frame->parent = parent;
    }
    ~Scope() {
      if (!r.frame->kept) {
        r.frame->names.clear();
        r.unused.push_back(r.frame);
      }
      r.frame = before;
    }
  };
  struct Capture {
    Renderer& r;
    std::string text;
    std::string* before;
    explicit Capture(Renderer& renderer) : r(renderer), before(renderer.out) { r.out = &text; }
    ~Capture() { r.out = before; }
  };

  Value* find(Frame* from, std::string_view name) {
    for (Frame* f = from; f; f = f->parent) {
      budget.step(f->names.size() / 16 + 1);
      for (auto& [known, value] : f->names)
        if (known == name) return &value;
    }
    return nullptr;
  }
  void assign(std::string_view name, Value value) {
    budget.step(frame->names.size() / 16 + 1);
    for (auto& [known, old] : frame->names)
      if (known == name) {
        old = std::move(value);
        return;
      }
    budget.make(sizeof(Value) * 2);
    frame->names.emplace_back(name, std::move(value));
  }
  void assign(const Expression& target, Value value) {
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

  Value name(const std::string& wanted) {
    if (Value* found = find(frame, wanted)) return *found;
    for (std::string_view known : functions)
      if (known == wanted) {
        auto made = std::make_shared<Callable>();
        made->name = known;
        return Value(std::shared_ptr<const Callable>(std::move(made)));
      }
    return make_undefined(text("'", wanted, "' is undefined"), budget);
  }

  Arguments arguments(const Expression& e) {
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

  Value call(const Value& callee, const Arguments& a) {
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

  std::string date(const std::string& format) {
    expect(format.size() <= 200, "strftime_now: a format of ", format.size(), " bytes");
    std::tm parts{};
    const std::time_t seconds = now ? static_cast<std::time_t>(*now) : std::time(nullptr);
    const std::tm* made = now ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts);
    expect(made, "strftime_now: no such time");
    char buffer[8192];
    return std::string(buffer, std::strftime(buffer, sizeof buffer, format.c_str(), &parts));
  }

  Value call_macro(const Callable& macro, const Arguments& a) {
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

  Value macro(const Statement& s, std::string_view called) {
    auto made = std::make_shared<Callable>();
    made->kind = Callable::macro;
    made->name = called;
    made->body = &s;
    made->scope = frame;
    for (Frame* f = frame; f && !f->kept; f = f->parent) f->kept = true;
    return Value(std::shared_ptr<const Callable>(std::move(made)));
  }

  bool compare(const Expression& e) {
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

  Value eval(const Expression& e) {
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

  Value operation(const Expression& e) {
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

  Flow run(const Body& body) {
    for (const Statement& s : body)
      if (Flow flow = run(s); flow != Flow::next) return flow;
    return Flow::next;
  }

  std::string captured(const Body& body, Flow& flow) {
    Capture capture(*this);
    Scope scope(*this);
    flow = run(body);
    return std::move(capture.text);
  }

  Flow run_for(const Statement& s) {
    Values items = iterate(eval(*s.value), budget);
    if (s.condition) {
      Values kept;
      for (Value& item : items) {
        Scope scope(*this);
        assign(*s.target, item);
        if (truth(eval(*s.condition))) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    if (items.empty()) return run(s.otherwise);
    auto loop = std::make_shared<Loop>();
    loop->items = std::get<std::shared_ptr<const List>>(make_list(std::move(items), budget).v);
    for (; loop->index < loop->items->items.size(); ++loop->index) {
      Scope scope(*this);
      assign("loop", Value(std::shared_ptr<const Loop>(loop)));
      assign(*s.target, loop->items->items[loop->index]);
      if (run(s.body) == Flow::break_) break;
    }
    return Flow::next;
  }

  Flow run(const Statement& s) {
    budget.step();
    line = s.line;
    Flow flow = Flow::next;
    if (s.kind == Statement::data) {
      budget.make(s.text.size());
      *out += s.text;
      return flow;
    }
    Deeper deeper(budget);
    switch (s.kind) {
      case Statement::output:
        *out += to_text(eval(*s.value), budget);
        break;
      case Statement::for_:
        return run_for(s);
      case Statement::if_:
        for (const Branch& branch : s.branches)
          if (!branch.condition || truth(eval(*branch.condition))) return run(branch.body);
        break;
      case Statement::set:
        assign(*s.target, eval(*s.value));
        break;
      case Statement::set_block: {
        Value value = make_text(captured(s.body, flow), budget);
        if (s.value) value = filtered(*s.value, std::move(value));
        assign(*s.target, std::move(value));
        break;
      }
      case Statement::macro:
        assign(s.text, macro(s, s.text));
        break;
      case Statement::call_block: {
        const Value callee = eval(*s.value->parts[0]);
        Arguments a = arguments(*s.value);
        a.named.emplace_back("caller", macro(s, "caller"));
        line = s.line;
        *out += to_text(call(callee, a), budget);
        break;
      }
      case Statement::filter_block:
        *out += to_text(filtered(*s.value, make_text(captured(s.body, flow), budget)), budget);
        break;
      case Statement::with: {
        Values values;
        for (const auto& [unused, value] : s.parameters) values.push_back(eval(*value));
        Scope scope(*this);
        for (size_t i = 0; i < values.size(); ++i) assign(s.parameters[i].first, std::move(values[i]));
        return run(s.body);
      }
      case Statement::generation: {
        const size_t begin = out->size();
        Scope scope(*this);
        flow = run(s.body);
        if (out == &result.text && out->size() > begin) result.generated.emplace_back(begin, out->size());
        break;
      }
      case Statement::break_:
        return Flow::break_;
      case Statement::continue_:
        return Flow::continue_;
      default:
        break;
    }
    return flow;
  }

  Value filtered(const Expression& filters, Value value) {
    std::swap(block_text, value);
    Value made = eval(filters);
    block_text = std::move(value);
    return made;
  }
};

}  // namespace

Rendered render(const Body& body, Run run) {
  Renderer r{run.budget, run.now};
  try {
    Renderer::Scope scope(r);
    for (auto& [key, value] : run.variables.entries) r.assign(*key.text(), std::move(value));
    r.run(body);
  } catch (const Error& e) { fail(r.line, ": ", e.what()); }
  return std::move(r.result);
}

}  // namespace headrace::jinja
