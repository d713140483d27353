// headrace check: the laws of run/check.h on a model and this machine; exit code 1 where one is broken.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "run/check.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  int64_t tokens = 150, seed = 1;
};

int act(const Options& o) {
  // What begins at zero would prove nothing: a blueprint's parameters are shaken a little.
  Loaded loaded = open(o.model, LoadOptions{.device = o.common.apply(), .seed = static_cast<uint64_t>(o.seed), .jitter = 0.05});
  const Model& m = loaded.model;
  const bool ends = m.decoder.positions || (m.family == "blueprint" && m.context > 0);   // others only make less sense beyond theirs
  const int64_t tokens = ends ? std::min<int64_t>(o.tokens, m.context) : o.tokens;
  if (tokens < o.tokens)
    fmt::print(stderr, "{}: {} {}: checked with --tokens {}\n", loaded.name, tokens, m.decoder.positions ? "learned positions" : "tokens at the most",
               tokens);
  Progress progress("check", 6, "laws");
  CheckOptions c{.tokens = tokens, .seed = static_cast<uint64_t>(o.seed)};
  if (const char* t = std::getenv("TMPDIR"); t && *t) c.folder = t;
  c.progress = [&](int done, int) { progress.at(done); };
  const auto results = check_model(loaded.model.decoder, identity(loaded), c);
  std::string failed;
  Array list;
  for (const Checked& r : results) {
    if (!r.ok) failed += (failed.empty() ? "" : ", ") + r.law;
    list.push_back(Object{{"law", r.law}, {"ok", r.ok}, {"exact", r.exact}, {"tolerance", r.tolerance}, {"worst", r.worst}, {"detail", r.detail}});
    if (!o.common.json)
      fmt::print("{} {:12} {:30} worst {:.2e}  ({})\n", r.ok ? "ok    " : bold("FAILED"), r.law,
                 r.exact ? "bit for bit" : fmt::format("within {:.0e}", r.tolerance), r.worst, r.detail);
  }
  if (o.common.json)
    print_json(Object{{"model", loaded.name}, {"family", loaded.model.family}, {"device", o.common.device}, {"threads", thread_count()},
                      {"tokens", tokens}, {"ok", failed.empty()}, {"laws", list}});
  std::fflush(stdout);
  expect(failed.empty(), loaded.name, ": ", failed, " differ: something that a call leaves for the next one is lost; unless the mixer is your own, "
         "please report this with the output above");
  return 0;
}

}  // namespace

void add_check(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("check", "prove that alone = batched = chunked = forked = saved = rolled back");
  c.about("Runs the model on random tokens in every way in which a sequence can be run and compares the logits: bit for bit where the "
          "same steps are taken (batched, forked, rolled back, saved), within a stated tolerance where sums are associated otherwise "
          "(chunked, continued). Exit code 1 on any difference.");
  c.argument("MODEL", o->model, model_help, false);
  c.option("--tokens", o->tokens, "N", "length of the sequence").range("--tokens", 8, 1 << 20);
  c.option("--seed", o->seed, "S", "of the random tokens");
  o->common.add(c);
  c.example("headrace check MODEL", "one line for each law").example("headrace check MODEL --json --threads 2", "the same as JSON");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
