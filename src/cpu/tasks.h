// Work of a region of tasks, cut among the threads by cost; the pieces do not change what a task computes.
#pragma once
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/parallel.h"

namespace headrace::cpu {

// f(task), or f(task, piece) with piece below thread_count(), for every task, in runs of tasks of about equal cost.
// `least`: cost below which one thread does all.
template <class Task, class F>
void parallel_tasks(const std::vector<Task>& tasks, double least, F&& f) {
  double total = 0;
  for (const Task& t : tasks) total += t.cost;
  const int64_t pieces = total < least ? 1 : thread_count();
  parallel(pieces, 1, [&](int64_t begin, int64_t end, int) {
    const double from = total * static_cast<double>(begin) / static_cast<double>(pieces),
        to = total * static_cast<double>(end) / static_cast<double>(pieces);
    double before = 0;
    for (const Task& t : tasks) {
      double middle = before + t.cost / 2;
      if (middle >= from && (middle < to || end == pieces)) {
        if constexpr (std::is_invocable_v<F&, const Task&, int64_t>) f(t, begin);
        else f(t);
      }
      before += t.cost;
    }
  });
}

}  // namespace headrace::cpu
