// Eidetic memory (Zancato et al. 2024, 2407.06324; eidetic.h says what is seen). Which tokens are kept is chosen on the CPU from
// the scores; what is attended to is a gather of rows, so gradients flow to the keys and values that were chosen, and none to the
// choice.
#include "ops/eidetic.h"

#include <algorithm>
#include <memory>

#include "ops/run.h"

namespace headrace {
namespace {

struct Candidate {
  float score;
  int64_t position, row;                 // row: of the state's and the call's rows, joined
};
bool better(const Candidate& a, const Candidate& b) { return a.score > b.score || (a.score == b.score && a.position < b.position); }

// The best of a sequence so far, and those that the open chunk sees.
struct Best {
  std::vector<Candidate> open, all;
  void add(const Candidate& c, size_t count) {
    all.insert(std::upper_bound(all.begin(), all.end(), c, better), c);
    if (all.size() > count) all.pop_back();
  }
};

}  // namespace

Attended eidetic_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& scores, const Eidetic& o,
                           std::span<const int32_t> positions, const Slot& slot) {
  const char* op = "eidetic_attention";
  check_rows(op, q, slot);
  const int64_t N = q.dim(0), G = k.dim(1), K = k.dim(2), V = v.dim(2), wide = 2 + G * (K + V);
  expect(o.count > 0 && o.window > 0 && scores.count() == N && std::ssize(positions) == N, op, ": ", o.count, " tokens in chunks of ", o.window, ", ",
         scores.count(), " scores and ", positions.size(), " positions for q ", q.shape());
  const Device device = q.device();
  const Shape state{2 * o.count, wide};
  if (device == Device::meta) {
    for (SlotValue* s : slot.values) s->value = Tensor::empty(state, DType::f32, device);
    return {Tensor::empty({N, q.dim(1), V}, DType::f32, device), Tensor::empty({N, q.dim(1)}, DType::f32, device)};
  }
  // Rows of all sequences: the state's, then the call's.
  std::vector<float> given(static_cast<size_t>(N));
  copy_bytes(given.data(), Device::cpu, scores.contiguous_or_copy().f32(), device, given.size() * sizeof(float));
  Tensor places = Tensor::empty({N, 1});
  for (int64_t i = 0; i < N; ++i) places.f32()[i] = static_cast<float>(positions[static_cast<size_t>(i)] + 1);
  const auto flat = [&](const Tensor& x) { return x.contiguous_or_copy().view({N, G * x.dim(2)}); };
  const Tensor rows = concat({scores.contiguous_or_copy().view({N, 1}), copy_to(places, device), flat(k), flat(v)});

  Pattern seen{.kind = Pattern::Kind::listed, .block = 1};
  seen.query_block = 1, seen.begin = {0};
  std::vector<Tensor> keys;
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> any;                                  // 0 where a query sees nothing
  for (int s = 0; s < slot.sequences.count(); ++s) {
    const int64_t begin = slot.sequences.offsets[s], n = slot.sequences.offsets[s + 1] - begin;
    SlotValue* kept = slot.values.empty() ? nullptr : slot.values[static_cast<size_t>(s)];
    Best best;
    int64_t first = 0;                                       // of the call's rows
    if (kept && kept->value) {
      expect(kept->value.shape() == state && kept->value.device() == device, op, ": state ", kept->value.shape(), " where ", state, " is needed");
      keys.push_back(kept->value), first = 2 * o.count;
      const Tensor here = copy_to(kept->value.contiguous_or_copy(), Device::cpu);
      for (int64_t i = 0; i < first; ++i) {
        const float* row = here.f32() + i * wide;
        if (row[1] > 0) (i < o.count ? best.open : best.all).push_back({row[0], static_cast<int64_t>(row[1]) - 1, i});
      }
    }
    if (n > 0) keys.push_back(rows.slice(0, begin, n));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t position = positions[static_cast<size_t>(begin + i)];
      if (position % o.window == 0) best.open = best.all;
      const size_t before = seen.blocks.size();
      for (const Candidate& c : best.open)
        if (c.position <= position - o.window) seen.blocks.push_back(static_cast<int32_t>(c.row));
      std::sort(seen.blocks.begin() + static_cast<int64_t>(before), seen.blocks.end());
      seen.begin.push_back(std::ssize(seen.blocks));
      any.push_back(seen.blocks.size() > before ? 1 : 0);
      best.add({given[static_cast<size_t>(begin + i)], position, first + i}, static_cast<size_t>(o.count));
    }
    offsets.push_back(offsets.back() + first + n);
    if (!kept) continue;
    // The state: what is kept of both kinds, and empty rows.
    std::vector<Tensor> from;
    if (first) from.push_back(kept->value);
    if (n > 0) from.push_back(rows.slice(0, begin, n));
    from.push_back(Tensor::zeros({1, wide}, DType::f32, device));
    std::vector<int64_t> chosen;
    for (const auto* set : {&best.open, &best.all}) {
      for (const Candidate& c : *set) chosen.push_back(c.row);
      chosen.resize((set == &best.open ? 1 : 2) * static_cast<size_t>(o.count), first + n);
    }
    kept->value = take_rows(concat_rows(from), chosen);
  }
  if (offsets.back() == 0) return {Tensor::zeros({N, q.dim(1), V}, DType::f32, device), Tensor::zeros({N, q.dim(1)}, DType::f32, device)};
  const Tensor all = concat_rows(keys);
  const auto heads_of = [&](int64_t at, int64_t width) { return concat({all.slice(1, at, G * width)}).view({offsets.back(), G, width}); };
  Attention options{.causal = false, .sinks = {}, .slopes = {}};
  options.pattern = std::make_shared<const Pattern>(std::move(seen)), options.keys = {offsets};
  const Attended part = attention_with_lse(q, heads_of(2, K), heads_of(2 + G * K, V), options, {.sequences = slot.sequences, .values = {}});
  return {part.y, part.lse + where_starts(any, -1e30f, Tensor::zeros({N, 1}, DType::f32, device))};
}

}  // namespace headrace
