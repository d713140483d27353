// The suite's sizes are those of the literature's reduced grids or below; what it says holds for these sizes and this many steps.
#include "probe/suite.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace headrace {

std::span<const SuiteTask> suite() {
  static const std::vector<SuiteTask> all{
      {"mqar", {"V=128", "L=48", "pairs=6"}, {"L=96", "pairs=12"}, 2000},
      {"induction", {}, {"L=60"}, 2000},
      {"selective_copy", {"L=64", "n=8"}, {"L=128", "n=8"}, 2000},
      {"copy", {"min=3", "max=10"}, {"min=11", "max=20"}, 2000},
      {"disjoint", {"V=128", "first=4", "second=12"}, {"first=12", "second=4"}, 2000},
      {"hop", {"N=40", "k=4"}, {"N=80"}, 2000},
      {"compose", {"n=6"}, {}, 2000},
      {"flip_flop", {"L=64"}, {"L=256"}, 1500},
      {"parity", {}, {"min=41", "max=80"}, 2000},
      {"words", {"group=S3", "min=4", "max=20"}, {"min=21", "max=40"}, 2000},
      {"mod_arith", {"max=21"}, {"min=23", "max=41"}, 2000},
      {"dyck", {"m=4", "max=40"}, {"min=42", "max=80"}, 2000},
      {"majority", {"max=31"}, {"min=33", "max=63"}, 1500},
      {"connectivity", {"n=8"}, {}, 2000},
      {"match", {"N=12"}, {}, 2000},
      {"regression", {"dims=3", "points=12"}, {}, 2000},
  };
  return all;
}
std::span<const std::string> suite_blueprints() {
  static const std::vector<std::string> all{
      "d=64 2*(attn(heads=4) + swiglu)", "d=64 2*(attn(heads=4, rope=0) + swiglu)", "d=64 2*(gla(heads=2, key=16, value=32, conv=4) + swiglu)",
      "d=64 2*mamba", "d=64 2*(delta_net(heads=2, key=32, value=32, twice=on) + swiglu)", "d=64 2*lstm",
      "d=64 mamba, attn(heads=4, rope=0) + swiglu"};
  return all;
}

Grid suite_grid(const SuiteTask& task, const Cell& base, const std::vector<std::string>& blueprints, const std::vector<uint64_t>& seeds,
                double share) {
  Grid g{.base = base, .blueprints = blueprints, .axes = {}, .seeds = seeds};
  g.base.task = task.task, g.base.set = task.set;
  g.base.tests = {{}};
  if (!task.longer.empty()) g.base.tests.push_back(task.longer);
  g.base.steps = std::max<int64_t>(1, std::llround(share * static_cast<double>(task.steps)));
  return g;
}

std::string to_html(const std::vector<SuiteResult>& results) {
  std::vector<std::string> blueprints;
  for (const SuiteResult& r : results)
    for (const Summary& s : r.summaries)
      if (std::find(blueprints.begin(), blueprints.end(), s.blueprint) == blueprints.end()) blueprints.push_back(s.blueprint);
  std::string out = "<!doctype html><meta charset=\"utf-8\"><title>headrace probe all</title><style>body{font:14px sans-serif}td,th{padding:4px 8px;"
                    "text-align:center;border:1px solid #ccc}th:first-child{text-align:left}table{border-collapse:collapse}</style>\n"
                    "<h1>Architectures and probes</h1><p>Accuracy (of vectors 1 - MSE / variance), mean over seeds with its 95 % interval: "
                    "as trained, and below it with the parameters in the task's second line.</p>\n<table><tr><th>task</th>";
  for (const std::string& b : blueprints) out += "<th>" + b + "</th>";
  out += "</tr>\n";
  for (const SuiteResult& r : results) {
    const auto joined = [](const std::vector<std::string>& v) { std::string s; for (const auto& x : v) s += " " + x; return s; };
    out += fmt::format("<tr><th title=\"{}\">{}<br><small>{}<br>{}</small></th>", find_task(r.task->task)->doc.shows, r.task->task,
                       joined(r.task->set), joined(r.task->longer));
    for (const std::string& b : blueprints) {
      const auto s = std::find_if(r.summaries.begin(), r.summaries.end(), [&](const Summary& x) { return x.blueprint == b; });
      if (s == r.summaries.end()) { out += "<td></td>"; continue; }
      const double first = std::clamp(s->tests[0].mean, 0.0, 1.0);
      out += fmt::format("<td style=\"background:hsl({:.0f} 70% 85%)\">", 120 * first);
      for (const Summary::Test& t : s->tests) out += fmt::format("{:.2f} &plusmn; {:.2f}<br>", t.mean, t.half);
      out += "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

}  // namespace headrace
