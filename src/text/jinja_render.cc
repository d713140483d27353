// Runs the statements of a template.
#include "text/jinja_renderer.h"

namespace headrace::jinja {

Flow Renderer::run(const Body& body) {
  for (const Statement& s : body)
    if (Flow flow = run(s); flow != Flow::next) return flow;
  return Flow::next;
}

std::string Renderer::captured(const Body& body, Flow& flow) {
  Capture capture(*this);
  Scope scope(*this);
  flow = run(body);
  return std::move(capture.text);
}

Flow Renderer::run_for(const Statement& s) {
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

Flow Renderer::run(const Statement& s) {
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

Value Renderer::filtered(const Expression& filters, Value value) {
  std::swap(block_text, value);
  Value made = eval(filters);
  block_text = std::move(value);
  return made;
}

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
