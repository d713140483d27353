// Vectors come in through a matrix whose products stand for the embedding; everything after that is the decoder that runs anywhere else.
#include "probe/network.h"

#include <numeric>

#include "base/error.h"
#include "nn/init.h"
#include "train/learner.h"

namespace headrace {

Network::Network(const Task& task, const std::string& blueprint, uint64_t seed)
    : task_(task), blueprint_(parse_blueprint(blueprint)), source_(initialised({.seed = seed})) {
  blueprint_.header.vocab = std::max(task.vocab, 1);
  blueprint_ = parse_blueprint(print(blueprint_));         // as it is printed, with what defaults make of the vocabulary
}

Network::Asked Network::asked(const ProbeBatch& batch) const {
  Asked a;
  int64_t begin = 0;
  for (int32_t i = 0; i < std::ssize(batch.samples); ++i) {
    const Sample& s = batch.samples[static_cast<size_t>(i)];
    const auto add = [&](int64_t t, bool scored, int32_t slot) {
      a.rows.push_back(begin + t), a.scored.push_back(scored);
      a.sample.push_back(i), a.position.push_back(static_cast<int32_t>(t)), a.slot.push_back(slot);
    };
    for (int64_t t = 0; t < s.length(); ++t) {
      const auto at = static_cast<size_t>(t);
      if (task_.outputs ? !s.mask[at] : s.targets[at] == Sample::none) continue;
      add(t, s.mask[at], 0);
      if (!task_.outputs) a.targets.push_back(s.targets[at]);
      else a.vectors.insert(a.vectors.end(), s.y.begin() + t * task_.outputs, s.y.begin() + (t + 1) * task_.outputs);
    }
    for (size_t k = 0; k < s.decoded.size(); ++k) add(s.length() - 1, true, static_cast<int32_t>(k)), a.targets.push_back(s.decoded[k]);
    begin += s.length();
  }
  return a;
}

Tensor Network::answers(const ProbeBatch& batch, const Asked& asked, Tensor* losses) const {
  Model m = build_blueprint(blueprint_, source_);
  const Scope own = Scope(source_) / "probe";
  const int width = blueprint_.header.width;
  Batch ragged;
  std::vector<int32_t> ids;
  std::vector<float> x;
  for (const Sample& s : batch.samples) {
    ragged.add(s.length());
    ids.insert(ids.end(), s.tokens.begin(), s.tokens.end());
    x.insert(x.end(), s.x.begin(), s.x.end());
  }
  if (task_.inputs) {                                      // a table with a row for each token of the batch
    const Linear in = Linear::bind(own / "in", task_.inputs, width, true, Init::fan_in(), Init::zeros());
    m.decoder.embed = in(Tensor::from(std::span<const float>(x), {batch.tokens(), task_.inputs}));
    ids.resize(static_cast<size_t>(batch.tokens()));
    std::iota(ids.begin(), ids.end(), 0);
  }
  Tensor h = take_rows(m.decoder.hidden(ids, ragged), asked.rows);
  if (losses) *losses = losses_of_layers(ragged, 0.01);
  if (!batch.samples.empty() && !batch.samples[0].decoded.empty()) {
    const int64_t slots = std::ssize(batch.samples[0].decoded);
    h = h + embedding(own.matrix("slots", {slots, width}, Init::normal(1)), asked.slot);
    h = Mlp{Linear::bind(own / "up", width, 4 * width, true, Init::fan_in()), Linear::bind(own / "down", 4 * width, width, true, Init::fan_in())}(h);
  }
  if (task_.outputs) return Linear::bind(own / "out", width, task_.outputs, true, Init::fan_in(), Init::zeros())(h);
  if (task_.inputs) return Linear::bind(own / "classes", width, task_.vocab, true, Init::fan_in(), Init::zeros())(h);
  return m.decoder.logits(h);
}

int64_t Network::state_bytes(int64_t tokens) const {
  const Model m = build_blueprint(blueprint_, source_);
  if (!m.decoder.sees_later.empty()) return 0;
  State state;
  Batch batch;
  batch.add(tokens, &state);
  m.decoder.hidden(std::vector<int32_t>(static_cast<size_t>(tokens)), batch);
  return static_cast<int64_t>(state.bytes());
}

std::vector<Parameter> Network::parameters() const {
  std::vector<Parameter> all;
  for (const Parameter& p : source_->parameters)
    if (p.trained && !(task_.inputs && (p.name == "embed.weight" || p.name == "head.weight"))) all.push_back(p);
  return all;
}

}  // namespace headrace
