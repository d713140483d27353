// The list of tasks, and what a sample is: drawn from its own stream until it belongs to its split.
#include <algorithm>

#include "base/nearest.h"
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

uint64_t hash(uint64_t h, std::span<const std::byte> bytes) {             // FNV-1a
  for (const std::byte b : bytes) h = (h ^ static_cast<uint64_t>(b)) * 0x100000001b3u;
  return h;
}
uint64_t hash(std::string_view s) { return hash(0xcbf29ce484222325u, std::as_bytes(std::span(s))); }

// One sequence in eight belongs to valid, one to test, six to train.
Split split_of(const Sample& s) {
  uint64_t h = hash(0xcbf29ce484222325u, std::as_bytes(std::span(s.tokens)));
  h = hash(h, std::as_bytes(std::span(s.x)));
  h ^= h >> 32, h *= 0xd6e8feb86659fd93u, h ^= h >> 32;                   // FNV's low bits alone are weak
  return h % 8 == 0 ? Split::valid : h % 8 == 1 ? Split::test : Split::train;
}

std::vector<TaskInfo> all_tasks() {
  std::vector<TaskInfo> all;
  for (auto* family : {recall_tasks, needle_tasks, twice_tasks, mad_tasks, copying_tasks, hop_tasks, averaging_tasks, automata_tasks, group_tasks,
                       arithmetic_tasks, language_tasks, graph_tasks, matching_tasks, similarity_tasks, length_tasks, listops_tasks,
                       regression_tasks, confusion_tasks, source_tasks})
    for (TaskInfo& t : family()) all.push_back(t);
  return all;
}

}  // namespace

Split split_from_name(std::string_view s) {
  for (Split split : {Split::train, Split::valid, Split::test})
    if (s == name(split)) return split;
  fail("split '", quoted(s), "'; known: train, valid, test");
}
const char* name(Split split) { return split == Split::train ? "train" : split == Split::valid ? "valid" : "test"; }

Sample Task::sample(uint64_t seed, Split split, uint64_t index) const {
  constexpr uint64_t most_attempts = 2000, most_index = uint64_t{1} << 38;
  expect(index < most_index, name, ": sample ", index, " is over ", most_index - 1);
  const uint64_t stream = hash(name) * 4;
  for (uint64_t attempt = 0; attempt < most_attempts; ++attempt) {
    Dice dice(seed, stream + static_cast<uint64_t>(split), index, attempt), fixed(seed, stream + 3, 0);
    Sample s = draw(dice, fixed);
    if (split_of(s) == split) return s;
  }
  fail("probe ", name, ": none of ", most_attempts, " draws is of the ", headrace::name(split), " split: with ",
       parameters.empty() ? "its defaults" : parameters, " there are too few different sequences to part");
}

std::span<const TaskInfo> tasks() {
  static const std::vector<TaskInfo> all = all_tasks();
  return all;
}
const TaskInfo* find_task(std::string_view name) {
  const auto found = std::find_if(tasks().begin(), tasks().end(), [&](const TaskInfo& t) { return t.doc.name == name; });
  return found == tasks().end() ? nullptr : &*found;
}
const TaskInfo& task_by_name(std::string_view name) {
  if (const TaskInfo* t = find_task(name)) return *t;
  std::vector<std::string> names;
  for (const TaskInfo& t : tasks()) names.emplace_back(t.doc.name);
  fail("probe '", quoted(name).substr(0, 40), "'; ", did_you_mean(name, names), "known: ", listed(names));
}
void set_parameter(std::vector<std::string>& settings, const std::string& setting) {
  const auto name = [](std::string_view s) { return s.substr(0, s.find('=')); };
  std::erase_if(settings, [&](const std::string& before) { return name(before) == name(setting); });
  settings.push_back(setting);
}
Task open_task(std::string_view name, std::span<const std::string> settings) {
  const TaskInfo& info = task_by_name(name);
  std::vector<Setting> given;
  for (const std::string& s : settings) {
    const size_t equals = s.find('=');
    expect(equals != std::string::npos && equals > 0, "probe ", name, ": '", quoted(s), "': wanted name=value");
    given.push_back({.name = s.substr(0, equals), .value = s.substr(equals + 1)});
  }
  try {
    return info.open(given);
  } catch (const TextError& e) {         // of an option; its place in a text says nothing here
    const std::string what = e.what();
    fail("probe ", what.starts_with(name) ? "" : text(name, ": "), what);
  }
}

void Trace::finish(Sample& s, const std::vector<int32_t>& states, int32_t first) const {
  if (kind == "none") return s.ask_last(states.back());
  s.say(first);
  for (size_t i = at(stride) - 1;; i += at(stride)) {
    const bool last = i >= states.size() - 1;
    if (kind == "steps") s.targets.back() = last ? states.back() : states[i];
    if (last) break;
    s.say(kind == "steps" ? states[i] : first + 1);
  }
  s.ask_last(states.back());
}

}  // namespace headrace
