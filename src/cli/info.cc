// headrace info: what a model's files hold, bound on the meta device, so that a model of any size opens at once.
#include <fmt/core.h>

#include <map>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "models/blueprint.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  bool tensors = false, config = false, hash = false;
};

int act(const Options& o) {
  Loaded m = open(o.model, LoadOptions{.device = Device::meta, .pack = false});
  std::map<std::string, std::pair<int64_t, int64_t>> dtypes;      // tensors, bytes
  int64_t parameters = 0;
  Array tensors;
  for (const Parameter& p : m.source->parameters) {
    auto& d = dtypes[name(p.dtype)];
    ++d.first, d.second += static_cast<int64_t>(p.bytes), parameters += p.shape.count();
    tensors.push_back(Object{{"name", p.name}, {"dtype", name(p.dtype)}, {"shape", numbers(p.shape.dims())}});
  }
  const bool initial = file_exists(m.path + "/" + initial_state_file);
  Object tokenizer;
  if (m.tokenizer) {
    const Tokenizer& t = *m.tokenizer;
    auto id = [](std::optional<int> v) { return v ? Value(*v) : Value(); };
    tokenizer = {{"size", t.size()}, {"bos", id(t.bos())}, {"eos", id(t.eos())}, {"unk", id(t.unk())}, {"pad", id(t.pad())},
                 {"end_of_turn", numbers(t.end_of_turn())}};
  }
  if (o.common.json) {
    Object by;
    for (const auto& [t, d] : dtypes) by[t] = Object{{"tensors", d.first}, {"bytes", d.second}};
    Object j{{"name", m.name}, {"path", m.path}, {"family", m.model.family}, {"blueprint", blueprint(m.model)}, {"parameters", parameters},
        {"context", m.model.context},
             {"vocab", m.model.decoder.vocab}, {"width", m.model.decoder.width}, {"layers", static_cast<int64_t>(m.model.decoder.layers.size())},
             {"file_bytes", static_cast<int64_t>(m.file_bytes)}, {"dtypes", by}, {"tokenizer", m.tokenizer ? Value(tokenizer) : Value()},
             {"chat_template", !m.chat_template.empty()}, {"initial_state", initial}, {"config", m.model.config}};
    if (o.tensors) j["tensors"] = tensors;
    if (o.hash) j["hash"] = m.hash();
    print_json(j);
    return 0;
  }
  fmt::print("{}  ({})\n", bold(m.name), m.path);
  fmt::print("family      {}\nblueprint   {}\n", m.model.family, blueprint(m.model));
  fmt::print("parameters  {} in {} tensors, {} in the file\n", count_text(static_cast<double>(parameters)), m.source->parameters.size(),
      bytes_text(static_cast<double>(m.file_bytes)));
  for (const auto& [t, d] : dtypes) fmt::print("            {:6} {:4} tensors, {}\n", t, d.first, bytes_text(static_cast<double>(d.second)));
  fmt::print("context     {}\n", m.model.context > 0 ? fmt::format("{} tokens", m.model.context) : "any length");
  if (m.tokenizer)
    fmt::print("tokenizer   {} tokens, bos {}, eos {}, {}\n", m.tokenizer->size(), m.tokenizer->bos() ? std::to_string(*m.tokenizer->bos()) : "none",
               m.tokenizer->eos() ? std::to_string(*m.tokenizer->eos()) : "none", m.chat_template.empty() ? "no chat template"
               : "with a chat template");
  else fmt::print("tokenizer   none\n");
  if (initial) fmt::print("begins      with {}/{}, a state that was trained\n", m.path, initial_state_file);
  if (o.hash) fmt::print("hash        {}\n", m.hash());
  if (o.config) fmt::print("{}\n", to_json(m.model.config, 2));
  if (o.tensors)
    for (const Parameter& p : m.source->parameters) fmt::print("{:60} {:6} {}\n", p.name, name(p.dtype), text(p.shape));
  return 0;
}

}  // namespace

void add_info(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("info", "tell what is in a model: architecture, parameters, tokenizer");
  c.about("Reads names, shapes and configuration; the weights are not loaded.");
  c.argument("MODEL", o->model, model_help, false);
  c.flag("--tensors", o->tensors, "list every parameter");
  c.flag("--hash", o->hash, "print the hash by which states know their model; reads every byte of it");
  c.flag("--config", o->config, "print the configuration");
  o->common.add_json(c);
  c.example("headrace info MODEL", "family, blueprint, sizes").example("headrace info MODEL --json", "with the whole configuration");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
