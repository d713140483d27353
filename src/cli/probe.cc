// headrace probe: lists the tasks, shows their samples, writes them to a file, trains and tests blueprints on them.
#include <fmt/core.h>

#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/ranks.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "io/safetensors.h"
#include "probe/batch.h"
#include "probe/farm.h"
#include "probe/injectivity.h"
#include "probe/suite.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string task, split = "train", out;
  std::string results = "probe-results";
  std::vector<std::string> set, blueprints, grid, tests;
  int64_t show = 0, seed = 0, from = 0, count = 64, seeds = 3;
  double share = 1;
  bool positions = false;
  Cell cell;
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
  if (!o.common.json)
    fmt::print("weights over {} keys of {} dimensions, {} pairs of a query and a longer one\n{:22} {:>12} {:>11} {:>5}\n", keys, dims, pairs,
               "weights", "most apart", "the same", "rank");
  for (const Injectivity& i : measure_injectivity(keys, dims, pairs, static_cast<uint64_t>(o.seed))) {
    if (!o.common.json) fmt::print("{:22} {:12.2e} {:10.1f}% {:5}\n", i.map, i.apart, 100 * i.collisions, i.rank);
    all.push_back(Object{{"weights", i.map}, {"most_apart", i.apart}, {"collisions", i.collisions}, {"rank", i.rank}});
  }
  if (o.common.json) print_json(Object{{"keys", keys}, {"dims", dims}, {"pairs", pairs}, {"maps", all}});
  return 0;
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
    if (o.common.json)
      print_json(Object{{"task", task.name}, {"out", o.out}, {"samples", o.count}, {"tokens", batch.tokens()}, {"vocab", task.vocab}});
    return 0;
  }
  if (o.show == 0) return usage(c, "wanted --show N, --out FILE or --blueprint B");
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

std::vector<std::string> split_at(const std::string& s, char between) {
  std::vector<std::string> parts;
  for (size_t at = 0, end; at <= s.size(); at = end + 1) {
    end = std::min(s.find(between, at), s.size());
    parts.push_back(s.substr(at, end - at));
  }
  return parts;
}
Grid grid_of(const Options& o) {
  Grid g{.base = o.cell, .blueprints = o.blueprints, .axes = {}, .seeds = {}};
  g.base.task = o.task, g.base.set = o.set;
  for (const std::string& t : o.tests) g.base.tests.push_back(t.empty() ? std::vector<std::string>{} : split_at(t, ','));
  for (const std::string& axis : o.grid) {
    const size_t equals = axis.find('=');
    if (equals == std::string::npos || equals == 0) throw GridError(text("--grid '", quoted(axis), "': wanted name=value,value,..."));
    g.axes.emplace_back(axis.substr(0, equals), split_at(axis.substr(equals + 1), ','));
  }
  for (int64_t s = 0; s < o.seeds; ++s) g.seeds.push_back(static_cast<uint64_t>(o.seed + s));
  return g;
}
void save(const std::string& path, const std::string& content) {
  write_atomic(path, [&](const Sink& sink) { sink(content.data(), content.size()); });
}

int train(const Options& o) {
  o.common.apply();
  const std::vector<Cell> cells = cells_of(grid_of(o));
  const std::string at = o.results + "/" + o.task;
  if (rank() == 0) make_folder(o.results), check_writable(at + ".csv");
  const std::vector<Object> results = run_cells(cells, at + ".jsonl", [&](int64_t done, int64_t of, const std::string& line) {
    fmt::print(stderr, "{:4}/{}  {}\n", done, of, line);
  });
  if (rank() > 0) return 0;
  const std::vector<Summary> summaries = summarise(results);
  save(at + ".csv", to_csv(results));
  save(at + ".svg", to_svg(summaries, open_task(o.task, o.set).parameters.empty() ? o.task : o.task + ", " + open_task(o.task, o.set).parameters));
  Array all;
  for (const Summary& s : summaries) {
    Array tests;
    if (!o.common.json)
      fmt::print("{}  {}  ({} weights, state {}, rate {:g} of {}, {} seeds, {:.0f} s each{}{})\n", bold(s.blueprint), s.place, s.weights,
                 bytes_text(static_cast<double>(s.state)), s.rate, s.rates, s.seeds, s.seconds,
                 s.near < 0 ? "" : fmt::format(", near {:.3f}", s.near),
                 s.diverged ? fmt::format(", {} of {} cells diverged", s.diverged, s.cells) : "");
    for (const Summary::Test& t : s.tests) {
      if (!o.common.json)
        fmt::print("    {:24} {:.3f} +- {:.3f}  median {:.3f}  best {:.3f}  whole samples {:.3f}  {}\n",
                   t.set.empty() ? "as trained" : t.set, t.mean, t.half, t.median, t.best, t.whole,
                   std::isnan(t.loss) ? "no loss" : fmt::format("loss {:.3f}", t.loss));
      Array by;
      for (const Scores::Bucket& b : t.by_position) {
        if (o.positions && !o.common.json) fmt::print("      up to {:6}  {:.3f}  loss {:.3f}  ({} answers)\n", b.upto, b.accuracy, b.loss, b.answers);
        by.push_back(Object{{"upto", b.upto}, {"accuracy", b.accuracy}, {"loss", b.loss}, {"answers", b.answers}});
      }
      tests.push_back(Object{{"set", t.set}, {"mean", t.mean}, {"interval", t.half}, {"median", t.median}, {"best", t.best}, {"whole", t.whole},
                             {"loss", t.loss}, {"by_position", by}});
    }
    all.push_back(Object{{"blueprint", s.blueprint}, {"place", s.place}, {"rate", s.rate}, {"rates", s.rates}, {"seeds", s.seeds},
                         {"cells", s.cells}, {"diverged", s.diverged},
                         {"near", s.near < 0 ? Value() : Value(s.near)}, {"weights", s.weights}, {"state_bytes", s.state}, {"seconds", s.seconds},
                         {"tests", tests}});
  }
  if (o.common.json) print_json(Object{{"task", o.task}, {"cells", std::ssize(results)}, {"results", at + ".jsonl"}, {"summaries", all}});
  return 0;
}

// Every task of the suite on every blueprint, each with its own files, and one page of all.
int all_tasks(const Options& o) {
  o.common.apply();
  const std::string page = o.results + "/all.html";
  if (rank() == 0) make_folder(o.results), check_writable(page);
  std::vector<std::string> blueprints = o.blueprints;
  if (blueprints.empty()) blueprints.assign(suite_blueprints().begin(), suite_blueprints().end());
  const std::vector<uint64_t> seeds = grid_of(o).seeds;
  std::vector<SuiteResult> results;
  for (const SuiteTask& t : suite()) {
    const std::vector<Cell> cells = cells_of(suite_grid(t, o.cell, blueprints, seeds, o.share));
    const std::vector<Object> done = run_cells(cells, o.results + "/" + t.task + ".jsonl", [&](int64_t n, int64_t of, const std::string& line) {
      fmt::print(stderr, "{} {:4}/{}  {}\n", t.task, n, of, line);
    });
    if (rank() > 0) continue;
    results.push_back({&t, summarise(done)});
    save(page, to_html(results));                        // what there is so far
  }
  if (rank() > 0) return 0;
  if (o.common.json) print_json(Object{{"page", page}, {"tasks", std::ssize(results)}});
  else fmt::print("{}\n", page);
  return 0;
}

// The first option that was given and that this way of running the verb does not read, with what it is for; empty: there is none.
std::string without_meaning(const Options& o, const Command& c) {
  enum : unsigned { shows = 1, writes = 2, trains = 4, all = 8, injects = 16, lists = 32 };
  const unsigned way = o.task == "all" ? all : o.task == "list" ? lists : o.task == "injectivity" ? injects : !o.blueprints.empty() ? trains
                       : o.out.empty() ? shows : writes;
  struct Use { const char* option; unsigned ways; const char* of; };
  constexpr const char *samples = "of a task's samples, with --show or --out", *training = "of training, with --blueprint or `all`";
  constexpr Use uses[] = {{"--split", shows | writes, samples}, {"--from", shows | writes, samples},
                          {"--count", writes, "of samples in a file, with --out"},
                          {"--seed", ~lists, "of data, not of `list`"}, {"--seeds", trains | all, training},
                          {"--steps", trains, "of training on one task, with --blueprint; `all` has --share"}, {"--share", all, "of `all`"},
                          {"--batch", trains | all, training}, {"--rate", trains | all, training}, {"--decay", trains | all, training},
                          {"--until", trains | all, training}, {"--every", trains | all, training}, {"--samples", trains | all, training},
                          {"--positions", trains, "of training on one task, with --blueprint"}, {"--results", trains | all, training}};
  for (const Use& u : uses)
    if (!(u.ways & way) && c.given(u.option)) return text(u.option, " is ", u.of);
  return "";
}

int act(Options o, const Command& c) {
  for (const std::string& s : std::exchange(o.set, {})) set_parameter(o.set, s);   // given again, it has its last value, as an option has
  const auto on_ranks = [&](int (*f)(const Options&)) {
    const int code = f(o);
    end_ranks();
    return code;
  };
  const bool word = o.task == "all" || o.task == "list" || o.task == "injectivity", shows = o.show > 0 || !o.out.empty();
  if (!word && !find_task(o.task))
    if (const std::string meant = nearest(o.task, {"all", "list", "injectivity"}); !meant.empty())
      fail("probe '", quoted(o.task), "': no such task; did you mean ", meant, "?");
  if (word && !(o.set.empty() && o.grid.empty() && o.tests.empty()))
    return usage(c, "--set, --grid and --test are of one task, not of `" + o.task + "`");
  if (shows && (word || !o.blueprints.empty())) return usage(c, "--show and --out are of a task's samples, not beside " +
                                                                    (word ? "`" + o.task + "`" : std::string("--blueprint")));
  if (o.show > 0 && !o.out.empty()) return usage(c, "wanted --show N or --out FILE, not both");
  if (o.blueprints.empty() && !(o.grid.empty() && o.tests.empty())) return usage(c, "--grid and --test want a --blueprint");
  if (!o.blueprints.empty() && o.task != "all" && word) return usage(c, "`" + o.task + "` takes no --blueprint");
  if (const std::string what = without_meaning(o, c); !what.empty()) return usage(c, what);
  if (o.task == "all") return on_ranks(all_tasks);
  if (o.task == "list") return list(o);
  if (o.task == "injectivity") return injectivity(o);
  if (o.blueprints.empty()) return samples(o, c);
  try {
    return on_ranks(train);
  } catch (const GridError& e) {
    return usage(c, e.what());
  }
}

}  // namespace

void add_probe(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("probe", "tasks that tell what an architecture can and cannot do");
  c.about("`list` names the tasks and their parameters; `injectivity` measures what attention weights say of a query, without training; `all` "
          "trains a suite of small tasks and writes the matrix of architectures and probes as a page. A sample depends on seed, split and index "
          "alone.");
  c.argument("TASK", o->task, "the task, `list`, `injectivity`, or `all`");
  c.suggest("TASK", [] {
    std::vector<std::string> names{"list", "injectivity", "all"};
    for (const TaskInfo& t : tasks()) names.emplace_back(t.doc.name);
    return names;
  });
  const auto range = [&](const char* name, const Range& r) { c.range(name, r.least, r.most); };
  c.option("--set", o->set, "K=V", "a parameter of the task; may be given several times");
  c.option("--seed", o->seed, "S", "of the data").range("--seed", 0, 9e15);
  c.option("--split", o->split, "SPLIT", "train, valid or test: no sample is in two of them");
  c.option("--show", o->show, "N", "print N samples: token>answer where it is scored, token:answer where it is learned alone");
  c.range("--show", 0, 1e6);
  c.option("--from", o->from, "I", "the first sample").range("--from", 0, 1e11);
  c.option("--out", o->out, "FILE", "safetensors to write: input_ids, targets, mask, lengths, ...");
  c.option("--count", o->count, "N", "samples of the file").range("--count", 1, 1e7);
  c.option("--blueprint", o->blueprints, "B", "a stack to train and test; may be given several times. Its vocabulary is the task's");
  c.option("--grid", o->grid, "K=V,V", "an axis of the grid: a parameter of the task, rate, steps, batch, until, d, or {K} in the blueprint");
  c.option("--test", o->tests, "K=V,K=V", "parameters to test with in place of the trained ones, '' for those; may be given several times");
  c.option("--seeds", o->seeds, "N", "seeds of each cell, from --seed on").range("--seeds", 1, 1000);
  c.option("--steps", o->cell.steps, "N", "steps of training");
  range("--steps", CellRanges::steps);
  c.option("--share", o->share, "S", "of the suite's own steps, for `all`").range("--share", 1e-6, 100);
  c.option("--batch", o->cell.batch, "N", "samples of a step");
  range("--batch", CellRanges::batch);
  c.option("--rate", o->cell.rate, "R", "the highest rate; AdamW, 5 % warm-up, then a cosine");
  range("--rate", CellRanges::rate);
  c.option("--decay", o->cell.decay, "W", "weight decay of matrices").range("--decay", 0, 10);
  c.option("--until", o->cell.until, "A", "stop once validation is as accurate; over 1: never");
  range("--until", CellRanges::until);
  c.option("--every", o->cell.every, "N", "steps between validations").range("--every", 1, 1e9);
  c.option("--samples", o->cell.samples, "N", "of each test").range("--samples", 1, 1e7);
  c.flag("--positions", o->positions, "print accuracy and loss by position, in powers of two");
  c.option("--results", o->results, "DIR", "TASK.jsonl there keeps what has been run and is gone on from; TASK.csv and TASK.svg are made of it");
  o->common.add(c);
  c.example("headrace probe list", "tasks, papers, parameters")
      .example("headrace probe mqar --show 2 --set L=24 --set pairs=3", "two samples")
      .example("headrace probe parity --set max=256 --split test --out parity.safetensors", "64 samples for another program")
      .example("headrace probe all --seeds 1 --share 0.1", "the matrix, in a hurry")
      .example("headrace probe parity --blueprint 'd=32 lstm' --grid rate=1e-3,1e-2 --test '' --test min=41,max=80",
               "trained, and tested at twice the length");
  c.action([o, c] { return act(*o, c); });
}

}  // namespace headrace::cli
