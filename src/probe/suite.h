// The matrix of architectures and probes: a short list of tasks at sizes that a CPU trains in seconds to minutes, and a page of what came out.
#pragma once
#include <string>
#include <vector>

#include "probe/farm.h"

namespace headrace {

struct SuiteTask {
  const char* task;
  std::vector<std::string> set;
  std::vector<std::string> longer;       // a second test, as a rule at lengths that were not trained; none: empty
  int64_t steps;                         // before the suite's share of them
  double chance = 0;                     // accuracy of a guess
};
std::span<const SuiteTask> suite();
// Attention, linear attention, state spaces, the delta rule, an LSTM, a hybrid: two layers of width 64.
std::span<const std::string> suite_blueprints();
// A cell's grid for one of the tasks; share of its steps.
Grid suite_grid(const SuiteTask& task, const Cell& base, const std::vector<std::string>& blueprints, const std::vector<uint64_t>& seeds,
                double share);

struct SuiteResult { const SuiteTask* task; std::vector<Summary> summaries; };
std::string to_html(const std::vector<SuiteResult>& results);            // one page, without scripts

}  // namespace headrace
