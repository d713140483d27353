// Eidetic attention against what its header says, word by word; in pieces, with ragged sequences beside each other, and of nothing.
#include "ops/eidetic.h"

#include "laws.h"

namespace headrace {
namespace {

constexpr int heads = 4, kv_heads = 2, key = 5, value = 3;
constexpr Eidetic options{.count = 4, .window = 8};
struct Inputs {
  Tensor q, k, v, scores;
  Inputs(int64_t n, uint64_t seed) : Inputs(n, Random(seed)) {}
  Inputs(int64_t n, Random r) : q(r.whole({n, heads, key})), k(r.whole({n, kv_heads, key})), v(r.whole({n, kv_heads, value})), scores(r.whole({n})) {}
};
Attended call(const Inputs& x, int64_t begin, int64_t n, SlotValue* state) {
  const std::vector<int64_t> offsets{0, n};
  std::vector<int32_t> positions(static_cast<size_t>(n));
  std::iota(positions.begin(), positions.end(), static_cast<int32_t>(begin));
  Slot slot{.sequences = {offsets}, .values = {}};
  if (state) slot.values.push_back(state);
  const auto part = [&](const Tensor& t) { return t.slice(0, begin, n); };
  return eidetic_attention(part(x.q), part(x.k), part(x.v), part(x.scores), options, positions, slot);
}

TEST(EideticAttention, IsASoftmaxOverTheBestBeforeTheChunkThatTheWindowHasLeft) {
  const int64_t n = 61;
  const Inputs x(n, 3);
  const Attended got = call(x, 0, n, nullptr);
  for (int64_t i = 0; i < n; ++i) {
    std::vector<int64_t> best(static_cast<size_t>(i / options.window * options.window));
    std::iota(best.begin(), best.end(), 0);
    std::stable_sort(best.begin(), best.end(), [&](int64_t a, int64_t b) { return x.scores.f32()[a] > x.scores.f32()[b]; });
    best.resize(std::min(best.size(), static_cast<size_t>(options.count)));
    std::erase_if(best, [&](int64_t j) { return j > i - options.window; });
    for (int64_t h = 0; h < heads; ++h) {
      double total = 0, y[value] = {};
      for (const int64_t j : best) {
        double dot = 0;
        const int64_t at = j * kv_heads + h / (heads / kv_heads);
        for (int d = 0; d < key; ++d) dot += double{x.q.f32()[(i * heads + h) * key + d]} * x.k.f32()[at * key + d];
        const double weight = std::exp(dot / std::sqrt(double{key}));
        total += weight;
        for (int d = 0; d < value; ++d) y[d] += weight * x.v.f32()[at * value + d];
      }
      const float lse = got.lse.f32()[i * heads + h];
      if (best.empty()) EXPECT_LT(lse, -1e29f) << i;
      else EXPECT_NEAR(lse, std::log(total), 1e-5) << i;
      for (int d = 0; d < value; ++d)
        EXPECT_NEAR(got.y.f32()[(i * heads + h) * value + d], best.empty() ? 0 : y[d] / total, 1e-5) << i;
    }
  }
}

TEST(EideticAttention, InPiecesIsTheSameAsWhole) {
  const int64_t n = 61;
  const Inputs x(n, 4);
  SlotValue all;
  const Attended whole = call(x, 0, n, &all);
  for (const int64_t piece : {1, 3, 8, 20}) {
    SlotValue state;
    for (int64_t at = 0; at < n; at += piece) {
      const int64_t m = std::min(piece, n - at);
      const Attended part = call(x, at, m, &state);
      EXPECT_TRUE(close(part.y, whole.y.slice(0, at, m), 1e-6)) << "pieces of " << piece << " at " << at;
      EXPECT_TRUE(close(part.lse, whole.lse.slice(0, at, m), 1e-6)) << "pieces of " << piece << " at " << at;
    }
    EXPECT_TRUE(close(state.value, all.value, 0)) << "pieces of " << piece;
  }
}

TEST(EideticAttention, OfSequencesBesideEachOtherIsThatOfEachAlone) {
  const std::vector<int64_t> lengths{20, 0, 1, 33};
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> positions;
  std::vector<Inputs> each;
  for (const int64_t n : lengths) {
    each.emplace_back(n, 5 + static_cast<uint64_t>(n)), offsets.push_back(offsets.back() + n);
    for (int32_t i = 0; i < n; ++i) positions.push_back(i);
  }
  const auto joined = [&](Tensor Inputs::*part) {
    std::vector<Tensor> parts;
    for (const Inputs& x : each)
      if ((x.*part).dim(0) > 0) parts.push_back((x.*part).view({(x.*part).dim(0), (x.*part).count() / (x.*part).dim(0)}));
    return concat_rows(parts);
  };
  const int64_t n = offsets.back();
  const Attended got = eidetic_attention(joined(&Inputs::q).view({n, heads, key}), joined(&Inputs::k).view({n, kv_heads, key}),
                                         joined(&Inputs::v).view({n, kv_heads, value}), joined(&Inputs::scores).view({n}), options, positions,
                                         {.sequences = {offsets}, .values = {}});
  for (size_t s = 0; s < lengths.size(); ++s) {
    const Attended alone = call(each[s], 0, lengths[s], nullptr);
    EXPECT_TRUE(close(got.y.slice(0, offsets[s], lengths[s]), alone.y, 1e-6)) << s;
    EXPECT_TRUE(close(got.lse.slice(0, offsets[s], lengths[s]), alone.lse, 1e-6)) << s;
  }
}

}  // namespace
}  // namespace headrace
