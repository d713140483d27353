// headrace mixers: each is bound, planned, counted and differentiated for its row, so state, cost and gradients are found, not declared.
#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "mixers/cost.h"
#include "models/blueprint.h"
#include "models/named_blueprints.h"
#include "nn/init.h"
#include "ops/tape.h"
#include "run/plan.h"
#include "train/learner.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  bool blueprints = false;
  int64_t width = 512;
};

// What one layer carries of a sequence.
struct StateSize { size_t fixed; double per_token; };
StateSize state_of(const MixerInfo& m, int64_t width) {
  if (!m.causal({.width = static_cast<int>(width)}, {})) return {};
  const Loaded l = open_blueprint(text("d=", width, " vocab=1 ", m.doc->name), {.device = Device::meta});
  const Plan p = plan_memory(l, 4096);
  return {p.state_fixed, p.state_per_token};
}
std::string size_text(const StateSize& s) {
  if (s.fixed == 0 && s.per_token == 0) return "none";
  if (s.per_token == 0) return bytes_text(static_cast<double>(s.fixed));
  return (s.fixed ? bytes_text(static_cast<double>(s.fixed)) + " + " : "") + bytes_text(s.per_token) + "/token";
}
// A gradient reaches every parameter of two layers: what bounds HGRN's gates by depth is no part of its first layer.
bool has_backward(const MixerInfo& m) try {
  auto source = initialised({.jitter = 0.02});
  const auto bind = [&](int layer) {
    return m.bind(Scope(source) / "mixers" / layer, {.width = 32, .layer = layer, .layers = 2, .nth = layer, .of = 2}, {});
  };
  bind(0), bind(1);
  Tape tape;
  for (const Parameter& p : source->parameters) tape.watch(p.value);
  const Sublayer first = bind(0), second = bind(1);          // again, with what they derive on the tape
  const Shape shape{64, 32};                         // enough tokens for each of some experts
  const Tensor x = Tensor::empty(shape);
  Init::normal(1).fill(x, {.seed = 1});
  Batch batch;
  batch.add(shape[0]);
  Tensor loss = sum_rows(sum_columns(second(first(x, {&batch, 0}), {&batch, 1}) * x).view({shape[0], 1}));
  if (const Tensor own = losses_of_layers(batch, 1)) loss = loss + own;
  tape.backward(loss);
  const auto& all = source->parameters;
  return std::all_of(all.begin(), all.end(), [&](const Parameter& p) { return !p.trained || tape.gradient(p.value); });
} catch (const Error&) {
  return false;
}

int act(const Options& o) {
  if (o.blueprints) {
    Array list;
    for (const NamedBlueprint& b : named_blueprints()) {
      const std::string name = text(b.name, "-", b.size), canonical = print(parse_blueprint(b.text));
      if (o.common.json) list.push_back(Object{{"name", name}, {"model", b.name}, {"size", b.size}, {"blueprint", canonical}, {"note", b.note}});
      else fmt::print("{}  {}\n    {}\n", bold(name), b.note, canonical);
    }
    if (o.common.json) print_json(list);
    return 0;
  }
  Array list;
  constexpr auto row = "{:19} {:17} {:>26} {:>8} {:>8} {:>8} {:18} {:8} {:9} {:27} {:38} {}\n";
  if (!o.common.json)
    fmt::print(row, "mixer", "family", text("state at d=", o.width), "train", "prefill", "token", "forms", "backward", "device",
               "decoded token", "T tokens", "paper");
  for (const MixerInfo& m : mixers()) {
    const MixerDoc& d = *m.doc;
    const StateSize s = state_of(m, o.width);
    const MixerCost c = cost_of(m, {.width = static_cast<int>(o.width)}, {}, cost_tokens);
    const bool backward = has_backward(m);
    if (!o.common.json) {
      fmt::print(row, d.name, d.family, size_text(s), count_text(c.training), count_text(c.prefill), count_text(c.decode), d.forms,
                 backward ? "yes" : "no", d.devices, d.decode, d.sequence, d.paper);
      continue;
    }
    Array options;
    for (const OptionHelp& h : m.options({.width = static_cast<int>(o.width)}))
      options.push_back(Object{{"name", h.name}, {"default", h.otherwise}, {"values", h.values}, {"help", h.help}});
    list.push_back(Object{{"name", d.name}, {"family", d.family}, {"title", d.title}, {"paper", d.paper}, {"state", d.state},
                          {"state_bytes", static_cast<int64_t>(s.fixed)}, {"state_bytes_per_token", s.per_token}, {"cost_tokens", cost_tokens},
                          {"training_flops", c.training}, {"prefill_flops", c.prefill}, {"decode_flops", c.decode}, {"decode", d.decode},
                          {"sequence", d.sequence}, {"forms", d.forms}, {"backward", backward}, {"device", d.devices}, {"options", options},
                          {"source", d.source}});
  }
  if (o.common.json) print_json(list);
  return 0;
}

}  // namespace

void add_mixers(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("mixers", "list what a blueprint can name: state, cost, forms, paper of each");
  c.about("State is in bytes for one sequence and layer, keys and values over 4096 tokens; cost in floating-point operations: to train and to "
          "prefill a sequence of 1024 tokens, and of one token after them. `headrace explain NAME` tells more of one.");
  c.option("--width", o->width, "D", "the width to give states for").range("--width", 1, 1 << 16);
  c.flag("--blueprints", o->blueprints, "list the named blueprints in place of the mixers");
  o->common.add_json(c);
  c.example("headrace mixers", "the table").example("headrace mixers --blueprints", "models of the literature at three sizes");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
