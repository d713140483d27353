#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "mixers/catalogue.h"
#include "run/plan.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string what;
};

// The names of layers in a blueprint, in order, once each. Throws an Error that points at the character of an unknown one.
std::vector<const MixerInfo*> layers_of(const std::string& text) {
  std::vector<const MixerInfo*> found;
  int depth = 0;                                   // options stand in parentheses right after a name
  std::vector<bool> options;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '(') {
      options.push_back(i > 0 && (std::isalnum(static_cast<unsigned char>(text[i - 1])) || text[i - 1] == '_'));
      depth += options.back(), ++i;
    } else if (c == ')') {
      expect(!options.empty(), "blueprint: character ", i + 1, ": a ) without its (: ", text.substr(i, 20));
      depth -= options.back(), options.pop_back(), ++i;
    } else if (std::isalpha(static_cast<unsigned char>(c))) {
      size_t end = i;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
      const std::string name = text.substr(i, end - i);
      const bool setting = depth > 0 || (end < text.size() && text[end] == '=');
      if (!setting) {
        const MixerInfo* m = find_mixer(name);
        expect(m, "blueprint: character ", i + 1, ": '", name, "' is no layer; known: ", mixer_names());
        if (std::find(found.begin(), found.end(), m) == found.end()) found.push_back(m);
      }
      i = end;
    } else {
      ++i;
    }
  }
  expect(options.empty(), "blueprint: a ( is not closed");
  expect(!found.empty(), "blueprint: no layer in '", text, "'");
  return found;
}

std::string options_of(const MixerInfo& m) {
  std::string all;
  for (const OptionHelp& o : m.options({})) all += (all.empty() ? "" : ", ") + o.name + "=" + o.otherwise;
  return all;
}

void show(const MixerInfo& info) {
  const MixerDoc& m = *info.doc;
  fmt::print("{}  {}\n", bold(m.name), m.title);
  for (std::string_view rest = m.equations; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    fmt::print("    {}\n", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (const std::string o = options_of(info); !o.empty()) fmt::print("  options     {}\n", o);
  fmt::print("  parameters  {}\n  state       {}\n  cost        {}\n  paper       {}\n  source      src/{}\n", m.parameters, m.state,
             std::string(m.decode) + " a token, " + m.sequence + " a sequence", m.paper, m.source);
}

// Not a layer's name: a model, where there is one, or what can only be meant as one.
bool names_model(const std::string& what) {
  const auto shipped = shipped_models();
  if (file_exists(what) || std::find(shipped.begin(), shipped.end(), what) != shipped.end()) return true;
  return what.find('/') != std::string::npos || what.ends_with(".gguf") || what.ends_with(".pth") || what.ends_with(".safetensors");
}

int act(const Options& o) {
  std::vector<const MixerInfo*> found;
  std::string stack;
  std::optional<Plan> plan;
  if (const MixerInfo* m = find_mixer(o.what)) {
    found.push_back(m);
  } else {
    if (names_model(o.what)) {
      Loaded model = open_model(model_path(o.what), {.device = Device::meta});
      stack = blueprint(model.model);
      const int64_t longest = model.model.decoder.positions ? model.model.decoder.positions.dim(0) : 1024;
      plan = plan_memory(model, std::min<int64_t>(longest, 1024), 512);
    } else {
      stack = o.what;
    }
    found = layers_of(stack);
  }
  if (o.common.json) {
    Array list;
    for (const MixerInfo* info : found) {
      const MixerDoc* m = info->doc;
      list.push_back(Object{{"name", m->name}, {"title", m->title}, {"paper", m->paper}, {"equations", m->equations}, {"options", options_of(*info)},
                            {"parameters", m->parameters}, {"state", m->state}, {"decode", m->decode}, {"sequence", m->sequence},
                            {"source", m->source}});
    }
    Object j{{"layers", list}};
    if (!stack.empty()) j["blueprint"] = stack;
    if (plan)
      j["plan"] = Object{{"parameters", plan->parameters}, {"weight_bytes", static_cast<int64_t>(plan->weights)}, {"context", plan->context},
                         {"state_bytes", static_cast<int64_t>(plan->state)}, {"state_bytes_per_token", plan->state_per_token}};
    print_json(j);
    return 0;
  }
  if (!stack.empty()) fmt::print("{}\n\n", bold(stack));
  if (plan)
    fmt::print("{} parameters, {}; state {} and {} a token; a decoded token reads {}\n\n", count_text(static_cast<double>(plan->parameters)),
               bytes_text(static_cast<double>(plan->weights)), bytes_text(static_cast<double>(plan->state_fixed)), bytes_text(plan->state_per_token),
               bytes_text(static_cast<double>(plan->weights + plan->state)) + fmt::format(" after {} tokens", plan->context));
  for (size_t i = 0; i < found.size(); ++i) {
    if (i) fmt::print("\n");
    show(*found[i]);
  }
  return 0;
}

}  // namespace

void add_explain(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("explain", "tell what a layer, a blueprint or a model computes");
  c.about("Equations, parameters, state, cost and source of each layer.");
  c.argument("WHAT", o->what, "a layer (" + mixer_names() + "), a blueprint, or a model");
  o->common.add(c);
  c.example("headrace explain mamba2", "one layer").example("headrace explain '8*(rg_lru + geglu, attn(window=1024, kv=1) + geglu)'",
      "each layer of a stack");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
