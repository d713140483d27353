// Probes: tasks that tell what an architecture can and cannot do, as data that needs no storing. A sample depends on
// (seed, split, index) alone; the samples of two splits are never the same (each sequence belongs to one split by a hash of it).
//
//   const Task task = open_task("mqar", {{"L", "128"}, {"pairs", "8"}});
//   const Sample s = task.sample(seed, Split::train, index);
//
// The target at a position is what is to be said there, having seen the tokens up to and with it: nothing is shifted.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/options.h"
#include "probe/dice.h"

namespace headrace {

enum class Split { train, valid, test };
Split split_from_name(std::string_view name);
const char* name(Split split);

struct Sample {
  static constexpr int32_t none = -100;
  std::vector<int32_t> tokens;           // [T]; empty where inputs are vectors
  std::vector<int32_t> targets;          // [T]: the loss is over those that are not none; empty where answers are vectors
  std::vector<uint8_t> mask;             // [T]: 1 where the answer is scored, for targets and y alike
  struct Also { int32_t at, token; };
  std::vector<Also> also;                // answers that are right too
  std::vector<float> x, y;               // [T, Task::inputs], [T, Task::outputs]
  std::vector<int32_t> decoded;          // answers that are all read from the last position, by an MLP that is told which (MAD's compression)

  int64_t length() const { return static_cast<int64_t>(mask.size()); }
  void say(int32_t token, int32_t target = none) { tokens.push_back(token), targets.push_back(target), mask.push_back(0); }
  void ask(int32_t token, int32_t target) { tokens.push_back(token), targets.push_back(target), mask.push_back(1); }
  void ask_last(int32_t target) { targets.back() = target, mask.back() = 1; }
};

// A task with its parameters read and checked.
struct Task {
  std::string name, parameters;          // "mqar", "L=128, pairs=8": what differs from the defaults
  int vocab = 0;                         // tokens, answers included; of vector inputs with answers by class: the classes
  int inputs = 0, outputs = 0;           // widths of x and y; 0: there are none
  std::function<Sample(Dice& dice, Dice& fixed)> draw;   // fixed: the same numbers for all samples of a seed
  std::function<std::string(int32_t)> word;              // a token for people

  Sample sample(uint64_t seed, Split split, uint64_t index) const;
};

struct TaskDoc {
  const char* name;
  const char* title;
  const char* paper;
  const char* shows;                     // what is expected of whom, from the literature
  int version = 1;                       // another number where samples come out otherwise: results of before do not stand for new ones
};
struct TaskInfo {
  TaskDoc doc;
  std::vector<OptionHelp> (*options)();
  Task (*open)(std::span<const Setting> given);
};
std::span<const TaskInfo> tasks();
const TaskInfo* find_task(std::string_view name);        // null: unknown
const TaskInfo& task_by_name(std::string_view name);     // throws Error that names those there are
void set_parameter(std::vector<std::string>& settings, const std::string& setting);   // "L=128", in place of what L was set to before
// "L=128", ...: throws Error that names the task, the parameter and its range.
Task open_task(std::string_view name, std::span<const std::string> settings = {});

}  // namespace headrace
