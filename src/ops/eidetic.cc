// Eidetic memory (Zancato et al. 2024, 2407.06324; eidetic.h says what is seen). Which tokens are kept is chosen on the CPU from
// the scores; what is attended to is a gather of rows, a page or two for each chunk of queries, so gradients flow to the keys and values
// that were chosen, and none to the choice.
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

// Rows of a state and of the columns of the call's n tokens from `begin` on, by their places in both, joined; beyond them a row of zeros.
Tensor gathered(const Tensor& state, int64_t first, int64_t n, int64_t begin, std::span<const Tensor> columns, const std::vector<int64_t>& chosen) {
  std::vector<int64_t> of_call, places;
  for (int64_t row : chosen)
    if (row >= first && row < first + n) of_call.push_back(begin + row - first);
  int64_t next = first;
  for (int64_t row : chosen) places.push_back(row < first ? row : row < first + n ? next++ : first + std::ssize(of_call));
  std::vector<Tensor> parts, from;
  if (state) from.push_back(state);
  for (const Tensor& c : columns) parts.push_back(take_rows(c, of_call));
  if (!of_call.empty()) from.push_back(concat(parts));
  int64_t wide = 0;
  for (const Tensor& c : columns) wide += c.dim(1);
  from.push_back(Tensor::zeros({1, wide}, DType::f32, columns[0].device()));
  return take_rows(concat_rows(from), places);
}

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
  // The columns of a state's row, of this call's tokens.
  std::vector<float> given(static_cast<size_t>(N));
  copy_bytes(given.data(), Device::cpu, scores.contiguous_or_copy().f32(), device, given.size() * sizeof(float));
  Tensor places = Tensor::empty({N, 1});
  for (int64_t i = 0; i < N; ++i) places.f32()[i] = static_cast<float>(positions[static_cast<size_t>(i)] + 1);
  const auto flat = [&](const Tensor& x) { return x.contiguous_or_copy().view({N, G * x.dim(2)}); };
  const Tensor columns[] = {scores.contiguous_or_copy().view({N, 1}), copy_to(places, device), flat(k), flat(v)};

  // Queries of one chunk are a sequence of their own, whose keys are those that the chunk may see, by position: each query sees the first
  // few of them.
  Pattern seen{.kind = Pattern::Kind::listed, .block = 1};
  seen.query_block = 1, seen.begin = {0};
  std::vector<Tensor> keys;
  std::vector<int64_t> query_offsets{0}, key_offsets{0};
  std::vector<int32_t> any;                                  // 0 where a query sees nothing
  for (int s = 0; s < slot.sequences.count(); ++s) {
    const int64_t begin = slot.sequences.offsets[s], n = slot.sequences.offsets[s + 1] - begin;
    SlotValue* kept = slot.values.empty() ? nullptr : slot.values[static_cast<size_t>(s)];
    Best best;
    const Tensor before = kept ? kept->value : Tensor{};
    const int64_t first = before ? 2 * o.count : 0;          // of the call's rows
    if (before) {
      expect(before.shape() == state && before.device() == device, op, ": state ", before.shape(), " where ", state, " is needed");
      const Tensor here = copy_to(before.contiguous_or_copy(), Device::cpu);
      for (int64_t i = 0; i < first; ++i) {
        const float* row = here.f32() + i * wide;
        if (row[1] > 0) (i < o.count ? best.open : best.all).push_back({row[0], static_cast<int64_t>(row[1]) - 1, i});
      }
    }
    const auto by_position = [](const Candidate& a, const Candidate& b) { return a.position < b.position; };
    std::vector<int64_t> visible;                            // rows of the chunks' keys
    for (int64_t i = 0; i < n; ++i) {
      const int64_t position = positions[static_cast<size_t>(begin + i)];
      const bool opens = position % o.window == 0;
      if (opens) best.open = best.all;
      if (opens || i == 0) {
        std::sort(best.open.begin(), best.open.end(), by_position);
        if (i > 0) query_offsets.push_back(begin + i);
        key_offsets.push_back(key_offsets.back() + std::ssize(best.open));
        for (const Candidate& c : best.open) visible.push_back(c.row);
      }
      int32_t count = 0;
      while (count < std::ssize(best.open) && best.open[static_cast<size_t>(count)].position <= position - o.window) seen.blocks.push_back(count++);
      seen.begin.push_back(std::ssize(seen.blocks));
      any.push_back(count > 0 ? 1 : 0);
      best.add({given[static_cast<size_t>(begin + i)], position, first + i}, static_cast<size_t>(o.count));
    }
    if (n > 0) query_offsets.push_back(begin + n);
    const auto rows = [&](const std::vector<int64_t>& chosen) { return gathered(before, first, n, begin, columns, chosen); };
    if (!visible.empty()) keys.push_back(rows(visible));
    if (!kept) continue;
    std::vector<int64_t> chosen;                             // the state: what is kept of both kinds, and empty rows
    for (const auto* set : {&best.open, &best.all}) {
      for (const Candidate& c : *set) chosen.push_back(c.row);
      chosen.resize((set == &best.open ? 1 : 2) * static_cast<size_t>(o.count), first + n);
    }
    kept->value = rows(chosen);
  }
  const Tensor unseen = where_starts(any, -1e30f, Tensor::zeros({N, 1}, DType::f32, device));
  if (keys.empty()) return {Tensor::zeros({N, q.dim(1), V}, DType::f32, device), Tensor::zeros({N, q.dim(1)}, DType::f32, device) + unseen};
  const Tensor all = concat_rows(keys);
  const auto heads_of = [&](int64_t at, int64_t width) { return concat({all.slice(1, at, G * width)}).view({key_offsets.back(), G, width}); };
  Attention options{.causal = false, .sinks = {}, .slopes = {}};
  options.pattern = std::make_shared<const Pattern>(std::move(seen)), options.keys = {key_offsets};
  const Attended part = attention_with_lse(q, heads_of(2, K), heads_of(2 + G * K, V), options, {.sequences = {query_offsets}, .values = {}});
  return {part.y, part.lse + unseen};
}

}  // namespace headrace
