// The forward that all models share, tokens that a model puts before the first (Hymba), and the shortest text of a stack's layers.
#include "nn/decoder.h"

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "ops/tape.h"

namespace headrace {
namespace {

// [N,D]: sin(p / 10000^(2 i / D)) at 2 i, the cosine at 2 i + 1.
Tensor sinusoids(std::span<const int32_t> positions, int64_t D, Device device) {
  const int64_t N = std::ssize(positions);
  if (device == Device::meta) return Tensor::empty({N, D}, DType::f32, device);
  const Tensor table = Tensor::empty({N, D});
  std::vector<double> rate;
  for (int64_t i = 0; i < D; i += 2) rate.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(D)));
  parallel(N, std::max<int64_t>(1, 4096 / D), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t i = 0; i < D; ++i) {
        const double angle = positions[static_cast<size_t>(n)] * rate[static_cast<size_t>(i / 2)];
        table.f32()[n * D + i] = static_cast<float>(i % 2 ? std::cos(angle) : std::sin(angle));
      }
  });
  return copy_to(table, device);
}

}  // namespace

Tensor Decoder::hidden(std::span<const int32_t> ids, Batch& batch) const {
  expect(static_cast<int64_t>(ids.size()) == batch.offsets.back(), "decoder: ", ids.size(), " tokens for a batch of ", batch.offsets.back());
  expect(sees_later.empty() || batch.states.empty(), sees_later, ": cannot continue: not causal");
  if (!initial.layers.empty()) {
    if (batch.states.empty() && batch.offsets.size() > 1) {            // whole sequences, of which nothing is kept
      std::vector<State> begun(batch.offsets.size() - 1, initial);
      Batch with = batch;
      for (State& s : begun) with.states.push_back(&s);
      return hidden(ids, with);
    }
    for (State* s : batch.states)
      if (s->tokens == 0 && s->layers.empty()) s->layers = initial.layers;
  }
  Tensor x = embedding(embed, ids);
  if (embed_scale != 1) x = embed_scale * x;
  if (positions) {
    for (int32_t p : batch.positions)
      expect(p < positions.dim(0), "position ", p, " is beyond the model's context of ", positions.dim(0));
    x = x + embedding(positions, batch.positions);
  }
  if (sinusoidal) x = x + sinusoids(batch.positions, x.dim(1), x.device());
  if (embed_norm) x = embed_norm(x);
  x = Pass{&batch}.dropped(x);
  x = meta ? after_meta(x, batch) : through_layers(x, batch);
  for (size_t s = 0; s < batch.states.size(); ++s) batch.states[s]->tokens += batch.offsets[s + 1] - batch.offsets[s];
  return norm ? norm(x) : x;
}

namespace {
// A layer of which backward computes again what it keeps of it. What it hands to later layers comes out beside its result, so that
// gradients reach it; what earlier ones handed to it is as it was then. The layer outlives the tape's records.
Tensor recomputed(const Layer& layer, const Tensor& x, Batch& batch, int l) {
  const Batch before = batch;
  auto names = std::make_shared<std::vector<std::string>>();
  auto draws = std::make_shared<uint64_t>();
  const std::vector<Tensor> out = checkpoint([=, run = &layer.run] {
    Batch b = before;
    std::vector<Tensor> all{(*run)(x, {&b, l})};
    names->clear();
    for (const auto& [name, t] : b.shared) {
      const auto old = before.shared.find(name);
      if (old == before.shared.end() || old->second.storage() != t.storage()) names->push_back(name), all.push_back(t);
    }
    *draws = b.training->draws;
    return all;
  });
  for (size_t i = 0; i < names->size(); ++i) batch.shared[(*names)[i]] = out[i + 1];
  batch.training->draws = *draws;
  return out[0];
}
}  // namespace

Tensor Decoder::through_layers(Tensor x, Batch& batch) const {
  const bool again = batch.training && batch.training->recompute && batch.states.empty();   // a state would be carried on twice
  for (size_t l = 0; l < layers.size(); ++l)
    x = again ? recomputed(layers[l], x, batch, static_cast<int>(l)) : layers[l].run(x, {&batch, static_cast<int>(l)});
  return x;
}

// A sequence that begins gets the model's own tokens first; positions count them, the answer has none of them.
Tensor Decoder::after_meta(const Tensor& x, Batch& batch) const {
  const int64_t P = meta.dim(0);
  Batch longer;
  longer.states = batch.states;
  longer.training = batch.training, longer.shared = batch.shared;
  std::vector<Tensor> rows;
  std::vector<int64_t> own;
  for (size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
    const int64_t begin = batch.offsets[s], n = batch.offsets[s + 1] - begin;
    const bool begins = n > 0 && (batch.states.empty() || batch.states[s]->tokens == 0);
    for (int64_t i = 0; begins && i < P; ++i) longer.positions.push_back(static_cast<int32_t>(i));
    if (begins) rows.push_back(meta);
    if (n > 0) rows.push_back(x.slice(0, begin, n));
    for (int64_t i = begin; i < begin + n; ++i) {
      own.push_back(std::ssize(longer.positions));
      longer.positions.push_back(static_cast<int32_t>(batch.positions[static_cast<size_t>(i)] + P));
    }
    longer.offsets.push_back(std::ssize(longer.positions));
  }
  const bool none = std::ssize(own) == longer.offsets.back();
  const Tensor y = through_layers(none ? x : concat_rows(rows), longer);
  batch.shared = std::move(longer.shared);
  return none ? y : take_rows(y, own);
}

Tensor tied_head(const Scope& s, const std::string& name, bool tied, const Tensor& embed) {
  if (!tied) return s.matrix(name, embed.shape());
  s.source().used.insert(name);                    // tied checkpoints may store a copy
  return embed;
}

Tensor Decoder::logits(const Tensor& hidden) const { return softcap(head(hidden), logit_cap); }

std::string Decoder::layers_text() const {
  // The shortest period of layer texts that covers the stack, then the rest spelled out in runs.
  std::string out;
  const size_t n = layers.size();
  auto run_of = [&](size_t begin, size_t period) {
    size_t end = begin + period;
    while (end < n && layers[end].text == layers[end - period].text) ++end;
    return (end - begin) / period;
  };
  for (size_t at = 0; at < n;) {
    size_t best = 1, repeats = run_of(at, 1);
    for (size_t period = 2; period <= (n - at) / 2 && period <= 16; ++period)
      if (size_t r = run_of(at, period); r > 1 && r * period > repeats * best) best = period, repeats = r;
    std::string inner;
    for (size_t i = 0; i < best; ++i) inner += (i ? ", " : "") + layers[at + i].text;
    out += (at ? ", " : "") + (repeats > 1 ? text(repeats, "*(", inner, ")") : inner);
    at += best * repeats;
  }
  return out;
}

}  // namespace headrace
