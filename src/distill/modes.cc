// The fit is mixers/modal_fit.h's; here are the files around it. The new blueprint is the old one whose hyenas have modes, so every other verb
// opens it.
#include "distill/modes.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "mixers/catalogue.h"
#include "mixers/hyena.h"
#include "models/blueprint.h"
#include "models/named_blueprints.h"
#include "nn/init.h"
#include "run/open_tokenizer.h"
#include "run/plan.h"
#include "run/state_file.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

struct Opened {
  std::string file;                      // for errors
  Value config;
  Blueprint blueprint;
  std::vector<NamedTensor> tensors;
};

Opened open_folder(const std::string& in) {
  const std::string file = in + "/config.json";
  expect(is_folder(in) && file_exists(file), in, ": wanted a folder with config.json and safetensors, or a blueprint");
  Opened o{.file = in, .config = parse_json(read_text(file, size_t{16} << 20), file), .blueprint = {}, .tensors = {}};
  std::string text, family = "unknown";
  if (const Value* type = o.config.find("model_type")) read_value(*type, family);
  const Value* stored = o.config.find("blueprint");
  expect(stored && read_value(*stored, text), in, ": ", headrace::quoted(family).substr(0, 40),
         " has no long filters to make modes of: wanted a model of hyenas");
  o.blueprint = naming(file, [&] { return parse_blueprint(text); });
  for (const NamedTensor& t : open_tensors(in)) o.tensors.push_back(t);
  return o;
}
Opened open_text(const std::string& in) {
  const NamedBlueprint* named = find_blueprint(in);
  Opened o{.file = in, .config = {}, .blueprint = parse_blueprint(named ? named->text : in), .tensors = {}};
  const auto source = initialised({.pack = false});
  build_blueprint(o.blueprint, source);
  for (const auto& [name, p] : source->kept) o.tensors.emplace_back(name, p.value);
  o.config = Object{{"model_type", "headrace"}, {"blueprint", print(o.blueprint)}, {"architectures", Array{"HeadraceForCausalLM"}}};
  return o;
}

// Hands out what is stored, as f32 rows.
std::shared_ptr<Source> source_of(const Opened& o) {
  auto s = std::make_shared<Source>();
  s->file = o.file, s->pack = false;
  s->make = [&o](const std::string& name, const Shape& shape, const Init&) {
    const auto found = std::find_if(o.tensors.begin(), o.tensors.end(), [&](const NamedTensor& t) { return t.first == name; });
    expect(found != o.tensors.end(), o.file, ": ", name, " is missing");
    const Tensor& t = found->second;
    expect(t.shape() == shape && is_float(t.dtype()), o.file, ": ", name, " is ", t.dtype(), " ", t.shape(), ", wanted ", shape);
    return 1.f * t.contiguous_copy();
  };
  return s;
}

void give_modes(Node& n, int modes) {
  for (Node& p : n.parts) give_modes(p, modes);
  if (n.kind != Node::Kind::mixer || n.name != Hyena::doc.name) return;
  for (Setting& s : n.settings)
    if (s.name == "modes") return void(s.value = s.value == "0" ? std::to_string(modes) : s.value);
  n.settings.push_back({.name = "modes", .value = std::to_string(modes)});
}

size_t fixed_state(const std::string& model, bool is_text) {
  const LoadOptions meta{.device = Device::meta};
  return plan_memory(is_text ? open_blueprint(model, meta) : open_model(model, meta), 64).state_fixed;
}

}  // namespace

DistilledModel distill_modes(const std::string& in, const std::string& out, int modes,
                             const std::function<void(const DistilledFilters&, size_t of)>& tell) {
  expect(!file_exists(out) || (is_folder(out) && fs::is_empty(out)), out, ": there already; give the output a folder of its own");
  const bool is_text = !file_exists(in);
  const std::string begins = in + "/" + initial_state_file;
  expect(is_text || !file_exists(begins), begins, ": was tuned with the filters as they are; distil the model that it was trained in, then tune");
  const Opened o = is_text ? open_text(in) : open_folder(in);
  const Place at{.width = o.blueprint.header.width};
  std::vector<std::pair<std::string, Hyena::Options>> hyenas;
  for (const auto& [path, node] : bound_mixers(o.blueprint))
    if (node->name == Hyena::doc.name)
      if (const Hyena::Options h = mixer_options<Hyena>(at, node->settings); h.modes == 0) hyenas.emplace_back(path, h);
  expect(!hyenas.empty(), in, ": no hyena with long filters in ", print(o.blueprint));

  Blueprint after = o.blueprint;
  give_modes(after.stack, modes);
  DistilledModel result{.before = print(o.blueprint), .after = print(after), .layers = {}, .state_before = fixed_state(in, is_text),
                        .state_after = 0, .tokenizer = false};
  std::map<std::string, Tensor> tensors(o.tensors.begin(), o.tensors.end());
  const auto source = source_of(o);
  for (const auto& [path, options] : hyenas) {
    const ModalHyena m = with_modes(Scope(source) / path, options, modes);
    std::erase_if(tensors, [&path = path](const auto& t) { return t.first.starts_with(path + "."); });
    for (const auto& [name, t] : m.tensors) tensors[name] = t;
    const auto errors = m.fit.error.floats();
    result.layers.push_back({path, m.fit.error.count(), options.length, m.fit.relative, *std::max_element(errors.begin(), errors.end())});
    source->kept.clear();
    if (tell) tell(result.layers.back(), hyenas.size());
  }

  make_folder(out);
  for (const char* name : tokenizer_files)
    if (const std::string file = in + "/" + name; !is_text && file_exists(file)) {
      const std::string text = read_text(file);
      write_atomic(out + "/" + name, [&](const Sink& sink) { sink(text.data(), text.size()); });
      result.tokenizer = true;
    }
  write_safetensors(out + "/model.safetensors", std::vector<NamedTensor>(tensors.begin(), tensors.end()), {{"format", "pt"}});
  Object config = *o.config.get<Object>();
  config["blueprint"] = result.after;
  const std::string text = to_json(config, 2) + "\n";
  write_atomic(out + "/config.json", [&](const Sink& sink) { sink(text.data(), text.size()); });
  result.state_after = fixed_state(out, false);
  return result;
}

}  // namespace headrace
