// headrace distill: what it fits, layer by layer as it goes, and what of the state is left.
#include <fmt/core.h>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "distill/modes.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string in, out;
  int64_t modes = 0;
};

int act(const Options& o) {
  o.common.apply();
  const std::string in = model_path(o.in);
  Array layers;
  Clock clock;
  const DistilledModel made = distill_modes(in, o.out, static_cast<int>(o.modes), [&](const DistilledFilters& f, size_t) {
    layers.push_back(Object{{"name", f.name}, {"filters", f.filters}, {"taps", f.taps}, {"relative_error", f.relative}, {"bound", f.bound}});
    if (!o.common.json)
      fmt::print("{}: {} filters of {} taps, relative error {:.2g}, |y - y'| <= {:.2g} max |u|\n", f.name, f.filters, f.taps, f.relative, f.bound);
  });
  if (!made.tokenizer) fmt::print(stderr, "{}: has no tokenizer; the new folder has none either\n", in);
  if (o.common.json)
    print_json(Object{{"in", in}, {"out", o.out}, {"modes", o.modes}, {"blueprint", made.after}, {"layers", layers},
                      {"state_bytes_before", static_cast<int64_t>(made.state_before)},
                      {"state_bytes_after", static_cast<int64_t>(made.state_after)}, {"seconds", clock.seconds()}});
  else
    fmt::print("{}: {}\nstate of a sequence {} -> {}, in {:.1f} s\n", o.out, made.after, bytes_text(static_cast<double>(made.state_before)),
               bytes_text(static_cast<double>(made.state_after)), clock.seconds());
  return 0;
}

}  // namespace

void add_distill(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("distill", "turn long filters into recurrences of constant state");
  c.about("Fits a sum of modes to every long filter of a model of hyenas (Laughing Hyena: Massaroli et al. 2023, 2310.18780), without training, and "
          "writes a folder whose blueprint says hyena(modes=M): a token then costs the same however many came before, in a state of constant "
          "size. Says for each layer how well its filters are met. More modes meet them better; what they do not meet, training can (headrace "
          "train, from the new folder).");
  c.argument("IN", o->in, "a folder that headrace train left, or a blueprint");
  c.argument("OUT", o->out, "the folder to write; not there yet, or empty");
  c.option("--modes", o->modes, "M", "modes of a filter: 2 M numbers of state a channel").range("--modes", 1, 1024).required("--modes");
  o->common.add(c);
  c.example("headrace distill hyena-tiny modal --modes 16", "a blueprint's first parameters");
  c.example("headrace distill trained modal --modes 32 --json", "errors and state as JSON");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
