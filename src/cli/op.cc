// headrace op: one operator between two files, by any form and on any device; what fixtures of other implementations are compared through.
#include "run/op.h"

#include <fmt/core.h>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "io/safetensors.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string name, in, params, out, form = "whole";
  bool list = false;
};

int act(const Options& o, const Command& c) {
  if (o.list) {
    Array all;
    for (const OpInfo& i : op_infos()) {
      all.push_back(Object{{"name", i.name}, {"inputs", i.inputs}, {"parameters", i.parameters}, {"outputs", i.outputs},
          {"definition", i.definition}});
      if (!o.common.json) fmt::print("{}\n  in      {}\n  params  {}\n  out     {}\n  {}\n", bold(i.name), i.inputs, i.parameters, i.outputs,
          i.definition);
    }
    if (o.common.json) print_json(all);
    return 0;
  }
  if (o.name.empty() || o.in.empty() || o.out.empty()) return usage(c, "wanted NAME, --in and --out, or --list");
  const Device device = o.common.apply();
  check_output(o.out, {o.in, o.params});
  const SafetensorsFile file(o.in);
  const std::map<std::string, Tensor> in(file.tensors().begin(), file.tensors().end());
  const Value params = o.params.empty() ? Value(Object{}) : parse_json(read_text(o.params, size_t{16} << 20), o.params);
  Clock clock;
  const auto result = run_op(o.name, in, params, op_form_from_name(o.form), device);
  const double seconds = clock.seconds();
  std::vector<NamedTensor> tensors(result.begin(), result.end());
  write_safetensors(o.out, tensors);
  if (o.common.json) {
    Object shapes;
    for (const auto& [name, t] : result) shapes[name] = text(t.shape());
    print_json(Object{{"op", o.name}, {"form", o.form}, {"out", o.out}, {"outputs", shapes}, {"seconds", seconds}});
  }
  return 0;
}

}  // namespace

void add_op(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("op", "run one operator on tensors from a file");
  c.about("Inputs and outputs are tensors by name (q, k, v, ... and o, final_state, ...) in safetensors files; parameters are a JSON object.");
  c.argument("NAME", o->name, "the operator; --list names them", false);
  c.suggest("NAME", [] {
    std::vector<std::string> names;
    for (const OpInfo& i : op_infos()) names.emplace_back(i.name);
    return names;
  });
  c.option("--in", o->in, "FILE", "safetensors with the inputs");
  c.option("--params", o->params, "FILE", "JSON object of parameters");
  c.option("--out", o->out, "FILE", "safetensors to write");
  c.choice("--form", o->form, {"naive", "step", "chunk", "whole"}, "the definition in double precision, token by token, in chunks, all at once");
  c.flag("--list", o->list, "list the operators: inputs, parameters, outputs");
  o->common.add(c);
  c.example("headrace op gla --in in.safetensors --out out.safetensors --form chunk", "gated linear attention, in chunks");
  c.action([o, c] { return act(*o, c); });
}

}  // namespace headrace::cli
