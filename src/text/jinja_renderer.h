// The state of one rendering, shared by what evaluates expressions (jinja_eval.cc) and what runs statements
// (jinja_render.cc).
//
// Names are looked up in a chain of frames. Bodies of for, macro, call, filter, with and set blocks have a frame of
// their own; if has none. A macro keeps the frame it was defined in alive, and those around it, until the rendering
// ends: frames and namespaces belong to the rendering, so that what a template ties into a knot is freed all the same.
#pragma once
#include <deque>

#include "text/jinja_calls.h"
#include "text/jinja_render.h"

namespace headrace::jinja {

struct Frame {
  Frame* parent = nullptr;
  bool kept = false;
  std::vector<std::pair<std::string_view, Value>> names;
};

enum class Flow { next, break_, continue_ };

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

  Value* find(Frame* from, std::string_view name);
  void assign(std::string_view name, Value value);
  void assign(const Expression& target, Value value);
  Value name(const std::string& wanted);
  Arguments arguments(const Expression& e);
  Value call(const Value& callee, const Arguments& a);
  std::string date(const std::string& format);
  Value call_macro(const Callable& macro, const Arguments& a);
  Value macro(const Statement& s, std::string_view called);
  bool compare(const Expression& e);
  Value eval(const Expression& e);
  Value operation(const Expression& e);

  Flow run(const Body& body);
  std::string captured(const Body& body, Flow& flow);
  Flow run_for(const Statement& s);
  Flow run(const Statement& s);
  Value filtered(const Expression& filters, Value value);
};

}  // namespace headrace::jinja
