// headrace plan: the memory that a model will need (run/plan.h), in the words of someone who decides whether it fits.
#include <fmt/core.h>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "run/plan.h"
#include "run/session.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  int64_t context = 0, chunk = prefill_chunk;
  bool slots = false;
};

int act(const Options& o) {
  const bool cuda = o.common.device == "cuda";
  Loaded m = open(o.model, LoadOptions{.device = Device::meta, .plan_for = cuda ? Device::cuda : Device::cpu});
  const int64_t context = o.context > 0 ? o.context : m.model.context > 0 ? std::min<int64_t>(m.model.context, 4096) : 4096;
  check_positions(m, context, 0);
  Progress progress("plan", 2 * static_cast<double>(context), "tokens");
  const Plan p = plan_memory(m, context, {.chunk = o.chunk, .threads = static_cast<int>(o.common.threads),
                                          .progress = [&](double tokens) { progress.at(tokens); }});
  if (o.common.json) {
    Object dtypes;
    for (const auto& [t, n] : p.weights_by_dtype) dtypes[t] = static_cast<int64_t>(n);
    Array slots;
    for (const auto& s : p.slots) slots.push_back(Object{{"layer", s.layer}, {"name", s.name}, {"shape", s.shape},
        {"bytes", static_cast<int64_t>(s.bytes)}});
    auto n = [](size_t v) { return Value(static_cast<int64_t>(v)); };
    print_json(Object{{"model", m.name}, {"family", m.model.family}, {"context", context}, {"chunk", o.chunk}, {"parameters", p.parameters},
                      {"file_bytes", n(p.file_bytes)}, {"weight_bytes", n(p.weights)}, {"weight_bytes_by_dtype", dtypes}, {"state_bytes", n(p.state)},
                      {"state_bytes_fixed", n(p.state_fixed)}, {"state_bytes_per_token", p.state_per_token}, {"activation_bytes", n(p.activations)},
                      {"prefill_flops", p.prefill_flops}, {"decode_flops", p.decode_flops},
                      {"program_bytes", n(p.program)}, {"product_bytes", n(p.products)}, {"total_bytes", n(p.total)},
                      {"device", o.common.device}, {"threads", p.threads}, {"estimate", p.estimate}, {"slots", slots}});
    return 0;
  }
  auto line = [](const char* what, size_t n, const std::string& note) {
    fmt::print("{:14}{:>12}   {}\n", what, bytes_text(static_cast<double>(n)), note);
  };
  fmt::print("{}  {} parameters, a context of {} tokens, {} at a time\n", bold(m.name), count_text(static_cast<double>(p.parameters)), context,
      o.chunk);
  std::string dtypes;
  for (const auto& [t, n] : p.weights_by_dtype) dtypes += fmt::format("{}{} {}", dtypes.empty() ? "" : ", ", t, bytes_text(static_cast<double>(n)));
  line("weights", p.weights, dtypes);
  line("state", p.state, p.state_per_token > 0
      ? fmt::format("{} and {} a token", bytes_text(static_cast<double>(p.state_fixed)), bytes_text(p.state_per_token))
                                                : "the same at any length");
  line("activations", p.activations, "");
  if (cuda) line("products", p.products, "the largest matrix as f32 while it is multiplied, and cuBLASLt's workspace");
  else line("program", p.program, fmt::format("with its tokenizer and {} threads", p.threads));
  line("total", p.total, cuda ? "an estimate of the GPU's memory; the driver's own comes on top" : "at the most, give or take 5 %");
  fmt::print("{:14}{:>12}   to prefill them all; {} for the last as a decoded token\n", "operations", count_text(p.prefill_flops),
             count_text(p.decode_flops));
  if (o.slots)
    for (const auto& s : p.slots) fmt::print("layer {:3} {:12} {:24} {:>12}\n", s.layer, s.name, s.shape, bytes_text(static_cast<double>(s.bytes)));
  return 0;
}

}  // namespace

void add_plan(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("plan", "predict the memory that a model will need, without loading it");
  c.argument("MODEL", o->model, model_help, false);
  c.option("--context", o->context, "N", "tokens in the state; 0: the model's own, at most 4096").range("--context", 0, 1 << 26);
  c.option("--chunk", o->chunk, "N", "tokens of a prefill chunk").range("--chunk", 1, 1 << 20);
  c.flag("--slots", o->slots, "list the state, slot by slot");
  o->common.add(c);
  c.example("headrace plan MODEL --context 8192", "weights, state, activations, total")
      .example("headrace plan MODEL --device cuda", "an estimate of a GPU's memory; there need be none here");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
