// The law `cost`: what the meter counts for a mixer on the meta device grows as the mixer's own words say, and the state it plans is the one
// that real tokens leave behind.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "mixers/cost.h"
#include "nn/init.h"
#include "ops/meter.h"
#include "ops/ops.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

constexpr Place place{.width = 64};

class Costs : public testing::TestWithParam<const MixerInfo*> {};

// The longest sequence up to `tokens` that the mixer takes.
int64_t longest(const MixerInfo& m, int64_t tokens) {
  for (;; tokens /= 2) try {
      cost_of(m, place, {}, tokens);
      return tokens;
    } catch (const Error&) {
      if (tokens <= 64) throw;
    }
}

TEST_P(Costs, GrowAsTheMixerSays) {
  const MixerInfo& m = *GetParam();
  // Far enough for its largest term; whole sequences alone are listed block by block, on the meta device too.
  const int64_t T = longest(m, !decodes(m) ? 1 << 13 : std::string_view(m.doc->family) == "attention" ? 1 << 20 : 1 << 16);
  const MixerCost half = cost_of(m, place, {}, T / 2), whole = cost_of(m, place, {}, T);
  std::map<std::string, double, std::less<>> letters{{"d", place.width}};
  for (const OptionHelp& o : m.options(place))
    if (char* end; std::strtod(o.otherwise.c_str(), &end) > 0 && *end == 0) letters[o.name] = std::strtod(o.otherwise.c_str(), nullptr);
  auto said = [&](const char* order) {
    auto at = [&](int64_t tokens) { return letters["T"] = static_cast<double>(tokens), order_at(order, letters); };
    return std::log2(at(T) / at(T / 2));
  };
  // An order is a bound: what is done once (a filter is made), or at any length (all levels run), may hide some of it.
  auto grows = [&](double from, double to, const char* order) {
    const double power = std::log2(to / from), most = said(order);
    EXPECT_LE(power, most + 0.1) << order << " at " << T;
    EXPECT_GE(power, most - 0.25) << order << " at " << T;
  };
  grows(half.prefill, whole.prefill, m.doc->sequence);
  grows(half.training, whole.training, m.doc->sequence);
  if (decodes(m)) grows(half.decode, whole.decode, m.doc->decode);
  EXPECT_GT(whole.training, 2 * whole.prefill);
}

TEST_P(Costs, CountTheStateAndTheParametersThatThereAre) {
  const MixerInfo& m = *GetParam();
  auto source = initialised();
  const Sublayer f = m.bind(Scope(source) / "mixer", place, {});
  int64_t parameters = 0;
  for (const Parameter& p : source->parameters) parameters += p.value.count();
  for (const int64_t T : {1, 5, 70}) {
    Tensor x = Tensor::empty({T, place.width});
    Init::normal(1).fill(x, {.seed = 1});
    State state;
    Batch batch;
    batch.add(T, decodes(m) ? &state : nullptr);
    f(x, {&batch});
    const MixerCost cost = cost_of(m, place, {}, T);
    EXPECT_EQ(cost.state_bytes, state.bytes()) << T << " tokens";
    EXPECT_EQ(cost.parameters, parameters);
  }
}

std::vector<const MixerInfo*> all() {
  std::vector<const MixerInfo*> list;
  for (const MixerInfo& m : mixers()) list.push_back(&m);
  return list;
}
INSTANTIATE_TEST_SUITE_P(All, Costs, testing::ValuesIn(all()), [](const auto& i) { return std::string(i.param->doc->name); });

TEST(Cost, ADenseProductIsTwiceItsWeightsForEachToken) {
  for (const char* name : {"attn", "retnet", "mamba", "swiglu", "mlp", "rwkv_channel_mix", "lstm"}) {
    auto source = initialised({.device = Device::meta});
    const Sublayer f = find_mixer(name)->bind(Scope(source), place, {});
    double weights = 0;
    for (const Parameter& p : source->parameters)
      if (p.shape.rank() == 2 && p.name.ends_with("weight") && p.name.find("conv") == std::string::npos)
        weights += static_cast<double>(p.shape.count());
    if (std::string(name) == "lstm") weights = 4 * 64 * 64;            // what the input gives; the cell has the rest
    const int64_t T = 3;
    Batch batch;
    batch.add(T);
    Meter meter;
    f(Tensor::empty({T, place.width}, DType::f32, Device::meta), {&batch});
    EXPECT_EQ(meter.flops("linear"), 2 * T * weights) << name;
  }
}

TEST(Cost, AttentionCountsThePairsThatItsPatternLets) {
  using Kind = Pattern::Kind;
  const int64_t T = 37, H = 2, K = 4;
  const std::vector<int64_t> offsets{0, T};
  const Tensor x = Tensor::empty({T, H, K}, DType::f32, Device::meta);
  auto pairs = [&](Attention o) {
    Meter meter;
    attention(x, x, x, o, {.sequences = {offsets}, .values = {}});
    return meter.flops("attention") / (4.0 * K + 5) / H;
  };
  auto counted = [&](auto sees) {
    int64_t n = 0;
    for (int64_t i = 0; i < T; ++i)
      for (int64_t j = 0; j < T; ++j) n += sees(i, j);
    return static_cast<double>(n);
  };
  auto pattern = [](Kind kind, int64_t block, int64_t extra = 0) {
    Pattern p;
    p.kind = kind, p.block = block, p.extra = extra;
    return std::make_shared<const Pattern>(p);
  };
  EXPECT_EQ(pairs({}), counted([](int64_t i, int64_t j) { return j <= i; }));
  EXPECT_EQ(pairs({.window = 5}), counted([](int64_t i, int64_t j) { return j <= i && i - j < 5; }));
  EXPECT_EQ(pairs({.causal = false}), T * T);
  EXPECT_EQ(pairs({.window = 5, .causal = false, .ahead = 3}), counted([](int64_t i, int64_t j) { return j <= i + 3 && i - j < 5; }));
  EXPECT_EQ(pairs({.pattern = pattern(Kind::strided, 6)}), counted([](int64_t i, int64_t j) { return j <= i && (i - j) % 6 == 0; }));
  EXPECT_EQ(pairs({.pattern = pattern(Kind::merged, 6)}), counted([](int64_t i, int64_t j) { return j <= i && (i - j < 6 || (i - j) % 6 == 0); }));
  EXPECT_EQ(pairs({.pattern = pattern(Kind::fixed, 6, 2)}),
            counted([](int64_t i, int64_t j) { return j <= i && (i / 6 == j / 6 || j % 6 >= 4); }));
  EXPECT_EQ(pairs({.pattern = pattern(Kind::chunks, 6, 1)}), counted([](int64_t i, int64_t j) { return j <= i && j >= (i / 6 - 1) * 6; }));
}

TEST(Cost, AnOrderIsReadAsItIsWritten) {
  EXPECT_EQ(order_at("O(d^2)", {{"T", 8}}), 1);
  EXPECT_EQ(order_at("O(T^2 H (2 r + e)); naive O(T^3)", {{"T", 8}, {"H", 2}}), 64 * 2 * 3);
  EXPECT_EQ(order_at("O((block + T/block) H K)", {{"T", 8}, {"block", 2}}), 6);
  EXPECT_EQ(order_at("O(T d log^2 T + T sqrt(T)), token after token", {{"T", 4}}), 4 * 4 + 8);
  EXPECT_THROW(order_at("T", {}), Error);
  EXPECT_THROW(order_at("O(T", {}), Error);
}

}  // namespace
}  // namespace headrace
