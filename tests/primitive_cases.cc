// The sequence primitives, as the laws run them: arguments with ordinary and with extreme gates, states, and chunk lengths that do
// and do not divide.
#include "primitive_cases.h"


#include <algorithm>
#include <limits>
#include <memory>

#include "ops/aft.h"
#include "ops/patterns.h"
#include "ops/whole.h"

namespace headrace {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

Tensors none(Random&) { return {}; }

// Decays in logs: mostly mild, some strong.
Tensor decays(Tensor x) {
  return map(x, [](float v) { return v > 1.2f ? -8 * v : -0.3f * std::abs(v); });
}
// Gates at their ends: nothing forgotten, everything forgotten (as -1e4 and as -inf), and between.
Tensor extreme_decays(Tensor x) {
  return map(x, [](float v) { return v > 1 ? 0.f : v > 0 ? -0.2f * v : v > -0.7f ? 0.f : v > -1.2f ? -1e4f : -inf; });
}
Tensor unit_heads(Tensor x) {                          // [N,H,K], each head of length 1
  if (x.device() == Device::meta) return x;
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t h = 0; h < x.dim(1); ++h) {
      float* row = x.f32() + n * x.stride(0) + h * x.dim(2);
      double square = 0;
      for (int64_t i = 0; i < x.dim(2); ++i) square += double{row[i]} * row[i];
      for (int64_t i = 0; i < x.dim(2); ++i) row[i] = static_cast<float>(row[i] / std::sqrt(square));
    }
  return x;
}
Tensor sigmoids(Tensor x, float scale = 1) {
  return map(x, [=](float v) { return scale / (1 + std::exp(-v)); });
}
Tensor gates_at_ends(Tensor x) {
  return map(x, [](float v) { return v > 0.7f ? 1.f : v < -0.7f ? 0.f : 0.5f; });
}

// exp makes the error of its argument, absolute, that of its result, relative: in any order of work two results agree no better than
// 2^-24 of the exponent for each time that it is rounded. Scores: at the end of their sum, on both sides; the largest of 200 is
// some three deviations. RWKV-4's largest key so far: at each token until the decay has taken a deviation of keys off it, 200 at most.
double within(double exponent, double roundings) { return std::max(3e-5, 0x1p-24 * exponent * roundings); }

struct Heads { int64_t heads, kv_heads, key, value; };

PrimitiveCase attend(std::string name, Heads h, Attention options, std::function<Tensors(Random&)> fixed = none, float size = 1) {
  return {.name = "Attention" + name, .kernel = "attention",
          .timed = [=](Random& r, int64_t n) {
            return Tensors{map(r.rows({n, h.heads, h.key}), [=](float v) { return size * v; }), r.rows({n, h.kv_heads, h.key}),
                           r.rows({n, h.kv_heads, h.value})};
          },
          .fixed = std::move(fixed),
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) {
            Attention o = options;
            if (!w.empty()) o.sinks = w[0];
            if (w.size() > 1) o.slopes = w[1];
            return attention(x[0], x[1], x[2], o, slot);
          },
          .carries_state = options.causal,
          .tolerance = within(3 * size, 2)};
}

// q, k, v and then what `more` makes.
PrimitiveCase scan(std::string name, Heads h, std::function<Tensors(Random&, int64_t)> more, std::function<Tensors(Random&)> fixed,
                   std::function<void(LinearScan&, const Tensors& x, const Tensors& w)> set) {
  return {.name = "LinearScan" + name, .kernel = "linear_scan",
          .timed = [=](Random& r, int64_t n) {
            Tensors x{r.rows({n, h.heads, h.key}), unit_heads(r.rows({n, h.kv_heads, h.key})), r.rows({n, h.kv_heads, h.value})};
            for (Tensor& t : more(r, n)) x.push_back(t);
            return x;
          },
          .fixed = std::move(fixed),
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) {
            LinearScan s{.q = x[0], .k = x[1], .v = x[2]};
            set(s, x, w);
            return linear_scan(s, slot);
          }};
}

// The options that depend on the lengths of the sequences are made from the slot.
PrimitiveCase attend_by(std::string name, Heads h, std::function<void(Attention&, const Tensors& x, const Slot&)> set, bool causal = true,
                        bool carries = true, std::function<Tensors(Random&, int64_t)> more = {}, std::function<Tensors(Random&)> fixed = none) {
  PrimitiveCase c = attend(std::move(name), h, {.causal = causal}, std::move(fixed));
  c.carries_state = carries;
  c.timed = [timed = c.timed, more](Random& r, int64_t n) {
    Tensors x = timed(r, n);
    for (Tensor& t : more ? more(r, n) : Tensors{}) x.push_back(t);
    return x;
  };
  c.run = [=](const Tensors& x, const Tensors& w, const Slot& slot) {
    Attention o{.causal = causal};
    set(o, x, slot);
    if (!w.empty()) o.alpha = w[0];
    return attention(x[0], x[1], x[2], o, slot);
  };
  return c;
}
using Kind = Pattern::Kind;
auto with_pattern(Pattern p, int64_t window = 0, int64_t ahead = 0) {
  return [p = std::make_shared<const Pattern>(std::move(p)), window, ahead](Attention& o, const Tensors&, const Slot&) {
    o.pattern = p, o.window = window, o.ahead = ahead;
  };
}
// The place of each row in its sequence.
std::vector<int64_t> places(const Slot& slot) {
  std::vector<int64_t> all;
  for (int s = 0; s < slot.sequences.count(); ++s)
    for (int64_t i = slot.sequences.offsets[s]; i < slot.sequences.offsets[s + 1]; ++i) all.push_back(i - slot.sequences.offsets[s]);
  return all;
}
// Longformer: every 37th token is global, and the first. BigBird: the blocks beside, the first, the last, two at random.
void longformer(Attention& o, const Tensors&, const Slot& slot) {
  Pattern p;
  for (int64_t i : places(slot)) p.global.push_back(i % 37 == 0);
  o.pattern = std::make_shared<const Pattern>(std::move(p)), o.window = 9, o.ahead = o.causal ? 0 : 8;
}
void bigbird(Attention& o, const Tensors& x, const Slot& slot) {
  o.pattern = std::make_shared<const Pattern>(bigbird_pattern({.block = 13, .random = 2, .heads = static_cast<int>(x[0].dim(1)), .seed = 5},
                                                              slot.sequences));
}
void sorted(Attention& o, const Tensors&, const Slot& slot) {
  Pattern p{.kind = Kind::sorted, .block = 24};
  for (int64_t i : places(slot)) p.positions.push_back(static_cast<int32_t>(i * 7919 % 101));   // some twice
  o.pattern = std::make_shared<const Pattern>(std::move(p));
}
void gated(Attention& o, const Tensors& x, const Slot&) { o.log_gates = x[3]; }
Tensors gates(Random& r, int64_t n) { return {decays(r.rows({n, 4}))}; }
Tensors alphas(Random& r) { return {r.values({1.3f, 1.5f, 1.75f, 2.f})}; }

Tensors nothing(Random&, int64_t) { return {}; }

std::vector<PrimitiveCase> attentions() {
  auto sinks = [](Random& r) { return Tensors{r.whole({4}), r.values({0.5f, 0.25f, 0.125f, 0.0625f})}; };
  return {
      attend("MultiHead", {3, 3, 16, 16}, {}),
      attend("Grouped", {4, 2, 64, 64}, {}),
      attend("MultiQueryOddSizes", {5, 1, 13, 7}, {}),
      attend("WideHeads", {2, 1, 256, 256}, {}),
      attend("Window", {2, 1, 16, 20}, {.window = 5}),
      attend("WindowOverPages", {2, 2, 16, 16}, {.window = 70}),
      attend("WindowOfOne", {2, 1, 16, 16}, {.window = 1}),
      attend("CapAndScale", {2, 2, 16, 16}, {.scale = 0.3f, .cap = 5}),
      attend("SinksAndSlopes", {4, 2, 16, 16}, {}, sinks),
      attend("HugeScores", {2, 2, 16, 16}, {}, none, 300),
      attend("SinksOff", {4, 2, 16, 16}, {}, [](Random& r) { return Tensors{r.values({-inf, -1e4f, 0.f, 80.f})}; }),
      attend("Full", {4, 2, 16, 20}, {.causal = false}),
      attend("WindowBothWays", {2, 2, 16, 16}, {.window = 5, .causal = false, .ahead = 4}),
      attend_by("Strided", {4, 2, 16, 20}, with_pattern({.kind = Kind::strided, .block = 7})),
      attend_by("StridedFar", {4, 2, 16, 20}, with_pattern({.kind = Kind::strided, .block = 24})),
      attend_by("StridedFarInAWindow", {2, 1, 16, 16}, with_pattern({.kind = Kind::strided, .block = 70}, 100)),
      attend_by("Fixed", {4, 2, 16, 20}, with_pattern({.kind = Kind::fixed, .block = 24, .extra = 3})),
      attend_by("Merged", {4, 2, 16, 20}, with_pattern({.kind = Kind::merged, .block = 24})),
      attend_by("MergedBothWays", {2, 2, 7, 13}, with_pattern({.kind = Kind::merged, .block = 9}), false, false),
      attend_by("Chunks", {4, 2, 16, 20}, with_pattern({.kind = Kind::chunks, .block = 24, .extra = 1}, 48)),
      attend_by("WindowAndFirstKeys", {4, 2, 16, 20}, with_pattern({.kind = Kind::first, .extra = 5}, 9)),
      attend_by("WindowAndManyFirstKeys", {2, 2, 16, 16}, with_pattern({.kind = Kind::first, .extra = 70}, 3)),
      attend_by("BehindTheWindow", {4, 2, 16, 20}, with_pattern({.kind = Kind::behind, .block = 8}, 16)),
      attend_by("FarBehind", {2, 1, 16, 16}, with_pattern({.kind = Kind::behind, .block = 64}, 100)),
      attend_by("LongformerBothWays", {4, 2, 16, 20}, longformer, false, false),
      attend_by("LongformerCausal", {2, 2, 16, 20}, longformer, true, false),
      attend_by("BigBird", {4, 2, 16, 20}, bigbird, false, false),
      attend_by("BigBirdCausal", {4, 2, 16, 20}, bigbird, true, false),
      attend_by("SortedChunks", {2, 2, 16, 20}, sorted, true, false),
      attend_by("SortedChunksBothWays", {2, 1, 16, 20}, sorted, false, false),
      attend_by("ForgetGates", {4, 2, 16, 20}, gated, true, true, gates),
      attend_by("Entmax", {4, 2, 16, 20}, [](Attention&, const Tensors&, const Slot&) {}, true, true, {}, alphas),
      attend_by("EntmaxWithAll", {4, 2, 16, 20}, [](Attention& o, const Tensors& x, const Slot&) {
        o.log_gates = x[3], o.cap = 4, o.pattern = std::make_shared<const Pattern>(Pattern{.kind = Kind::merged, .block = 9});
      }, true, true, gates, alphas),
  };
}

std::vector<PrimitiveCase> linear_scans() {
  const Heads small{2, 2, 16, 20}, grouped{4, 2, 64, 64};
  auto per_head = [](int64_t H) { return [=](Random& r, int64_t n) { return Tensors{decays(r.rows({n, H}))}; }; };
  auto per_key = [](int64_t H, int64_t K) { return [=](Random& r, int64_t n) { return Tensors{decays(r.rows({n, H, K}))}; }; };
  auto take_decay = [](LinearScan& s, const Tensors& x, const Tensors&) { s.log_decay = x[3]; };
  auto low_rank = [](Tensor (*gate)(Tensor), Tensor (*decay)(Tensor)) {
    return [=](Random& r, int64_t n) {
      Tensor a = unit_heads(r.rows({n, 2, 16})), b = r.rows({n, 2, 16}), g = gate(r.rows({n, 2, 16}));
      for (int64_t i = 0; i < n && r.device != Device::meta; ++i)
        for (int64_t j = 0; j < 32; ++j) b.f32()[i * b.stride(0) + j] = -a.f32()[i * a.stride(0) + j] * g.f32()[i * g.stride(0) + j];
      return Tensors{decay(r.rows({n, 2, 16})), a, b};
    };
  };
  auto take_low_rank = [](LinearScan& s, const Tensors& x, const Tensors&) { s.log_decay = x[3], s.a = x[4], s.b = x[5]; };
  auto take_bonus = [](LinearScan& s, const Tensors& x, const Tensors& w) { s.log_decay = x[3], s.bonus = w[0]; };
  auto bonus = [](Random& r) { return Tensors{r.whole({2, 16})}; };
  return {
      scan("Plain", small, nothing, none, [](LinearScan& s, const Tensors&, const Tensors&) { s.scale = 0.25f; }),
      scan("ConstantPerHead", small, nothing, [](Random& r) { return Tensors{r.values({-0.03f, -2.f})}; },
           [](LinearScan& s, const Tensors&, const Tensors& w) { s.log_decay = w[0]; }),
      scan("PerHead", grouped, per_head(4), none, take_decay),
      scan("PerHeadOddSizes", {3, 1, 7, 13}, per_head(3), none, take_decay),
      scan("GroupedQueries", {2, 4, 16, 16}, per_head(4), none, take_decay),
      scan("PerKey", small, per_key(2, 16), none, take_decay),
      scan("PerKeyWide", {2, 2, 64, 128}, per_key(2, 64), none, take_decay),
      scan("ConstantPerKeyWithBonus", small, nothing, [](Random& r) { return Tensors{r.whole({2, 16}), decays(r.whole({1, 2, 16}))}; },
           [](LinearScan& s, const Tensors&, const Tensors& w) { s.bonus = w[0], s.log_decay = w[1]; }),
      scan("PerKeyWithBonus", small, per_key(2, 16), bonus, take_bonus),
      scan("Delta", small, [](Random& r, int64_t n) { return Tensors{sigmoids(r.rows({n, 2}), 2)}; }, none,
           [](LinearScan& s, const Tensors& x, const Tensors&) { s.beta = x[3]; }),
      scan("GatedDelta", small, [](Random& r, int64_t n) { return Tensors{decays(r.rows({n, 2})), sigmoids(r.rows({n, 2}))}; }, none,
           [](LinearScan& s, const Tensors& x, const Tensors&) { s.log_decay = x[3], s.beta = x[4]; }),
      scan("GatedDeltaPerKey", small, [](Random& r, int64_t n) { return Tensors{decays(r.rows({n, 2, 16})), sigmoids(r.rows({n, 2}))}; }, none,
           [](LinearScan& s, const Tensors& x, const Tensors&) { s.log_decay = x[3], s.beta = x[4]; }),
      scan("LowRank", small, low_rank([](Tensor x) { return sigmoids(x); }, decays), none, take_low_rank),
      scan("ExtremePerHead", grouped, [](Random& r, int64_t n) { return Tensors{extreme_decays(r.rows({n, 4}))}; }, none, take_decay),
      scan("ExtremePerKey", small, [](Random& r, int64_t n) { return Tensors{extreme_decays(r.rows({n, 2, 16}))}; }, none, take_decay),
      scan("ExtremeWithBonus", small, [](Random& r, int64_t n) { return Tensors{extreme_decays(r.rows({n, 2, 16}))}; }, bonus, take_bonus),
      scan("ExtremeGatedDelta", small,
           [](Random& r, int64_t n) { return Tensors{extreme_decays(r.rows({n, 2})), gates_at_ends(r.rows({n, 2}))}; }, none,
           [](LinearScan& s, const Tensors& x, const Tensors&) { s.log_decay = x[3], s.beta = x[4]; }),
      scan("ExtremeLowRank", small, low_rank(gates_at_ends, extreme_decays), none, take_low_rank),
  };
}

// q, k, v, rate, momentum, forget, and the memory at the beginning.
struct Learner { int64_t heads, key, value; int depth, hidden; bool norm, logits; int64_t chunk, batch; bool momentum = true; float clip = 0; };
PrimitiveCase learn(std::string name, Learner l, Tensor (*gates)(Tensor) = [](Tensor x) { return sigmoids(x); }) {
  return {.name = "MemoryScan" + name, .kernel = "memory_scan",
          .timed = [=](Random& r, int64_t n) {
            Tensors x{r.rows({n, l.heads, l.key}), unit_heads(r.rows({n, l.heads, l.key})), r.rows({n, l.heads, l.value}),
                      l.norm ? r.rows({n, l.heads}) : sigmoids(r.rows({n, l.heads}), l.depth == 1 ? 1.f : 0.05f)};
            if (l.momentum) x.push_back(l.logits ? r.rows({n, l.heads}) : gates(r.rows({n, l.heads})));
            // A net that forgets much comes near 0, where its norm makes of every difference a large one.
            const float kept = l.depth > 1 || l.norm ? 5 : 0;
            const Tensor forget = map(r.rows({n, l.heads}), [=](float v) { return v - kept; });
            x.push_back(l.logits ? forget : gates(forget));
            return x;
          },
          .fixed = [=](Random& r) {
            int64_t P = l.norm ? l.value : 0;
            for (int i = 0; i < l.depth; ++i) P += (i == 0 ? l.key : l.hidden) * (i + 1 == l.depth ? l.value : l.hidden);
            const float size = l.norm ? 1.f : 0.3f;
            return Tensors{map(r.whole({l.heads, P}), [=](float v) { return size * v; })};
          },
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) {
            const Tensor rate = l.norm ? 0.05f * sigmoid(x[3]) : x[3];
            return memory_scan({.q = x[0], .k = x[1], .v = x[2], .rate = rate, .momentum = l.momentum ? x[4] : Tensor{}, .forget = x.back(),
                                .logits = l.logits},
                               {.value = static_cast<int>(l.value), .initial = w[0], .depth = l.depth, .hidden = static_cast<int>(l.hidden),
                                .norm = l.norm, .momentum = l.momentum, .eps = 0.1f, .chunk = l.chunk, .batch = l.batch, .clip = l.clip},
                               slot);
          }};
}
std::vector<PrimitiveCase> learners() {
  return {learn("Linear", {2, 16, 20, 1, 0, false, false, 1, 1}),
          learn("LinearGatesAtTheirEnds", {2, 16, 20, 1, 0, false, false, 1, 1}, gates_at_ends),
          learn("LinearNoMomentum", {2, 7, 13, 1, 0, false, false, 1, 1, false}),
          learn("LinearBatches", {2, 16, 20, 1, 0, false, false, 1, 16}),
          learn("LinearLongBatches", {1, 16, 20, 1, 0, false, false, 1, 100}),
          learn("LinearChunks", {2, 16, 20, 1, 0, false, true, 5, 15}),
          learn("LinearNorm", {2, 12, 12, 1, 0, true, false, 1, 1}),
          learn("TwoLayers", {2, 8, 12, 2, 16, false, false, 1, 16}),
          learn("TwoLayersByToken", {1, 8, 8, 2, 16, true, false, 1, 1}),
          learn("TwoLayersInOneBatch", {2, 8, 8, 2, 32, true, true, 1, 0}),
          learn("TwoLayersChunks", {2, 8, 8, 2, 20, true, true, 4, 4}),
          learn("ThreeLayersChunksInBatches", {1, 7, 7, 3, 11, true, true, 3, 12, false}),
          learn("LinearClip", {2, 16, 20, 1, 0, false, false, 1, 1, true, 1}),
          learn("LinearClipNoMomentumBatches", {2, 7, 13, 1, 0, false, false, 1, 4, false, 0.5f}, gates_at_ends),
          learn("LinearClipLongBatches", {1, 16, 20, 1, 0, false, false, 1, 100, true, 1}),
          learn("LinearClipChunks", {2, 16, 20, 1, 0, false, true, 5, 15, true, 2}),
          learn("LinearNormClip", {2, 12, 12, 1, 0, true, false, 1, 1, true, 2}),
          learn("TwoLayersClip", {2, 8, 12, 2, 16, false, false, 1, 16, true, 1}),
          learn("TwoLayersByTokenClip", {1, 8, 8, 2, 16, true, false, 1, 1, true, 2}),
          learn("TwoLayersInOneBatchClip", {2, 8, 8, 2, 32, true, true, 1, 0, true, 2}),
          learn("TwoLayersChunksClip", {2, 8, 8, 2, 20, true, true, 4, 4, true, 2}),
          learn("ThreeLayersChunksInBatchesClip", {1, 7, 7, 3, 11, true, true, 3, 12, false, 1})};
}

PrimitiveCase diagonal(std::string name, int64_t channels, Tensor (*decay)(Tensor)) {
  return {.name = "DiagScan" + name, .kernel = "diag_scan",
          .timed = [=](Random& r, int64_t n) { return Tensors{decay(r.rows({n, channels})), r.rows({n, channels})}; },
          .fixed = none,
          .run = [](const Tensors& x, const Tensors&, const Slot& slot) { return diag_scan(x[0], x[1], slot); }};
}
PrimitiveCase constant_diagonal(int64_t channels) {
  return {.name = "DiagScanConstant", .kernel = "diag_scan",
          .timed = [=](Random& r, int64_t n) { return Tensors{r.rows({n, channels})}; },
          .fixed = [=](Random& r) { return Tensors{map(r.whole({channels}), [](float v) { return -0.3f * std::abs(v); })}; },
          .run = [](const Tensors& x, const Tensors& w, const Slot& slot) { return diag_scan(w[0], x[0], slot); }};
}
PrimitiveCase complex(std::string name, int64_t channels, bool constant) {
  auto factors = [](Tensor x) {                        // within the unit circle
    for (int64_t i = 0, C = x.dim(-1) / 2; i < x.count() / (2 * C) && x.device() != Device::meta; ++i)
      for (int64_t c = 0; c < C; ++c) {
        float &re = x.f32()[i * x.stride(0) + c], &im = x.f32()[i * x.stride(0) + C + c];
        const float most = 1 + std::abs(re) + std::abs(im);
        re /= most, im /= most;
      }
    return x;
  };
  auto row = [=](Random& r) { return moved(factors(Random(r.below(100)).whole({1, 2 * channels})), r.device).view({2 * channels}); };
  return {.name = "ComplexScan" + name, .kernel = "diag_scan",
          .timed = [=](Random& r, int64_t n) {
            Tensors x{r.rows({n, 2 * channels})};
            if (constant) return x;
            Tensor f = r.rows({n, 2 * channels});
            x.push_back(r.device == Device::cuda ? moved(factors(moved(f, Device::cpu)), r.device) : factors(f));
            return x;
          },
          .fixed = [=](Random& r) { return constant ? Tensors{r.device == Device::meta ? r.whole({2 * channels}) : row(r)} : Tensors{}; },
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) { return complex_scan(constant ? w[0] : x[1], x[0], slot); }};
}
PrimitiveCase cell(std::string name, int64_t gates, int64_t channels, int64_t heads, bool bias,
                   Tensor (*run)(const Tensor&, const Tensor&, const Tensor&, const Slot&)) {
  return {.name = "CellScan" + name, .kernel = "cell_scan",
          .timed = [=](Random& r, int64_t n) { return Tensors{r.rows({n, gates * channels})}; },
          .fixed = [=](Random& r) {
            const float scale = 1 / std::sqrt(static_cast<float>(channels / heads));
            return Tensors{map(r.whole({gates * channels, channels / heads}), [=](float v) { return scale * v; }),
                           bias ? r.whole({gates * channels}) : Tensor{}};
          },
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) { return run(x[0], w[0], w[1], slot); }};
}
PrimitiveCase selective(std::string name, int64_t channels, int64_t state, Tensor (*steps)(Tensor)) {
  return {.name = "Selective" + name, .kernel = "diag_scan",
          .timed = [=](Random& r, int64_t n) {
            return Tensors{r.rows({n, channels}), steps(r.rows({n, channels})), r.rows({n, state}), r.rows({n, state})};
          },
          .fixed = [=](Random& r) { return Tensors{map(r.whole({channels, state}), [](float v) { return -std::exp(v); })}; },
          .run = [](const Tensors& x, const Tensors& w, const Slot& slot) { return selective_scan(x[0], x[1], w[0], x[2], x[3], slot); }};
}
PrimitiveCase rwkv4(std::string name, float key_size, float decay) {
  return {.name = "Rwkv4" + name, .kernel = "diag_scan",
          .timed = [=](Random& r, int64_t n) { return Tensors{map(r.rows({n, 35}), [=](float v) { return key_size * v; }), r.rows({n, 35})}; },
          .fixed = [=](Random& r) { return Tensors{map(r.whole({35}), [=](float v) { return decay * std::exp(v); }), r.whole({35})}; },
          .run = [](const Tensors& x, const Tensors& w, const Slot& slot) { return rwkv4_scan(w[0], w[1], x[0], x[1], slot); },
          .tolerance = within(key_size, std::min(200.f, key_size / std::abs(decay)))};
}
PrimitiveCase free_of_attention(std::string name, float key_size, float weight_size, bool causal) {
  return {.name = "Aft" + name, .kernel = "product",
          .timed = [=](Random& r, int64_t n) { return Tensors{map(r.rows({n, 35}), [=](float v) { return key_size * v; }), r.rows({n, 35})}; },
          .fixed = [=](Random& r) { return Tensors{map(r.whole({400, 400}), [=](float v) { return weight_size * v; })}; },
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) { return aft_full(x[0], x[1], w[0], causal, slot); },
          .carries_state = causal, .tolerance = within(4 * (key_size + weight_size), 2)};
}
PrimitiveCase convolve(std::string name, int64_t channels, int64_t taps, bool bias, bool silu) {
  return {.name = "ShortConv" + name, .kernel = "short_conv",
          .timed = [=](Random& r, int64_t n) { return Tensors{r.rows({n, channels})}; },
          .fixed = [=](Random& r) { return Tensors{r.whole({channels, taps}), bias ? r.whole({channels}) : Tensor{}}; },
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) { return short_conv(x[0], w[0], w[1], silu, slot); }};
}
PrimitiveCase long_convolve(std::string name, int64_t channels, int64_t taps, bool skip = true) {
  return {.name = "LongConv" + name, .kernel = "long_conv",
          .timed = [=](Random& r, int64_t n) { return Tensors{r.rows({n, channels})}; },
          .fixed = [=](Random& r) { return Tensors{r.whole({channels, taps}), skip ? r.whole({channels}) : Tensor{}}; },
          .run = [=](const Tensors& x, const Tensors& w, const Slot& slot) { return long_conv(x[0], {.filter = w[0], .skip = w[1]}, slot); }};
}
PrimitiveCase modal(std::string name, int64_t channels, int64_t modes, float size = 0.7f) {
  return {.name = "LongConv" + name, .kernel = "modal_scan",
          .timed = [=](Random& r, int64_t n) { return Tensors{r.rows({n, channels})}; },
          .fixed = [=](Random& r) {
            const Tensor pole = map(r.whole({2 * modes, channels}), [=](float v) { return size * std::tanh(v); });
            return Tensors{pole, r.whole({2 * modes, channels}), r.whole({channels})};
          },
          .run = [](const Tensors& x, const Tensors& w, const Slot& slot) {
            return long_conv(x[0], {.filter = {}, .skip = w[2], .modes = {w[0], w[1]}}, slot);
          }};
}
// Modes that see one another: column and row are small enough that the state does not grow.
Tensors coupled(Random& r, int64_t channels, int64_t modes) {
  const float share = 0.5f / std::sqrt(static_cast<float>(modes));
  auto part = [&](float size) { return map(r.whole({2 * modes, channels}), [=](float v) { return size * std::tanh(v); }); };
  return {part(0.6f), part(1), part(1), part(share), part(share), r.whole({channels})};
}
PrimitiveCase coupled_modes(std::string name, int64_t channels, int64_t modes) {
  return {.name = "LongConv" + name, .kernel = "modal_scan",
          .timed = [=](Random& r, int64_t n) { return Tensors{r.rows({n, channels})}; },
          .fixed = [=](Random& r) { return coupled(r, channels, modes); },
          .run = [](const Tensors& x, const Tensors& w, const Slot& slot) {
            return long_conv(x[0], {.filter = {}, .skip = w[5], .modes = {w[0], w[1], w[2], w[3], w[4]}}, slot);
          }};
}

}  // namespace

const std::vector<PrimitiveCase>& primitive_cases() {
  static const std::vector<PrimitiveCase> all = [] {
    std::vector<PrimitiveCase> c = attentions();
    for (auto& p : linear_scans()) c.push_back(std::move(p));
    for (auto& p : learners()) c.push_back(std::move(p));
    auto small_steps = [](Tensor x) { return map(x, [](float v) { return std::log1p(std::exp(v - 2)); }); };
    auto extreme_steps = [](Tensor x) { return map(x, [](float v) { return v > 1 ? 1e4f : v > 0 ? 0.f : 0.1f; }); };
    for (PrimitiveCase& p : std::vector<PrimitiveCase>{
             diagonal("", 37, decays), diagonal("Wide", 256, decays), diagonal("Extreme", 37, extreme_decays), constant_diagonal(37),
             complex("", 37, false), complex("Constant", 37, true),
             selective("", 37, 16, small_steps), selective("OddState", 24, 5, small_steps), selective("Extreme", 37, 16, extreme_steps),
             rwkv4("", 1, -0.3f), rwkv4("LargeKeys", 30, -0.3f), rwkv4("NothingForgotten", 1, -0.f), rwkv4("AllForgotten", 1, -1e4f),
             free_of_attention("", 1, 1, true), free_of_attention("Far", 40, 20, true), free_of_attention("Whole", 1, 1, false),
             free_of_attention("FarWhole", 40, 20, false),
             convolve("", 37, 4, true, true), convolve("TwoTapsNoBias", 64, 2, false, false), convolve("OneTap", 20, 1, true, true),
             cell("Lstm", 4, 24, 1, true, lstm_scan), cell("LstmOddSize", 4, 75, 1, false, lstm_scan), cell("Gru", 3, 24, 1, true, gru_scan),
             cell("GruOddSize", 3, 75, 1, false, gru_scan), cell("Slstm", 4, 32, 2, true, slstm_scan),
             cell("SlstmOddHeads", 4, 57, 3, false, slstm_scan)})
      c.push_back(std::move(p));
    for (PrimitiveCase& p : std::vector<PrimitiveCase>{long_convolve("", 37, 300), long_convolve("ShortFilter", 70, 20),
                                                       long_convolve("OneTap", 5, 1, false), modal("Modes", 37, 6), modal("OneMode", 70, 1),
                                                       modal("ModesThatForgetAll", 5, 3, 0), coupled_modes("CoupledModes", 37, 6),
                                                       coupled_modes("OneCoupledMode", 70, 1)})
      c.push_back(std::move(p));
    c.push_back({.name = "LongConvBothWays", .kernel = "long_conv",
                 .timed = [](Random& r, int64_t n) { return Tensors{r.rows({n, 37})}; },
                 .fixed = [](Random& r) { return Tensors{r.whole({37, 100}), r.whole({37, 300})}; },
                 .run = [](const Tensors& x, const Tensors& w, const Slot& slot) { return long_conv(x[0], {.filter = w[0], .ahead = w[1]}, slot); },
                 .carries_state = false});
    c.push_back({.name = "SoftmaxOverTime", .kernel = "softmax",
                 .timed = [](Random& r, int64_t n) { return Tensors{r.rows({n, 2, 16})}; },
                 .fixed = none,
                 .run = [](const Tensors& x, const Tensors&, const Slot& slot) { return softmax_over_time(x[0], slot); },
                 .carries_state = false});
    c.push_back({.name = "LinearWhole", .kernel = "product",
                 .timed = [](Random& r, int64_t n) { return Tensors{r.rows({n, 3, 7}), r.rows({n, 3, 7}), r.rows({n, 3, 11})}; },
                 .fixed = none,
                 .run = [](const Tensors& x, const Tensors&, const Slot& slot) { return linear_whole(x[0], x[1], x[2], slot); },
                 .carries_state = false});
    c.push_back({.name = "TokenShift", .kernel = "short_conv",
                 .timed = [](Random& r, int64_t n) { return Tensors{r.rows({n, 37})}; },
                 .fixed = none,
                 .run = [](const Tensors& x, const Tensors&, const Slot& slot) { return token_shift(x[0], slot); }});
    return c;
  }();
  return all;
}

}  // namespace headrace
