// Work of a region of tasks, cut among the threads by cost; the pieces do not change what a task computes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "ops/kernels.h"

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

// Channels [first, first + channels) of one sequence, or of all of them.
struct ChannelTask {
  int sequence;
  int64_t first, channels;
  double cost;
};
// `tokens` of a sequence, `block` channels a task.
inline void add_channel_tasks(std::vector<ChannelTask>& tasks, int sequence, int64_t tokens, int64_t channels, int64_t block) {
  for (int64_t c = 0; c < channels; c += block) {
    const int64_t n = std::min(block, channels - c);
    tasks.push_back({sequence, c, n, static_cast<double>(n * tokens)});
  }
}
inline std::vector<ChannelTask> channel_tasks(const Sequences& sequences, int64_t channels, int64_t block) {
  std::vector<ChannelTask> tasks;
  for (int s = 0; s < sequences.count(); ++s)
    add_channel_tasks(tasks, s, sequences.offsets[s + 1] - sequences.offsets[s], channels, block);
  return tasks;
}

}  // namespace headrace::cpu
