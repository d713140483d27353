// The suite's sizes are those of the literature's reduced grids or below; what it says holds for these sizes and this many steps.
#include "probe/suite.h"

#include <fmt/format.h>

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
      {"flip_flop", {"L=64"}, {"L=256"}, 1500, 0.5},
      {"parity", {}, {"min=41", "max=80"}, 2000, 0.5},
      {"words", {"group=S3", "min=1", "max=12"}, {"min=13", "max=24"}, 2000, 0.167},
      {"mod_arith", {"max=21"}, {"min=23", "max=41"}, 2000, 0.2},
      {"dyck", {"m=4", "max=40"}, {"min=42", "max=80"}, 2000},
      {"majority", {"max=31"}, {"min=33", "max=63"}, 1500, 0.5},
      {"connectivity", {"n=8"}, {}, 2000, 0.5},
      {"match", {"N=12"}, {}, 2000, 0.5},
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

namespace {

// One test of one cell, from red at chance to green at 1.
std::string measured(const Summary& s, const Summary::Test& t, double chance) {
  const double share = std::clamp((t.mean - chance) / (1 - chance), 0.0, 1.0);
  return fmt::format("<div style=\"background:hsl({:.0f} 70% 82%)\">{:.2f}{}</div>", 120 * share, t.mean,
                     s.seeds > 1 ? fmt::format(" <small>&plusmn; {:.2f}</small>", t.half) : "");
}

}  // namespace

std::string to_html(const std::vector<SuiteResult>& results) {
  std::vector<const Summary*> columns;                     // the first of each blueprint
  double seconds = 0;
  int64_t seeds = 0;
  for (const SuiteResult& r : results)
    for (const Summary& s : r.summaries) {
      if (std::none_of(columns.begin(), columns.end(), [&](const Summary* c) { return c->blueprint == s.blueprint; })) columns.push_back(&s);
      seconds += s.seconds * static_cast<double>(s.seeds), seeds = std::max(seeds, s.seeds);
    }
  std::string out = fmt::format(
      "<!doctype html><meta charset=\"utf-8\"><title>headrace probe all</title><style>body{{font:14px sans-serif;margin:1.5em}}"
      "table{{border-collapse:collapse}}td,th{{padding:3px 6px;border:1px solid #ccc;text-align:center;font-weight:normal}}"
      "tr>th:first-child{{text-align:left;white-space:nowrap}}thead th{{position:sticky;top:0;background:#fff;font:12px monospace;"
      "vertical-align:bottom;max-width:11em}}td>div{{margin:1px -4px;padding:1px 4px;white-space:nowrap}}small{{color:#555}}</style>\n"
      "<h1>Architectures and probes</h1>\n<p>Accuracy (of vectors 1 - MSE / variance), red at chance and green at 1; {}. In each field above: as "
      "trained; below: with the parameters of the task's second line. {:.0f} s of one core.</p>\n<table><thead><tr><th>task</th>",
      seeds > 1 ? fmt::format("mean of {} seeds with its 95 % interval", seeds) : "one seed", seconds);
  for (const Summary* c : columns) out += fmt::format("<th>{}</th>", c->blueprint);
  out += "</tr></thead>\n";
  for (const SuiteResult& r : results) {
    out += fmt::format("<tr><th title=\"expected: {}\">{}<br><small>{}<br>{}</small></th>", find_task(r.task->task)->doc.shows, r.task->task,
                       r.task->set.empty() ? "defaults" : fmt::format("{}", fmt::join(r.task->set, " ")), fmt::join(r.task->longer, " "));
    for (const Summary* c : columns) {
      out += "<td>";
      for (const Summary& s : r.summaries)
        if (s.blueprint == c->blueprint)
          for (const Summary::Test& t : s.tests) out += measured(s, t, r.task->chance);
      out += "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

}  // namespace headrace
