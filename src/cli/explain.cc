// headrace explain: a mixer's own words (MixerDoc) and options, or a blueprint or model by its runs of equal layers, bound on the meta device.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/nearest.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "mixers/cost.h"
#include "models/blueprint.h"
#include "models/named_blueprints.h"
#include "run/plan.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string what;
};

// The mixers of a model's layers, in order, once each: names in their texts that are no options.
std::vector<const MixerInfo*> mixers_of(const Decoder& d) {
  std::vector<const MixerInfo*> found;
  for (const Layer& l : d.layers)
    for (size_t i = 0, end; i < l.text.size(); i = end + 1) {
      for (end = i; end < l.text.size() && (std::isalnum(static_cast<unsigned char>(l.text[end])) || l.text[end] == '_');) ++end;
      const MixerInfo* m = end < l.text.size() && l.text[end] == '=' ? nullptr : find_mixer(l.text.substr(i, end - i));
      if (m && std::find(found.begin(), found.end(), m) == found.end()) found.push_back(m);
    }
  return found;
}

// Runs of layers of one text.
struct Run { int first, last; std::string text; int64_t parameters; };
std::vector<Run> runs_of(const Loaded& m) {
  std::vector<int64_t> parameters(m.model.decoder.layers.size());
  for (const Parameter& p : m.source->parameters)              // "model.layers.3.mlp.up_proj.weight": the first number is the layer's
    for (size_t at = p.name.find('.'); at != std::string::npos; at = p.name.find('.', at + 1))
      if (std::isdigit(static_cast<unsigned char>(p.name[at + 1]))) {
        if (const auto l = std::strtoull(p.name.c_str() + at + 1, nullptr, 10); l < parameters.size()) parameters[l] += p.shape.count();
        break;
      }
  std::vector<Run> runs;
  for (size_t l = 0; l < parameters.size(); ++l) {
    const std::string& text = m.model.decoder.layers[l].text;
    if (!runs.empty() && runs.back().text == text) runs.back().last = static_cast<int>(l), runs.back().parameters += parameters[l];
    else runs.push_back({static_cast<int>(l), static_cast<int>(l), text, parameters[l]});
  }
  return runs;
}

std::string options_of(const MixerInfo& m) {
  std::string all;
  for (const OptionHelp& o : m.options({})) all += (all.empty() ? "" : ", ") + o.name + "=" + o.otherwise;
  return all;
}

MixerCost cost_at_default(const MixerInfo& m) { return cost_of(m, {}, {}, cost_tokens); }

void show(const MixerInfo& info) {
  const MixerDoc& m = *info.doc;
  fmt::print("{}  {}\n", bold(m.name), m.title);
  for (std::string_view rest = m.equations; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    fmt::print("    {}\n", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (const std::string o = options_of(info); !o.empty()) fmt::print("  options     {}\n", o);
  fmt::print("  parameters  {}\n  state       {}\n  cost        {}\n", m.parameters, m.state,
             std::string(m.decode) + " a token, " + m.sequence + " a sequence");
  const MixerCost c = cost_at_default(info);
  fmt::print("  at d={}     {} parameters; {} tokens: {}flop to train, {}flop to prefill, then {}flop a token with a state of {}\n", Place{}.width,
             count_text(static_cast<double>(c.parameters)), cost_tokens, count_text(c.training), count_text(c.prefill), count_text(c.decode),
             bytes_text(static_cast<double>(c.state_bytes)));
  fmt::print("  paper       {}\n  source      src/{}\n", m.paper, m.source);
}

// Not a layer's name: a model, where there is one, or what can only be meant as one.
bool names_model(const std::string& what) {
  const auto shipped = shipped_models();
  if (file_exists(what) || std::find(shipped.begin(), shipped.end(), what) != shipped.end()) return true;
  return what.find('/') != std::string::npos || what.ends_with(".gguf") || what.ends_with(".pth") || what.ends_with(".safetensors");
}

int act(const Options& o) {
  std::vector<const MixerInfo*> found;
  std::vector<Run> runs;
  std::string stack;
  std::optional<Plan> plan;
  if (const MixerInfo* m = find_mixer(o.what)) {
    found.push_back(m);
  } else {
    if (std::all_of(o.what.begin(), o.what.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; }) && !names_model(o.what))
      expect(find_blueprint(o.what), o.what, ": no layer, named blueprint or model; ", did_you_mean(o.what, model_names()), "layers: ",
             mixer_names());
    const Loaded model = names_model(o.what) ? open(o.what, LoadOptions{.device = Device::meta}) : open_blueprint(o.what, {.device = Device::meta});
    stack = blueprint(model.model);
    const int64_t longest = model.model.context > 0 ? model.model.context : 1024;
    plan = plan_memory(model, std::min<int64_t>(longest, 1024));
    found = mixers_of(model.model.decoder), runs = runs_of(model);
  }
  if (o.common.json) {
    Array list, stretches;
    for (const MixerInfo* info : found) {
      const MixerDoc* m = info->doc;
      const MixerCost c = cost_at_default(*info);
      list.push_back(Object{{"name", m->name}, {"family", m->family}, {"title", m->title}, {"paper", m->paper}, {"equations", m->equations},
                            {"options", options_of(*info)}, {"parameters", m->parameters}, {"state", m->state}, {"decode", m->decode},
                            {"sequence", m->sequence}, {"source", m->source},
                            {"cost", Object{{"width", Place{}.width}, {"tokens", cost_tokens}, {"parameters", c.parameters},
                                            {"training_flops", c.training}, {"prefill_flops", c.prefill}, {"decode_flops", c.decode},
                                            {"state_bytes", static_cast<int64_t>(c.state_bytes)}}}});
    }
    for (const Run& r : runs)
      stretches.push_back(Object{{"first", r.first}, {"last", r.last}, {"text", r.text}, {"parameters", r.parameters}});
    Object j{{"layers", list}};
    if (!stack.empty()) j["blueprint"] = stack, j["stack"] = stretches;
    if (plan)
      j["plan"] = Object{{"parameters", plan->parameters}, {"weight_bytes", static_cast<int64_t>(plan->weights)}, {"context", plan->context},
                         {"state_bytes", static_cast<int64_t>(plan->state)}, {"state_bytes_fixed", static_cast<int64_t>(plan->state_fixed)},
                         {"state_bytes_per_token", plan->state_per_token}, {"prefill_flops", plan->prefill_flops},
                         {"decode_flops", plan->decode_flops}};
    print_json(j);
    return 0;
  }
  if (!stack.empty()) fmt::print("{}\n\n", bold(stack));
  if (plan) {
    int64_t inside = 0;
    for (const Run& r : runs) {
      inside += r.parameters;
      const std::string which = r.first == r.last ? fmt::format("layer {}", r.first) : fmt::format("layers {} to {}", r.first, r.last);
      fmt::print("{:17}  {:>10} parameters  {}\n", which,
                 count_text(static_cast<double>(r.parameters)), r.text);
    }
    fmt::print("{:17}  {:>10} parameters  embedding, norm, head\n\n", "around them", count_text(static_cast<double>(plan->parameters - inside)));
    fmt::print("{} parameters, {}; state {} and {} a token; a decoded token reads {} and takes {}flop; all of them {}flop\n\n",
               count_text(static_cast<double>(plan->parameters)),
               bytes_text(static_cast<double>(plan->weights)), bytes_text(static_cast<double>(plan->state_fixed)), bytes_text(plan->state_per_token),
               bytes_text(static_cast<double>(plan->weights + plan->state)) + fmt::format(" after {} tokens", plan->context),
               count_text(plan->decode_flops), count_text(plan->prefill_flops));
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (i) fmt::print("\n");
    show(*found[i]);
  }
  return 0;
}

// An error in a blueprint has its place in JSON too.
int answer(const Options& o) {
  try {
    return act(o);
  } catch (const BlueprintError& e) {
    if (o.common.json) print_json(Object{{"error", e.what()}, {"character", static_cast<int64_t>(e.at) + 1}, {"blueprint", e.text}});
    throw;
  }
}

}  // namespace

void add_explain(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("explain", "tell what a layer, a blueprint or a model computes");
  c.about("Equations, parameters, state, cost and source of each layer.");
  c.argument("WHAT", o->what, "a layer (" + mixer_names() + "), a blueprint, or a model");
  c.suggest("WHAT", model_names);
  o->common.add_json(c);
  c.example("headrace explain mamba2", "one layer").example("headrace explain '8*(rg_lru + geglu, attn(window=1024, kv=1) + geglu)'",
      "each layer of a stack")
      .example("headrace explain griffin-small", "a named one (headrace mixers --blueprints)");
  c.action([o] { return answer(*o); });
}

}  // namespace headrace::cli
