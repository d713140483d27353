// How a family's file makes rows of the registry: a task is a struct of its parameters that lists them in visit (nn/options.h) and
// draws a sample.
//
//   struct Parity {
//     static constexpr TaskDoc doc{"parity", ...};
//     int min, max;
//     void visit(auto& v) { v("min", min, 3, "shortest"); ... }
//     void check();                            // optional: what does not fit together; what is made once
//     int vocab() const;  Sample sample(Dice& d) const;
//     std::string word(int32_t t) const;       // optional
//   };
#pragma once
#include "base/error.h"
#include "probe/probe.h"

namespace headrace {

template <class T>
Task open_of(std::span<const Setting> given) {
  auto t = std::make_shared<T>();
  OptionReader reader(given, T::doc.name);
  t->visit(reader);
  reader.finish();
  OptionPrinter parameters;
  t->visit(parameters);
  if constexpr (requires { t->check(); }) t->check();
  Task task;
  task.name = T::doc.name, task.parameters = parameters.out;
  if constexpr (requires { t->vocab(); }) task.vocab = t->vocab();
  if constexpr (requires { t->inputs(); }) task.inputs = t->inputs();
  if constexpr (requires { t->outputs(); }) task.outputs = t->outputs();
  task.draw = [t](Dice& d, Dice& fixed) {
    if constexpr (requires { t->sample(d, fixed); }) return t->sample(d, fixed);
    else return t->sample(d);
  };
  task.word = [t](int32_t token) {
    if constexpr (requires { t->word(token); }) return t->word(token);
    else return std::to_string(token);
  };
  return task;
}
template <class T>
TaskInfo task_of() {
  return {T::doc, [] { T t; OptionLister all; t.visit(all); return all.all; }, open_of<T>};
}

inline size_t at(int i) { return static_cast<size_t>(i); }   // vectors count in size_t, mathematics in int

// Lengths of a task in one place: least and most, both included.
struct Lengths {
  int min, max;
  void visit(auto& v, int least, int most, int floor, const char* of) {
    v("min", min, least, of, Range{static_cast<double>(floor), 1 << 20});
    v("max", max, most, "the most of them", Range{static_cast<double>(floor), 1 << 20});
  }
  void check(const char* task) const { expect(min <= max, task, ": min = ", min, " is over max = ", max); }
  int draw(Dice& d) const { return d.between(min, max); }
};

// Chains of thought (Wei et al. 2022, 2201.11903; Li et al. 2024, 2402.12875): what stands between a question and its answer.
//   none   the answer at the question's last token
//   steps  "=" and the states on the way, every stride-th and the last, which is the answer: all are learned, the answer is scored
//   dots   as many tokens as steps has, which say nothing: more computation alone (Pfau et al. 2024, 2404.15758)
// Two tokens of the vocabulary are for it, first and first + 1.
struct Trace {
  std::string kind;
  int stride;
  void visit(auto& v) {
    v("trace", kind, "none", "what is written before the answer", Choice{"none", "steps", "dots"});
    v("stride", stride, 1, "of the steps, each how many-th is written");
  }
  int tokens() const { return kind == "none" ? 0 : 2; }
  // To a question that stands in s: states, the last of which is the answer.
  void finish(Sample& s, const std::vector<int32_t>& states, int32_t first) const;
  static std::string word(int32_t which) { return which == 0 ? "=" : "."; }
};

}  // namespace headrace
