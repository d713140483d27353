// The law `slope` for attention and all its options: what the CPU's backward gives is the derivative of the definition.
#include "ops/patterns.h"
#include "slope.h"

namespace headrace {
namespace {

using Tensors = std::vector<Tensor>;
using Kind = Pattern::Kind;

struct AttentionSlope {
  std::string name;
  std::vector<int64_t> lengths;
  int64_t heads, kv_heads, key, value;
  std::function<void(Attention&, const Tensors& more, const Sequences&)> set = [](Attention&, const Tensors&, const Sequences&) {};
  std::function<Tensors(Random&, int64_t n)> more = [](Random&, int64_t) { return Tensors{}; };
  bool lse = false;
};
void PrintTo(const AttentionSlope& c, std::ostream* out) { *out << c.name; }

std::shared_ptr<const Pattern> share(Pattern p) { return std::make_shared<const Pattern>(std::move(p)); }
auto with(Pattern p, bool causal = true) {
  return [p = share(std::move(p)), causal](Attention& o, const Tensors&, const Sequences&) { o.pattern = p, o.causal = causal; };
}

std::vector<AttentionSlope> cases() {
  const std::vector<int64_t> packed{1, 0, 67, 3}, one{130};
  auto sinks_and_slopes = [](Random& r, int64_t) { return Tensors{r.whole({4}), map(r.whole({4}), [](float v) { return 0.03f * std::abs(v); })}; };
  auto gates = [](Random& r, int64_t n) { return Tensors{map(r.rows({n, 4}), [](float v) { return -0.2f * std::abs(v); })}; };
  auto alpha = [](Random& r, int64_t) { return Tensors{r.values({1.25f, 1.375f, 1.5f, 1.125f})}; };
  return {
      {"Causal", one, 2, 2, 8, 12},
      {"CausalPackedGrouped", packed, 4, 2, 7, 5},
      {"MultiQuery", packed, 3, 1, 8, 8},
      {"Full", packed, 2, 2, 8, 12, [](Attention& o, const Tensors&, const Sequences&) { o.causal = false; }},
      {"Window", one, 2, 1, 8, 12, [](Attention& o, const Tensors&, const Sequences&) { o.window = 9; }},
      {"WindowBothWays", one, 2, 1, 8, 12, [](Attention& o, const Tensors&, const Sequences&) { o.window = 9, o.causal = false, o.ahead = 70; }},
      {"CapSinksSlopes", {1, 0, 9, 3}, 4, 2, 8, 12,
       [](Attention& o, const Tensors& w, const Sequences&) { o.cap = 2, o.sinks = w[0], o.slopes = w[1]; },
       sinks_and_slopes},
      {"Lse", {1, 0, 13, 3}, 4, 2, 8, 12, [](Attention& o, const Tensors& w, const Sequences&) { o.sinks = w[0]; },
       [](Random& r, int64_t) { return Tensors{r.whole({4})}; }, true},
      {"ForgetGates", {3, 131}, 4, 2, 8, 12, [](Attention& o, const Tensors& w, const Sequences&) { o.log_gates = w[0]; }, gates},
      {"Entmax", {1, 67}, 4, 2, 8, 12, [](Attention& o, const Tensors& w, const Sequences&) { o.alpha = w[0], o.scale = 0.05f; }, alpha},
      {"EntmaxGatesCap", {12}, 4, 4, 8, 12,
       [](Attention& o, const Tensors& w, const Sequences&) { o.alpha = w[0], o.log_gates = w[1], o.scale = 0.05f, o.cap = 2; },
       [=](Random& r, int64_t n) { return Tensors{alpha(r, n)[0], map(gates(r, n)[0], [](float v) { return 0.05f * v; })}; }},
      {"Strided", one, 2, 2, 8, 12, with({.kind = Kind::strided, .block = 7})},
      {"Fixed", one, 2, 2, 8, 12, with({.kind = Kind::fixed, .block = 24, .extra = 3})},
      {"Merged", packed, 2, 2, 8, 12, with({.kind = Kind::merged, .block = 9})},
      {"Chunks", one, 2, 2, 8, 12, with({.kind = Kind::chunks, .block = 24, .extra = 1})},
      {"Longformer", {70, 31}, 2, 2, 8, 12, [](Attention& o, const Tensors&, const Sequences& s) {
        Pattern p;
        for (int64_t i = 0; i < s.tokens(); ++i) p.global.push_back(i % 37 == 0);
        o.pattern = share(std::move(p)), o.causal = false, o.window = 5, o.ahead = 4;
      }},
      {"BigBird", {31, 130}, 4, 2, 8, 12, [](Attention& o, const Tensors&, const Sequences& s) {
        o.pattern = share(bigbird_pattern({.block = 13, .random = 2, .heads = 4, .seed = 5}, s)), o.causal = false;
      }},
      {"Sorted", {100}, 2, 2, 8, 12, [](Attention& o, const Tensors&, const Sequences& s) {
        Pattern p{.kind = Kind::sorted, .block = 24};
        for (int64_t i = 0; i < s.tokens(); ++i) p.positions.push_back(static_cast<int32_t>(i * 7919 % 61));
        o.pattern = share(std::move(p));
      }, [](Random&, int64_t) { return Tensors{}; }, true},
  };
}

class AttentionSlopes : public testing::TestWithParam<AttentionSlope> {};
TEST_P(AttentionSlopes, BackwardIsTheDerivativeOfTheDefinition) {
  const AttentionSlope& c = GetParam();
  const Ragged ragged(c.lengths);
  const int64_t n = ragged.tokens();
  Random r(21);
  auto half = [](float v) { return 0.5f * v; };
  Tensors x{map(r.rows({n, c.heads, c.key}), half), map(r.rows({n, c.kv_heads, c.key}), half), r.rows({n, c.kv_heads, c.value})};
  for (Tensor& t : c.more(r, n)) x.push_back(t);
  expect_slope([&](const Tensors& in) {
    const Slot slot{.sequences = {ragged.offsets}, .values = {}};
    Attention o;
    c.set(o, Tensors(in.begin() + 3, in.end()), slot.sequences);
    if (!c.lse) return Tensors{attention(in[0], in[1], in[2], o, slot)};
    Attended a = attention_with_lse(in[0], in[1], in[2], o, slot);
    return Tensors{a.y, a.lse};
  }, x, 22);
}
INSTANTIATE_TEST_SUITE_P(All, AttentionSlopes, testing::ValuesIn(cases()), [](const auto& info) { return info.param.name; });

TEST(AttentionBackward, KeysOfTheirOwnHaveGradients) {
  Random r(23);
  const std::vector<int64_t> offsets{0, 5, 40}, keys{0, 70, 72}, means{0, 1, 8};
  const Slot slot{.sequences = {offsets}, .values = {}};
  expect_slope([&](const Tensors& x) {
    return Tensors{attention(x[0], x[1], x[2], {.causal = false, .keys = {keys}}, slot),
                   attention(x[0], x[3], x[4], {.causal = false, .pattern = share({.kind = Kind::pooled, .block = 5}), .keys = {means}}, slot)};
  }, {r.rows({40, 4, 8}), r.rows({72, 2, 8}), r.rows({72, 2, 5}), r.rows({8, 2, 8}), r.rows({8, 2, 5})}, 24);
}
// In two calls with a state, the keys of the first are constant in the second: its queries' gradients are those of the whole, and
// what the whole gives the first keys is what the first call gives them, plus nothing.
TEST(AttentionBackward, AStateOfBeforeIsConstant) {
  Random r(25);
  const int64_t n = 90, first = 70;
  Tensor q = r.whole({n, 4, 8}), k = r.whole({n, 2, 8}), v = r.whole({n, 2, 5});
  Tensor g = map(r.whole({n, 4}), [](float x) { return -0.1f * std::abs(x); });
  Tensor dy = r.whole({n, 4, 5}), late = dy.contiguous_copy();
  for (int64_t i = 0; i < first * 20; ++i) late.f32()[i] = 0;
  auto part = [&](const Tensor& x, int64_t at, int64_t length) { return x.slice(0, at, length).contiguous_copy(); };
  Tape whole;
  for (const Tensor& x : {q, k, v, g}) whole.watch(x);
  const std::vector<int64_t> all{0, n}, before{0, first}, after{0, n - first};
  whole.backward(attention(q, k, v, {.log_gates = g}, {.sequences = {all}, .values = {}}), late);
  SlotValue state;
  attention(part(q, 0, first), part(k, 0, first), part(v, 0, first), {.log_gates = part(g, 0, first)}, {.sequences = {before}, .values = {&state}});
  Tape tape;
  const Tensors x{part(q, first, n - first), part(k, first, n - first), part(v, first, n - first), part(g, first, n - first)};
  for (const Tensor& t : x) tape.watch(t);
  Tensor y = attention(x[0], x[1], x[2], {.log_gates = x[3]}, {.sequences = {after}, .values = {&state}});
  const SlotValue bookmark = state;
  {
    PauseTape pause;                     // the state goes on; what backward needs stays
    const std::vector<int64_t> three{0, 3};
    attention(part(q, 0, 3), part(k, 0, 3), part(v, 0, 3), {.log_gates = part(g, 0, 3)}, {.sequences = {three}, .values = {&state}});
  }
  tape.backward(y, part(dy, first, n - first));
  const Tensors want{q, k, v, g};
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_TRUE(close(tape.gradient(x[i]), whole.gradient(want[i]).slice(0, first, n - first), 1e-5)) << i;
  EXPECT_EQ(bookmark.length, n);
}
TEST(AttentionBackward, TakesNoMemoryOfTokensSquared) {
  Random r(26);
  const int64_t n = 4096;
  Tensor q = r.whole({n, 1, 8}), k = r.whole({n, 1, 8}), v = r.whole({n, 1, 8});
  const std::vector<int64_t> offsets{0, n};
  Tape tape;
  tape.watch(q), tape.watch(k), tape.watch(v);
  const size_t before = allocated_bytes(Device::cpu);
  Tensor y = attention(q, k, v, {}, {.sequences = {offsets}, .values = {}});
  EXPECT_LT(allocated_bytes(Device::cpu) - before, static_cast<size_t>(8 * n * 8 * 4));
  tape.backward(y, r.whole({n, 1, 8}));
  EXPECT_TRUE(std::isfinite(tape.gradient(q).f32()[8 * n - 1]));
}

}  // namespace
}  // namespace headrace
