// The law `slope` for the ops without time (tests/slope.h).
#include "slope.h"

namespace headrace {
namespace {

using Tensors = std::vector<Tensor>;

struct SlopeCase {
  std::string name;
  std::function<Tensors(Random&)> inputs;
  Function f;
};

std::string camel(std::string s) {
  std::string c;
  bool up = true;
  for (char x : s) {
    if (x == '_') up = true;
    else c += static_cast<char>(up ? std::toupper(x) : x), up = false;
  }
  return c;
}
Tensor positive(Tensor x) { return map(x, [](float v) { return 0.5f + std::abs(v); }); }
Tensor negative(Tensor x) { return map(x, [](float v) { return -0.5f - std::abs(v); }); }
// No closer than 1/4 to a kink at 0 or 1.
Tensor off_kinks(Tensor x) { return map(x, [](float v) { return v + (v > 0 ? 0.3f : -0.3f) + (v > 0.7f ? 0.6f : 0); }); }

std::vector<SlopeCase> cases() {
  std::vector<SlopeCase> all;
  for (int i = 0; i < unary_count; ++i) {
    const Unary f = static_cast<Unary>(i);
    const bool above_zero = f == Unary::sqrt || f == Unary::log || f == Unary::reciprocal;
    const float p = f == Unary::softcap ? 3 : f == Unary::sqrt_one_minus_exp ? 2 : f == Unary::scale ? -0.75f : 0.5f;
    all.push_back({"Unary" + camel(name(f)), [=](Random& r) {
      Tensor x = r.rows({3, 37});
      if (above_zero) return Tensors{positive(x)};
      if (f == Unary::sqrt_one_minus_exp) return Tensors{negative(x)};
      const float kink = f == Unary::at_least || f == Unary::at_most ? p : 0;
      return Tensors{map(off_kinks(x), [=](float v) { return v + kink; })};
    }, [=](const Tensors& x) { return Tensors{unary(f, x[0], p)}; }});
  }
  for (int i = 0; i < binary_count; ++i) {
    const Binary f = static_cast<Binary>(i);
    auto both = [=](const Tensors& x) { return Tensors{binary(f, x[0], x[1])}; };
    all.push_back({"Binary" + camel(name(f)), [](Random& r) { return Tensors{r.rows({5, 37}), r.rows({5, 37})}; }, both});
    all.push_back({"BinaryRow" + camel(name(f)), [](Random& r) { return Tensors{r.rows({5, 3, 7}), r.whole({7})}; }, both});
    all.push_back({"BinaryWideRow" + camel(name(f)), [](Random& r) { return Tensors{r.rows({5, 3, 7}), r.whole({3, 7})}; }, both});
    all.push_back({"BinaryColumn" + camel(name(f)), [](Random& r) { return Tensors{r.rows({5, 7}), r.whole({5, 1})}; }, both});
  }
  auto add = [&](std::string name, std::function<Tensors(Random&)> inputs, Function f) {
    all.push_back({std::move(name), std::move(inputs), std::move(f)});
  };
  add("SumRows", [](Random& r) { return Tensors{r.rows({70, 2, 9})}; }, [](const Tensors& x) { return Tensors{sum_rows(x[0])}; });
  add("SumColumns", [](Random& r) { return Tensors{r.rows({5, 2, 9})}; }, [](const Tensors& x) { return Tensors{sum_columns(x[0])}; });
  add("Lerp", [](Random& r) { return Tensors{r.rows({5, 9}), r.rows({5, 9}), r.whole({9})}; },
      [](const Tensors& x) { return Tensors{lerp(x[0], x[1], x[2])}; });
  add("LerpByToken", [](Random& r) { return Tensors{r.rows({5, 9}), r.rows({5, 9}), r.rows({5, 9})}; },
      [](const Tensors& x) { return Tensors{lerp(x[0], x[1], x[2])}; });
  for (const Shape& t : {Shape{3, 9}, Shape{5, 3, 9}})
    add(t.rank() == 2 ? "Mix" : "MixByToken", [=](Random& r) { return Tensors{r.rows({5, 9}), r.rows({5, 9}), r.whole(t)}; }, [](const Tensors& x) {
      Tensor y = mix(x[0], x[1], x[2]);
      return Tensors{y[0] * y[2], y[1]};
    });
  add("WhereStarts", [](Random& r) { return Tensors{r.rows({5, 9})}; },
      [](const Tensors& x) { return Tensors{where_starts(std::vector<int32_t>{0, 1, 2, 0, 5}, 1.f, x[0])}; });
  for (int groups : {1, 3})
    for (float offset : {0.f, 1.f})
      add(text("RmsNorm", groups, offset > 0 ? "Offset" : ""), [](Random& r) { return Tensors{r.rows({5, 36}), r.whole({36})}; },
          [=](const Tensors& x) { return Tensors{rms_norm(x[0], x[1], {.eps = 1e-2f, .offset = offset, .groups = groups})}; });
  for (int groups : {1, 3})
    add(text("LayerNorm", groups),
        [](Random& r) { return Tensors{map(r.rows({5, 36}), [](float v) { return v + 2; }), r.whole({36}), r.whole({36})}; },
        [=](const Tensors& x) { return Tensors{layer_norm(x[0], x[1], x[2], 1e-5f, groups)}; });
  add("NormsWithoutWeights", [](Random& r) { return Tensors{r.rows({3, 19}), r.rows({3, 19})}; },
      [](const Tensors& x) { return Tensors{rms_norm(x[0], {}), layer_norm(x[1], {}, {})}; });
  add("L2Norm", [](Random& r) { return Tensors{r.rows({3, 2, 19}), map(r.rows({3, 19}), [](float v) { return 0.1f * v; })}; },
      [](const Tensors& x) { return Tensors{l2_norm(x[0]), l2_norm(x[0], 1e-3f, true), l2_norm(x[1], 2.f, true)}; });
  for (const CrossEntropy o : {CrossEntropy{}, CrossEntropy{.smoothing = 0.125f, .z = 0.0625f}})
    add(o.z > 0 ? "CrossEntropySmoothed" : "CrossEntropy", [](Random& r) { return Tensors{r.rows({5, 19})}; },
        [=](const Tensors& x) { return Tensors{cross_entropy(x[0], std::vector<int32_t>{3, 0, -1, 18, 7}, o)}; });
  add("LinearCrossEntropy", [](Random& r) { return Tensors{r.rows({5, 6}), r.whole({19, 6})}; }, [](const Tensors& x) {
    return Tensors{linear_cross_entropy(x[0], x[1], std::vector<int32_t>{3, 0, 2, 18, 7}, 0.5f),
                   linear_cross_entropy(x[0], x[1], std::vector<int32_t>{3, -1, -1, 18, 7}, 2.f, {.smoothing = 0.125f, .z = 0.0625f})};
  });
  add("Dropout", [](Random& r) { return Tensors{r.rows({5, 19})}; },
      [](const Tensors& x) { return Tensors{dropout(x[0], 0.25f, {.seed = 3, .stream = 5})}; });
  add("Softmax", [](Random& r) { return Tensors{r.rows({3, 2, 19})}; }, [](const Tensors& x) { return Tensors{softmax(x[0])}; });
  // No element may come in or go out as an input moves: the support is all, or settled.
  for (float alpha : {1.f, 1.25f, 1.5f})
    add(text("Entmax", std::lround(100 * alpha)), [=](Random& r) {
      return Tensors{map(r.rows({4, 9}), [](float v) { return 0.25f * std::clamp(v, -1.f, 1.f); }),
                     map(r.whole({4}), [=](float) { return alpha + 0.125f; })};
    }, [](const Tensors& x) { return Tensors{entmax(x[0], x[1])}; });
  add("EntmaxOneAlpha", [](Random& r) { return Tensors{map(r.rows({4, 3}), [](float v) { return 0.1f * v; }), Tensor::from({1.75f})}; },
      [](const Tensors& x) { return Tensors{entmax(x[0], x[1])}; });
  add("TopK", [](Random& r) { return Tensors{map(r.rows({4, 9}), [i = 0](float) mutable { return static_cast<float>(i++ * 7 % 18); })}; },
      [](const Tensors& x) { return Tensors{top_k(x[0], 3).values}; });
  add("Embedding", [](Random& r) { return Tensors{r.whole({11, 20})}; },
      [](const Tensors& x) { return Tensors{embedding(x[0], std::vector<int32_t>{10, 0, 3, 3, 7})}; });
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      add(text("Matmul", ta ? "Transposed" : "Plain", tb ? "Transposed" : "Plain"),
          [=](Random& r) { return Tensors{r.rows(ta ? Shape{6, 5} : Shape{5, 6}), r.rows(tb ? Shape{7, 6} : Shape{6, 7})}; },
          [=](const Tensors& x) { return Tensors{matmul(x[0], x[1], ta, tb)}; });
  add("Linear", [](Random& r) { return Tensors{r.rows({5, 24}), r.whole({7, 24}), r.whole({7}), r.whole({3, 24})}; }, [](const Tensors& x) {
    auto y = linear(x[0], {{x[1], x[2]}, {x[3], {}}});
    return Tensors{y[0], y[1]};
  });
  add("BlockLinear", [](Random& r) { return Tensors{r.rows({5, 24}), r.whole({3, 8, 4}), r.whole({3, 4})}; },
      [](const Tensors& x) { return Tensors{block_linear(x[0], x[1], x[2])}; });
  add("HeadDot", [](Random& r) { return Tensors{r.rows({5, 3, 7}), r.rows({5, 3, 7}), r.whole({3, 7})}; },
      [](const Tensors& x) { return Tensors{head_dot(x[0], x[1], x[2]), head_dot(x[0], x[1], {})}; });
  add("ScaleHeads", [](Random& r) { return Tensors{r.rows({5, 3, 7}), r.rows({5, 3})}; },
      [](const Tensors& x) { return Tensors{scale_heads(x[0], x[1])}; });
  for (bool interleaved : {false, true})
    add(interleaved ? "RopeInterleaved" : "Rope", [](Random& r) { return Tensors{r.rows({4, 2, 9})}; }, [=](const Tensors& x) {
      return Tensors{rope(x[0], {.rotary = 6, .interleaved = interleaved, .factor = 1.2f, .inverse_frequency = {1, 0.1f, 0.01f}},
                          std::vector<int32_t>{0, 3, 17, 99})};
    });
  add("Concat", [](Random& r) { return Tensors{r.rows({5, 3}), r.rows({5, 7})}; },
      [](const Tensors& x) { return Tensors{silu(concat({x[0], x[1], x[0]}))}; });
  add("ConcatRows", [](Random& r) { return Tensors{r.rows({5, 3}), r.rows({2, 3})}; },
      [](const Tensors& x) { return Tensors{silu(concat_rows({x[0], x[1], x[0]}))}; });
  add("TakeRows", [](Random& r) { return Tensors{r.rows({5, 7})}; },
      [](const Tensors& x) { return Tensors{take_rows(x[0], std::vector<int64_t>{4, 0, 0, 3})}; });
  return all;
}

void PrintTo(const SlopeCase& c, std::ostream* out) { *out << c.name; }

class Slope : public testing::TestWithParam<SlopeCase> {};
TEST_P(Slope, BackwardIsTheDerivativeOfTheDefinition) {
  Random r(13);
  expect_slope(GetParam().f, GetParam().inputs(r), 14);
}
INSTANTIATE_TEST_SUITE_P(All, Slope, testing::ValuesIn(cases()), [](const auto& info) { return info.param.name; });

TEST(Tape, ATensorUsedTwiceGetsBothGradients) {
  Tensor x = Tensor::from({1, 2, 3});
  Tape t;
  t.watch(x);
  Tensor y = x * x + 3.f * x;
  t.backward(y, Tensor::from({1, 1, 10}));
  EXPECT_TRUE(same_bits(t.gradient(x), Tensor::from({5, 7, 90})));
}
TEST(Tape, ViewsShareTheGradientOfTheirStorage) {
  Tensor x = Tensor::from({1, 2, 3, 4, 5, 6}).view({2, 3});
  Tape t;
  t.watch(x);
  Tensor both = 2.f * x, left = both.slice(1, 0, 1), right = both.slice(1, 1, 2);
  t.seed(left, Tensor::from({1, 10}).view({2, 1}));
  t.backward(silu(0.f * right) + right, Tensor::from({1, 2, 3, 4}).view({2, 2}));
  EXPECT_TRUE(same_bits(t.gradient(x), Tensor::from({2, 2, 4, 20, 6, 8}).view({2, 3})));
  EXPECT_TRUE(same_bits(t.gradient(x.slice(1, 2, 1)), Tensor::from({4, 8}).view({2, 1})));
}
TEST(Tape, GradientsAddUpOverCallsAndAKeptOneStays) {
  Tensor x = Tensor::from({1, 2});
  Tape t;
  t.watch(x);
  t.backward(x * x, Tensor::from({1, 1}));
  Tensor first = t.gradient(x);
  t.backward(3.f * x, Tensor::from({1, 1}));
  EXPECT_TRUE(same_bits(first, Tensor::from({2, 4})));
  EXPECT_TRUE(same_bits(t.gradient(x), Tensor::from({5, 7})));
  t.forget(x);
  EXPECT_FALSE(t.gradient(x));
}
TEST(Tape, ACallersGradientIsNotWrittenTo) {
  Tensor x = Tensor::from({1, 2}), dy = Tensor::from({1, 1});
  Tape t;
  t.watch(x);
  Tensor y = x + x;
  t.seed(y, dy);
  t.seed(y, dy);
  t.backward();
  EXPECT_TRUE(same_bits(dy, Tensor::from({1, 1})));
  EXPECT_TRUE(same_bits(t.gradient(x), Tensor::from({4, 4})));
}
TEST(Tape, WhatWasPausedOrNotWatchedHasNoRecord) {
  Tensor x = Tensor::from({1, 2}), other = Tensor::from({3, 4});
  Tape t;
  t.watch(x);
  Tensor y = [&] { PauseTape pause; return x * x; }();
  EXPECT_FALSE(t.tracks(y));
  EXPECT_FALSE(t.tracks(other * other));
  EXPECT_THROW(t.backward(y, Tensor::from({1, 1})), Error);
  EXPECT_THROW(t.gradient(other), Error);
}
TEST(Tape, CheckpointGivesTheSameGradientsAndKeepsNothingBetween) {
  Random r(1);
  Tensor x = r.whole({64, 64}), w = r.whole({64, 64}), dy = r.whole({64, 64});
  auto f = [&](const Tensor& u) {
    Tensor y = u;
    for (int i = 0; i < 20; ++i) y = tanh(matmul(y, w)) + u;
    return y;
  };
  auto gradients = [&](bool recompute, size_t& kept) {
    Tape t;
    t.watch(x), t.watch(w);
    const size_t before = allocated_bytes(Device::cpu);
    Tensor u = 0.1f * x, middle = recompute ? checkpoint([&, u] { return f(u); }) : f(u);
    Tensor y = recompute ? checkpoint([&, middle] { return f(middle); }) : f(middle);
    kept = allocated_bytes(Device::cpu) - before;
    t.backward(y, dy);
    return std::pair{t.gradient(x), t.gradient(w)};
  };
  size_t plain_bytes = 0, less = 0;
  auto plain = gradients(false, plain_bytes), again = gradients(true, less);
  EXPECT_TRUE(same_bits(again.first, plain.first));
  EXPECT_TRUE(close(again.second, plain.second, 1e-6));
  EXPECT_LT(less * 8, plain_bytes);
}
TEST(Tape, RunsOnTheMetaDeviceForPlans) {
  Tensor x = Tensor::empty({3, 8}, DType::f32, Device::meta), w = Tensor::empty({5, 8}, DType::f32, Device::meta);
  Tape t;
  t.watch(w);
  t.backward(rms_norm(linear(x, w), {}), Tensor::empty({3, 5}, DType::f32, Device::meta));
  EXPECT_TRUE(t.gradient(w).shape() == w.shape());
  EXPECT_EQ(t.gradient(w).device(), Device::meta);
  EXPECT_TRUE(t.tracks(concat({x, w.slice(0, 2, 3)})));                       // joins and cuts keep the way
}

}  // namespace
}  // namespace headrace
