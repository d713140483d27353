// What a cell is: its key, its tests, and what is looked at before it is trained.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "probe/results.h"
#include "probe/runner.h"

namespace headrace {
namespace {

// Of the training loop: another number where cells would come out otherwise, so that results of before do not stand for new ones.
constexpr int64_t loop = 3;

// Of these settings those that are not given again.
std::vector<std::string> without(const std::vector<std::string>& set, const std::vector<std::string>& again) {
  std::vector<std::string> left;
  for (const std::string& s : set) {
    const std::string name = s.substr(0, s.find('=') + 1);
    if (std::none_of(again.begin(), again.end(), [&](const std::string& a) { return a.starts_with(name); })) left.push_back(s);
  }
  return left;
}
std::vector<std::string> set_of(const Cell& cell, const std::vector<std::string>& test) {
  std::vector<std::string> set = without(cell.set, test);
  set.insert(set.end(), test.begin(), test.end());
  return set;
}

// Different sequences among the first samples of a split, counted as far as `enough`.
int64_t different(const Task& task, const Cell& cell, Split split, int64_t enough) {
  const auto bytes = [](const auto& v) { return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof v[0]); };
  std::set<std::string> seen;
  for (int64_t from = 0; from < cell.samples && std::ssize(seen) < enough; from += enough)
    for (const Sample& s : draw_batch(task, cell.seed, split, static_cast<uint64_t>(from), std::min(enough, cell.samples - from)).samples)
      seen.insert(bytes(s.tokens) + bytes(s.x));
  return std::ssize(seen);
}
// Parameters of which twice as much makes half as many more.
std::string larger(const Cell& cell, const std::vector<std::string>& set, Split split, int64_t found) {
  std::string names;
  for (const OptionHelp& h : find_task(cell.task)->options()) {
    std::string value = h.otherwise;
    for (const std::string& s : set)
      if (s.starts_with(h.name + "=")) value = s.substr(h.name.size() + 1);
    if (h.values.find(" to ") == std::string::npos || value.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string more = h.name + "=" + std::to_string(2 * std::stoll(value));
    std::vector<std::string> with = without(set, {more});
    with.push_back(more);
    try {
      if (different(open_task(cell.task, with), cell, split, 3 * found / 2 + 1) > 3 * found / 2) names += (names.empty() ? "" : ", ") + h.name;
    } catch (const Error&) {                               // does not fit the others
    }
  }
  return names;
}
void check_split(const Cell& cell, const std::vector<std::string>& set, Split split) {
  const Task task = open_task(cell.task, set);
  const int64_t wanted = std::min<int64_t>(32, cell.samples / 4), found = different(task, cell, split, wanted);
  if (found >= wanted) return;
  const std::string names = larger(cell, set, split, found);
  fail("probe ", cell.task, ": ", cell.samples, " samples of the ", name(split), " split are ", found, " different sequences with ",
       task.parameters.empty() ? "its defaults" : task.parameters, ", wanted ", wanted, names.empty() ? "" : "; more with a larger ", names);
}

}  // namespace

std::string Cell::key() const {
  Array t;
  for (const auto& s : tests) t.push_back(texts(s));
  Object o{{"task", task}, {"blueprint", blueprint}, {"set", texts(set)}, {"tests", t}, {"seed", static_cast<int64_t>(seed)},
           {"rate", rate}, {"decay", decay}, {"clip", clip}, {"beta", beta}, {"steps", steps}, {"batch", batch}, {"samples", samples},
           {"every", every}, {"until", until}, {"loop", loop}};
  if (const TaskInfo* info = find_task(task); info && info->doc.version > 1) o["version"] = info->doc.version;
  return to_json(o);
}

std::vector<Task> tests_of(const Cell& cell) {
  const Task task = open_task(cell.task, cell.set);
  std::vector<Task> tests;
  for (const auto& test : cell.tests) {
    const Task& t = tests.emplace_back(open_task(cell.task, set_of(cell, test)));
    expect(t.vocab == task.vocab && t.inputs == task.inputs && t.outputs == task.outputs, "probe ", cell.task, ": tested with ", t.parameters,
           " it has a vocabulary of ", t.vocab, ", trained one of ", task.vocab);
  }
  return tests;
}

void check_cell(const Cell& cell) {
  const auto decoded = [&](const Task& t) { return t.sample(cell.seed, Split::test, 0).decoded.size(); };
  const size_t answers = decoded(open_task(cell.task, cell.set));
  for (const Task& t : tests_of(cell))
    expect(decoded(t) == answers, "probe ", cell.task, ": tested with ", t.parameters, " it has ", decoded(t), " answers at the last token, trained ",
           answers);
  check_split(cell, cell.set, Split::valid);
  for (const auto& test : cell.tests) check_split(cell, set_of(cell, test), Split::test);
}

}  // namespace headrace
