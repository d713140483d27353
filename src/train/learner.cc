// Blueprints bind parameters that an initialiser made; checkpoints bind what was read once, as f32 rows (Source::trains).
#include "train/learner.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "io/tensor_file.h"
#include "models/blueprint.h"
#include "nn/init.h"
#include "ops/ops.h"
#include "ops/tape.h"
#include "run/state_file.h"

namespace headrace {
namespace {

bool has_vocab(const std::string& blueprint) {
  const size_t at = blueprint.find("vocab");
  return at != blueprint.npos && blueprint.find_first_not_of(" \t\n", at + 5) != blueprint.npos &&
         blueprint[blueprint.find_first_not_of(" \t\n", at + 5)] == '=';
}
// All parameters of the bound model, learned or not. A source's own list has parts of a matrix one by one; `kept` has them whole.
void sort_out(Learner& l) {
  l.learned.clear(), l.fixed.clear();
  for (const auto& [name, p] : l.source->kept)
    if (l.source->used.contains(name)) (p.trained ? l.learned : l.fixed).push_back(p);
}
Learner blueprint_learner(const Blueprint& b, const std::shared_ptr<Source>& source) {
  Learner l{.source = source, .bind = [b, source] { return build_blueprint(b, source); }};
  l.config = Object{{"model_type", "headrace"}, {"blueprint", print(b)}, {"architectures", Array{"HeadraceForCausalLM"}}};
  l.bind();
  sort_out(l);
  return l;
}

void read_beginning(Learner& l) {
  const std::string file = l.folder + "/" + initial_state_file;
  if (l.source->device == Device::meta || !file_exists(file)) return;
  PauseTape pause;
  l.begins = read_state(file).state;
  bind_beginning(l.begins, l.bind().decoder, file);
}

}  // namespace

Tensor losses_of_layers(const Batch& batch, double balance) {
  Tensor sum;
  const std::pair<const char*, double> all[] = {{"moe.balance", balance}, {"bmojo.prediction", 1}};
  for (const auto& [name, weight] : all)
    if (const auto l = batch.shared.find(name); l != batch.shared.end() && weight > 0) {
      const Tensor loss = static_cast<float>(weight) * l->second.view({1});
      sum = sum ? sum + loss : loss;
    }
  return sum;
}

bool of_vocabulary(const std::string& name) {
  for (const char* part : {"embed", "wte.", "wpe.", "emb.", "lm_head", "meta_tokens"})
    if (name.find(part) != name.npos) return true;
  return name == "head.weight" || name == "positions.weight";
}

Learner new_learner(const std::string& text, int vocab, uint64_t seed, Device device) {
  Blueprint b = parse_blueprint(text);
  if (!has_vocab(text)) b.header.vocab = vocab;
  expect(b.header.vocab >= vocab, "blueprint: vocab = ", b.header.vocab, " is less than the tokenizer's ", vocab, " tokens");
  return blueprint_learner(b, initialised({.seed = seed, .device = device}));
}

Learner learner_of(const std::string& folder, Device device) {
  expect(is_folder(folder) && file_exists(folder + "/config.json"), folder, ": wanted a folder with config.json and safetensors to fine-tune");
  const std::string file = folder + "/config.json";
  const Value config = parse_json(read_text(file, size_t{16} << 20), file);
  auto tensors = std::make_shared<TensorFile>(open_tensors(folder));
  if (const Value* text = config.find("blueprint")) {
    std::string blueprint;
    expect(read_value(*text, blueprint), file, ": blueprint: wanted text");
    auto source = std::make_shared<Source>();
    source->file = folder, source->device = device, source->pack = false;
    source->make = [tensors, folder, device](const std::string& name, const Shape& shape, const Init&) {
      const Tensor& t = tensors->at(name);
      expect(t.shape() == shape && is_float(t.dtype()), folder, ": ", name, " is ", t.dtype(), " ", t.shape(), ", wanted ", shape);
      return device == Device::meta ? Tensor::empty(shape, DType::f32, device) : 1.f * t.contiguous_copy();
    };
    Learner l = blueprint_learner(naming(file, [&] { return parse_blueprint(blueprint); }), source);
    l.config = config, l.folder = folder;
    read_beginning(l);
    return l;
  }
  auto source = std::make_shared<Source>();
  source->file = folder, source->device = device, source->pack = false, source->trains = true;
  const auto find = [tensors](const std::string& name) {
    const Tensor* t = tensors->find(name);
    return t ? *t : Tensor{};
  };
  const auto names = [tensors] { return tensors->names(); };
  Learner l{.source = source, .config = config, .folder = folder};
  l.bind = [source, config, file, find, names] {
    source->find = find, source->names = names;                     // a family may put its own in their place
    source->parameters.clear(), source->used.clear();
    return build_model(config, source, file);
  };
  l.bind();
  sort_out(l);
  for (const auto& p : l.learned)
    expect(tensors->find(p.name) || source->as_stored, folder, ": ", p.name, " is not a name of the file: headrace cannot save this family under its "
           "names yet; convert it to the official ones");
  read_beginning(l);
  return l;
}

State Learner::initial_state() const {
  State s = begins;
  for (const InitialSlot& i : initial) {
    if (static_cast<int>(s.layers.size()) <= i.layer) s.layers.resize(static_cast<size_t>(i.layer) + 1);
    s.layers[static_cast<size_t>(i.layer)].at(i.name).value = learned[i.parameter].value;
  }
  return s;
}

std::vector<std::pair<std::string, Tensor>> Learner::model_tensors(const std::vector<Tensor>& values) const {
  PauseTape pause;
  std::map<std::string, Tensor> by_name;
  for (const Parameter& p : fixed) by_name[p.name] = p.value;
  for (size_t i = 0; i < learned.size(); ++i) by_name[learned[i].name] = values[i];
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& [name, t] : by_name) {
    if (name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight") || name.starts_with("initial_state.")) continue;
    const auto a = by_name.find(name.substr(0, name.rfind(".weight")) + ".lora_A.weight");
    const auto b = by_name.find(name.substr(0, name.rfind(".weight")) + ".lora_B.weight");
    if (a == by_name.end() || b == by_name.end()) {
      all.emplace_back(name, t);
      continue;
    }
    all.emplace_back(name, t + static_cast<float>(lora_scale) * matmul(b->second, a->second));
  }
  if (!source->as_stored) return all;
  const Source::Tensors stored = source->as_stored({all.begin(), all.end()});
  return {stored.begin(), stored.end()};
}

void adapt(Learner& l, int64_t rank, double alpha, const std::vector<std::string>& targets, uint64_t seed) {
  const auto wanted = [&](const Parameter& p) {
    if (p.shape.rank() != 2 || !p.name.ends_with(".weight") || std::min(p.shape[0], p.shape[1]) < 2) return false;
    if (targets.empty()) return !of_vocabulary(p.name);
    return std::any_of(targets.begin(), targets.end(), [&](const std::string& t) { return p.name.find(t) != p.name.npos; });
  };
  for (const std::string& t : targets)
    expect(std::any_of(l.learned.begin(), l.learned.end(), [&](const Parameter& p) { return wanted(p) && p.name.find(t) != p.name.npos; }),
           "model.targets: no matrix has \"", t, "\" in its name");
  struct Pair { Tensor a, b; };
  auto pairs = std::make_shared<std::map<std::string, Pair>>();
  const std::shared_ptr<Source> draws = initialised({.seed = seed, .device = l.source->device});
  std::vector<Parameter> learned;
  for (const Parameter& p : l.learned) {
    if (!wanted(p)) continue;
    const std::string stem = p.name.substr(0, p.name.rfind(".weight"));
    const int64_t r = std::min({rank, p.shape[0], p.shape[1]});
    const auto add = [&](const char* which, const Shape& shape, const Init& init) {
      const Tensor t = draws->make(stem + which, shape, init);
      learned.push_back({stem + which, shape, DType::f32, t.bytes(), false, "", true, t});
      return t;
    };
    const Tensor a = add(".lora_A.weight", {r, p.shape[1]}, Init::fan_in()), b = add(".lora_B.weight", {p.shape[0], r}, Init::zeros());
    pairs->emplace(p.name, Pair{a, b});
  }
  expect(!learned.empty(), "lora: the model has no matrix to adapt");
  const double scale = alpha / static_cast<double>(rank);
  l.lora_scale = scale;
  l.fixed.insert(l.fixed.end(), l.learned.begin(), l.learned.end());
  l.learned = std::move(learned);
  // One product a matrix and binding, however many parts of it the model takes.
  auto made = std::make_shared<std::map<std::string, Tensor>>();
  l.source->adapt = [pairs, made, scale](const std::string& name, const Tensor& w) {
    const auto p = pairs->find(name);
    if (p == pairs->end()) return w;
    Tensor& adapted = (*made)[name];
    if (!adapted) adapted = w + static_cast<float>(scale) * matmul(p->second.b, p->second.a);
    return adapted;
  };
  l.bind = [bind = l.bind, made] {
    made->clear();
    return bind();
  };
}

void tune_state(Learner& l) {
  l.fixed.insert(l.fixed.end(), l.learned.begin(), l.learned.end());
  l.learned.clear();
  const Model m = l.bind();
  expect(m.decoder.sees_later.empty(), "model.tune = \"state\": ", m.decoder.sees_later, " carries no state");
  State s = l.begins;
  Batch batch;
  batch.add(0, &s);                                      // nothing is read, but the slots are made as they begin
  PauseTape pause;
  (void)m.decoder.hidden({}, batch);
  for (size_t layer = 0; layer < s.layers.size(); ++layer)
    for (int i = 0; i < State::slots_per_layer; ++i) {
      const SlotValue& v = s.layers[layer].values[i];
      const char* name = s.layers[layer].names[i];
      if (!name || !v.value || v.value.rank() < 2) continue;
      const std::string full = text("initial_state.", layer, ".", name);
      const Tensor t = 1.f * v.value;
      l.initial.push_back({static_cast<int>(layer), name, l.learned.size()});
      l.learned.push_back({full, v.value.shape(), DType::f32, t.bytes(), false, "", true, t});
    }
  expect(!l.initial.empty(), "model.tune = \"state\": the model's layers carry keys and values only");
}

}  // namespace headrace
