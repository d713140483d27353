// Mixers by feature maps, and those that see all of a sequence: gradients of every parameter, and what one of them is of another.
#include <gtest/gtest.h>

#include <sstream>

#include "mixers/catalogue.h"
#include "nn/init.h"
#include "nn/scope.h"
#include "nn/state.h"
#include "ops/feature_maps.h"
#include "slope.h"

namespace headrace {
namespace {

// "aft form=full rank=0"
struct Made {
  std::string name;
  std::vector<Setting> settings;
  std::shared_ptr<Source> source;
  Made(const std::string& text, double jitter) : source(initialised({.seed = 3, .jitter = jitter})) {
    std::istringstream words(text);
    words >> name;
    for (std::string w; words >> w;) settings.push_back({.name = w.substr(0, w.find('=')), .value = w.substr(w.find('=') + 1)});
  }
  Tensor operator()(const Tensor& x, const std::vector<int64_t>& lengths) const {
    source->parameters.clear(), source->used.clear();
    const Sublayer layer = find_mixer(name)->bind(Scope(source), {.width = static_cast<int>(x.dim(1))}, settings);
    Batch batch;
    for (const int64_t n : lengths) batch.add(n);
    return layer(x, Pass{.batch = &batch});
  }
};

class MapMixers : public testing::TestWithParam<std::string> {};
TEST_P(MapMixers, BackwardIsTheDerivativeOfTheDefinitionForEveryParameter) {
  const Made made(GetParam(), 0.3);
  const std::vector<int64_t> lengths{5, 1, 7};
  Random r(8);
  std::vector<Tensor> inputs{r.whole({13, 8})};
  made(inputs[0], lengths);
  std::vector<std::string> names;
  for (const Parameter& p : made.source->parameters)
    if (p.trained) names.push_back(p.name), inputs.push_back(p.value.contiguous_copy());
  EXPECT_GE(names.size(), 4u);
  expect_slope([&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    for (size_t i = 0; i < names.size(); ++i) made.source->kept.at(names[i]).value = in[i + 1];
    return {made(in[0], lengths)};
  }, inputs, 9, made.name == "performer" ? 2e-2 : 3e-3, 1.0 / 32, 1.0 / 256);   // the maxima in its features are constants, beside 1e-4
}
const char* const forms[] = {
    "linear_transformer heads=2 bias=on", "performer heads=2 features=6", "performer heads=1 causal=off features=6", "hedgehog heads=2",
    "hedgehog heads=2 map=exp", "hedgehog heads=2 map=joint by_head=off", "efficient_attention heads=2", "efficient_attention heads=2 causal=on",
    "regla heads=2 eps=1e-10", "dsla heads=2", "linformer heads=2 rows=3 longest=9", "linformer heads=2 rows=3 longest=9 share=none",
    "linformer rows=3 longest=9 share=kv", "aft", "aft causal=off", "aft form=full longest=9 rank=2", "aft form=full longest=9 rank=0 causal=off",
    "aft form=local window=3 longest=9 rank=0", "aft form=local window=2 longest=9 rank=2 causal=off", "aft form=conv window=3 heads=2",
    "longformer heads=2 window=2 global=2", "longformer heads=2 window=2 causal=on", "bigbird heads=2 block=1 random=1"};
INSTANTIATE_TEST_SUITE_P(All, MapMixers, testing::ValuesIn(std::vector<std::string>(std::begin(forms), std::end(forms))), [](const auto& i) {
  std::string name;
  for (const char c : i.param) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

// The last token sees all of its sequence in both.
TEST(MapMixers, CausalAndNotAgreeOnTheLastToken) {
  Random r(2);
  const Tensor x = r.whole({30, 16});
  for (const char* name : {"linear_transformer", "hedgehog", "hedgehog map=exp", "efficient_attention", "performer", "performer kernel=relu", "aft",
                           "aft form=full", "aft form=local window=3"}) {
    const Made on(std::string(name) + " causal=on", 0.1), off(std::string(name) + " causal=off", 0.1);
    const std::vector<int64_t> lengths{30};
    // The 1e-4 of Performer's features, and eps beside sums of another scale.
    EXPECT_TRUE(close(off(x, lengths).slice(0, 29, 1), on(x, lengths).slice(0, 29, 1), std::string(name) == "performer" ? 2e-3 : 3e-5)) << name;
  }
}
TEST(MapMixers, AftIsOneFunctionWhereItsWeightsOfPositionsAre) {
  Random r(3);
  const Tensor x = r.whole({40, 16});
  const std::vector<int64_t> lengths{11, 29};
  const Tensor full = Made("aft form=full longest=64", 0.2)(x, lengths);
  EXPECT_TRUE(close(Made("aft form=local longest=64 window=40", 0.2)(x, lengths), full, 3e-5));
  EXPECT_FALSE(close(Made("aft form=local longest=64 window=4", 0.2)(x, lengths), full, 1e-3));
  const Tensor simple = Made("aft", 0)(x, lengths);
  for (const char* text : {"aft form=full longest=64 rank=0", "aft form=local longest=64 rank=0 window=5"})     // w begins at 0
    EXPECT_TRUE(close(Made(text, 0)(x, lengths), simple, 3e-5)) << text;
}
TEST(MapMixers, LongformerOfAWindowOverAllIsFullAttentionAndBigBirdOfFewBlocksToo) {
  Random r(4);
  const Tensor x = r.whole({20, 16});
  const std::vector<int64_t> lengths{20};
  const Tensor wide = Made("longformer heads=2 window=20 global=0", 0)(x, lengths);
  EXPECT_TRUE(close(Made("bigbird heads=2 block=4", 0)(x, lengths), wide, 3e-5));
  EXPECT_FALSE(close(Made("bigbird heads=2 block=1 random=1", 0)(x, lengths), wide, 1e-3));
}
TEST(MapMixers, RandomFeaturesStandForSoftmax) {             // the mean over many directions
  const Tensor W = Tensor::empty({4096, 8});
  Init::orthogonal_features().fill(W, {.seed = 1, .stream = 2});
  for (int64_t i = 0; i < 8; ++i)
    for (int64_t j = 0; j < i; ++j) {
      double dot = 0;
      for (int64_t c = 0; c < 8; ++c) dot += W.f32()[i * 8 + c] * W.f32()[j * 8 + c];
      EXPECT_NEAR(dot, 0, 1e-4);
    }
  Random r(5);
  const Tensor q = r.whole({1, 1, 8}), k = r.whole({1, 1, 8});
  const Tensor a = favor(random_features(q, W).exponent, {}, 0), b = favor(random_features(k, W).exponent, {}, 0);
  EXPECT_NEAR(inner(a, b) / std::exp(inner(q, k) / std::sqrt(8.0)), 1, 0.1);
}

}  // namespace
}  // namespace headrace
