// headrace probe: lists the tasks, shows their samples, writes them to a file.
#include <fmt/core.h>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "io/safetensors.h"
#include "probe/batch.h"
#include "probe/injectivity.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string task, split = "train", out;
  std::vector<std::string> set;
  int64_t show = 0, seed = 0, from = 0, count = 64;
};

int list(const Options& o) {
  Array all;
  for (const TaskInfo& t : tasks()) {
    Array parameters;
    if (!o.common.json) fmt::print("{}  {}\n    {}\n    expected: {}\n", bold(t.doc.name), t.doc.title, t.doc.paper, t.doc.shows);
    for (const OptionHelp& h : t.options()) {
      if (!o.common.json) fmt::print("    {:12} {:10} {} ({})\n", h.name, h.otherwise, h.help, h.values);
      parameters.push_back(Object{{"name", h.name}, {"default", h.otherwise}, {"values", h.values}, {"help", h.help}});
    }
    const Task defaults = open_task(t.doc.name);
    all.push_back(Object{{"name", t.doc.name}, {"title", t.doc.title}, {"paper", t.doc.paper}, {"expected", t.doc.shows}, {"vocab", defaults.vocab},
                         {"inputs", defaults.inputs}, {"outputs", defaults.outputs}, {"parameters", parameters}});
  }
  if (o.common.json) print_json(all);
  return 0;
}

int injectivity(const Options& o) {
  Array all;
  constexpr int keys = 64, dims = 16, pairs = 10'000;
  if (!o.common.json) fmt::print("weights over {} keys of {} dimensions, {} pairs of a query and a longer one\n{:22} {:>12} {:>11} {:>5}\n", keys, dims, pairs,
                                 "weights", "most apart", "the same", "rank");
  for (const Injectivity& i : measure_injectivity(keys, dims, pairs, static_cast<uint64_t>(o.seed))) {
    if (!o.common.json) fmt::print("{:22} {:12.2e} {:10.1f}% {:5}\n", i.map, i.apart, 100 * i.collisions, i.rank);
    all.push_back(Object{{"weights", i.map}, {"most_apart", i.apart}, {"collisions", i.collisions}, {"rank", i.rank}});
  }
  if (o.common.json) print_json(Object{{"keys", keys}, {"dims", dims}, {"pairs", pairs}, {"maps", all}});
  return 0;
}

Array numbers(const auto& v) {
  Array all;
  for (const auto x : v) {
    if constexpr (std::is_floating_point_v<std::remove_cvref_t<decltype(x)>>) all.push_back(double{x});
    else all.push_back(static_cast<int64_t>(x));
  }
  return all;
}
std::string vector_text(const std::vector<float>& v, int64_t row, int width) {
  std::string s;
  for (int i = 0; i < width; ++i) s += fmt::format("{}{:.3g}", i ? " " : "", v[static_cast<size_t>(row * width + i)]);
  return s;
}
// The sequence in one line, with what is asked behind the token where it is: k7>v3 is scored, k7:v3 is learned alone.
void print_sample(const Task& task, const Sample& s) {
  if (s.x.empty()) {
    std::string line;
    for (size_t i = 0; i < s.tokens.size(); ++i) {
      line += (i ? " " : "") + task.word(s.tokens[i]);
      if (s.targets[i] != Sample::none) line += s.mask[i] ? bold(">" + task.word(s.targets[i])) : ":" + task.word(s.targets[i]);
      for (const Sample::Also& a : s.also)
        if (a.at == static_cast<int32_t>(i)) line += "|" + task.word(a.token);
    }
    fmt::print("{}\n", line);
    return;
  }
  for (int64_t i = 0; i < s.length(); ++i) {
    fmt::print("  [{}]", vector_text(s.x, i, task.inputs));
    if (s.mask[static_cast<size_t>(i)])
      fmt::print(" > {}", task.outputs ? vector_text(s.y, i, task.outputs) : task.word(s.targets[static_cast<size_t>(i)]));
    fmt::print("\n");
  }
}

int samples(const Options& o, const Command& c) {
  const Task task = open_task(o.task, o.set);
  const Split split = split_from_name(o.split);
  if (!o.out.empty()) {
    o.common.apply();
    check_output(o.out, {});
    const ProbeBatch batch = draw_batch(task, static_cast<uint64_t>(o.seed), split, static_cast<uint64_t>(o.from), o.count);
    write_safetensors(o.out, padded(task, batch), {{"task", task.name}, {"parameters", task.parameters}, {"split", o.split},
                                                   {"seed", std::to_string(o.seed)}, {"from", std::to_string(o.from)}, {"vocab", std::to_string(task.vocab)}});
    if (o.common.json) print_json(Object{{"task", task.name}, {"out", o.out}, {"samples", o.count}, {"tokens", batch.tokens()}, {"vocab", task.vocab}});
    return 0;
  }
  if (o.show == 0) return usage(c, "wanted --show N or --out FILE");
  for (int64_t i = 0; i < o.show; ++i) {
    const Sample s = task.sample(static_cast<uint64_t>(o.seed), split, static_cast<uint64_t>(o.from + i));
    if (!o.common.json) {
      print_sample(task, s);
      continue;
    }
    Object j{{"index", o.from + i}, {"mask", numbers(s.mask)}};
    if (!s.tokens.empty()) j["tokens"] = numbers(s.tokens);
    if (!s.targets.empty()) j["targets"] = numbers(s.targets);
    if (!s.x.empty()) j["x"] = numbers(s.x);
    if (!s.y.empty()) j["y"] = numbers(s.y);
    if (!s.decoded.empty()) j["decoded"] = numbers(s.decoded);
    print_json(j);
  }
  return 0;
}

int act(const Options& o, const Command& c) {
  if (o.task == "list") return list(o);
  if (o.task == "injectivity") return injectivity(o);
  return samples(o, c);
}

}  // namespace

void add_probe(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("probe", "tasks that tell what an architecture can and cannot do");
  c.about("`list` names the tasks and their parameters; `injectivity` measures what attention weights say of a query, without training. A sample "
          "depends on seed, split and index alone.");
  c.argument("TASK", o->task, "the task, `list`, or `injectivity`");
  c.suggest("TASK", [] {
    std::vector<std::string> names{"list", "injectivity"};
    for (const TaskInfo& t : tasks()) names.emplace_back(t.doc.name);
    return names;
  });
  c.option("--set", o->set, "K=V", "a parameter of the task; may be given several times");
  c.option("--seed", o->seed, "S", "of the data").range("--seed", 0, 9e15);
  c.option("--split", o->split, "SPLIT", "train, valid or test: no sample is in two of them");
  c.option("--show", o->show, "N", "print N samples: token>answer where it is scored, token:answer where it is learned alone").range("--show", 0, 1e6);
  c.option("--from", o->from, "I", "the first sample").range("--from", 0, 1e11);
  c.option("--out", o->out, "FILE", "safetensors to write: input_ids, targets, mask, lengths, ...");
  c.option("--count", o->count, "N", "samples of the file").range("--count", 1, 1e7);
  o->common.add(c);
  c.example("headrace probe list", "tasks, papers, parameters")
      .example("headrace probe mqar --show 2 --set L=24 --set pairs=3", "two samples")
      .example("headrace probe parity --set max=256 --split test --out parity.safetensors", "64 samples for another program");
  c.action([o, c] { return act(*o, c); });
}

}  // namespace headrace::cli
