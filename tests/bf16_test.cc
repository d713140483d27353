// Products that round their operands to bf16, and training by them. The law `slope` does not apply: a rounding is flat between its steps, so
// differences of it are 0 or a step, never a slope. Their gradients are held to what they are said to be instead: products of rounded operands.
#include <cstring>

#include "cpu/product_bf16.h"
#include "instruction_sets.h"
#include "laws.h"
#include "model_logits.h"
#include "ops/tape.h"
#include "ops/training.h"
#include "tensor/half.h"
#include "train/trainer.h"

namespace headrace {
namespace {

Tensor rounded(const Tensor& x) {
  return map(x.contiguous_copy(), [](float v) { return bf16_to_f32(f32_to_bf16(v)); });
}

TEST(Bf16, AProductIsTheDefinitionsOfOperandsThatWereRounded) {
  struct Size { int64_t m, n, k; };
  for (const char* set : instruction_sets())
    for (const Size s : {Size{1, 1, 1}, Size{1, 40, 33}, Size{17, 16, 31}, Size{16, 33, 32}, Size{70, 5, 100}, Size{150, 200, 65},
                         Size{33, 34, 4100}})
      for (int form = 0; form < 4; ++form) {
        ForceDots forced(set);
        Random r(5);
        const bool at = form & 1, bt = form & 2;
        const Tensor a = r.rows(at ? Shape{s.k, s.m} : Shape{s.m, s.k}), b = r.rows(bt ? Shape{s.n, s.k} : Shape{s.k, s.n});
        const Tensor want = [&] {
          UseNaive naive;
          return matmul(rounded(a), rounded(b), at, bt);
        }();
        const UseBf16Products bf16;
        const std::string where = text(set, " ", s.m, " ", s.n, " ", s.k, " form ", form);
        EXPECT_TRUE(close(matmul(a, b, at, bt), want, 1e-5)) << where;
        UseNaive naive;
        EXPECT_TRUE(same_bits(matmul(a, b, at, bt), want)) << where;
      }
}

TEST(Bf16, OperandsAreRoundedToTheNearestEvenAndWhatIsNoNumberStays) {
  const float step = 1.f / 128, huge = 3.3961775e38f;                                   // the last number above bf16's largest is infinite
  const std::vector<float> given{1 + step / 2, 1 + 3 * step / 2, 1 + step / 2 + 1e-6f, -1 - step / 2, NAN, INFINITY, huge, 1e-40f},
      wanted{1, 1 + 2 * step, 1 + step, -1, NAN, INFINITY, INFINITY, bf16_to_f32(f32_to_bf16(1e-40f))};
  const UseBf16Products bf16;
  for (const char* set : instruction_sets()) {
    ForceDots forced(set);
    const Tensor y = matmul(Tensor::from(given, {8, 1}), Tensor::from({1.f}).view({1, 1}));
    for (size_t i = 0; i < 8; ++i)
      if (std::isnan(wanted[i])) EXPECT_TRUE(std::isnan(y.f32()[i])) << set;
      else if (wanted[i] < 1e-30f && wanted[i] > 0) EXPECT_NEAR(y.f32()[i], wanted[i], 2e-40f) << set;   // or 0, by AMX and AVX512_BF16
      else EXPECT_EQ(y.f32()[i], wanted[i]) << set << " " << i;
  }
}

TEST(Bf16, PositionsAreNot) {
  constexpr int64_t n = 4000;                          // bf16 has every sixteenth of the last of these
  Random r(7);
  const Tensor x = r.whole({n, 32});
  const auto layer = [&] {
    const Model m = new_learner("d=32 vocab=17 transnormer(heads=2)", 17, 1).bind();
    Batch batch;
    batch.add(n);
    return m.decoder.layers[0].run(x, {&batch, 0}) - x;
  };
  const Tensor want = layer();
  const UseBf16Products bf16;
  EXPECT_LT(relative_error(layer(), want), 0.01);
}

// y = f(x, w) and the gradients of x and w for dy, all by one kind of product.
struct Passed { Tensor y, dx, dw; };
Passed pass_of(const Tensor& x, const Tensor& w, const Tensor& dy, const std::function<Tensor(const Tensor&, const Tensor&)>& f) {
  Tape tape;
  tape.watch(x), tape.watch(w);
  Passed p{.y = f(x, w)};
  tape.backward(p.y, dy);
  p.dx = tape.gradient(x), p.dw = tape.gradient(w);
  return p;
}
TEST(Bf16, LinearsAndTheirGradientsAreProductsOfRoundedOperands) {
  Random r(6);
  const Tensor bias = r.whole({12}), none;
  const std::function<Tensor(const Tensor&, const Tensor&)> plain = [&](const Tensor& x, const Tensor& w) { return linear(x, w, bias); },
                                                            blocks = [&](const Tensor& x, const Tensor& w) { return block_linear(x, w, bias); };
  for (const bool by_blocks : {false, true}) {
    const auto& f = by_blocks ? blocks : plain;
    const Tensor x = r.whole({9, 24}), w = by_blocks ? r.whole({3, 8, 4}) : r.whole({12, 24}), dy = r.whole({9, 12});
    const Passed want = pass_of(rounded(x), rounded(w), rounded(dy), f), exact = pass_of(x, w, dy, f);
    const UseBf16Products bf16;
    const Passed got = pass_of(x, w, dy, f);
    EXPECT_TRUE(close(got.y, want.y, 1e-5) && close(got.dx, want.dx, 1e-5) && close(got.dw, want.dw, 1e-5)) << by_blocks;
    EXPECT_FALSE(close(got.y, exact.y, 1e-4) || close(got.dx, exact.dx, 1e-4) || close(got.dw, exact.dw, 1e-4)) << by_blocks;
    EXPECT_TRUE(close(got.y, exact.y, 2e-2) && close(got.dx, exact.dx, 2e-2) && close(got.dw, exact.dw, 2e-2)) << by_blocks;
  }
}
TEST(Bf16, TheLossOfAVocabularyReadsRoundedLogitsFactorsAndStaysF32) {
  Random r(7);
  const Tensor h = r.whole({5, 16}), w = r.whole({20, 16});
  const std::vector<int32_t> targets{3, 19, 0, -1, 7};
  const auto loss = [&](const Tensor& a, const Tensor& b) { return linear_cross_entropy(a, b, targets, 1.f); };
  const Tensor want = loss(rounded(h), rounded(w)), exact = loss(h, w);
  const UseBf16Products bf16;
  EXPECT_TRUE(close(loss(h, w), want, 1e-6));
  EXPECT_FALSE(close(loss(h, w), exact, 1e-6));
}

Recipe recipe(const std::vector<std::string>& sets) {
  return parse_recipe("[model]\nblueprint=\"attn\"\n[data]\ntrain=\"none\"\nlength=12\nbatch=2\n[optimizer]\nrate=0.01\n[train]\nsteps=30\n",
                      "t.toml", sets);
}
Packed packed() {
  Packed p;
  for (int i = 0; i < 24; ++i) p.ids.push_back(i * 7 % 16), p.targets.push_back((i + 1) * 7 % 16);
  p.lengths = {12, 12}, p.continues = {-1, -1}, p.lanes = {-1, -1};
  return p;
}
class Bf16Training : public testing::TestWithParam<const char*> {};
TEST_P(Bf16Training, LearnsAToyAsF32DoesAndIsScoredInF32) {
  const std::string blueprint = std::string("d=16 vocab=16  ") + GetParam();
  const auto begun = [&](const char* precision) {
    return Trainer(new_learner(blueprint, 16, 1), recipe({std::string("train.precision=") + precision}));
  };
  Trainer t = begun("bf16"), exact = begun("f32");
  const Packed p = packed();
  EXPECT_EQ(t.score({&p, 1}).loss, exact.score({&p, 1}).loss);
  const Lesson first = t.step({&p, 1});
  const double f32 = exact.step({&p, 1}).loss;
  EXPECT_NE(first.loss, f32);
  EXPECT_NEAR(first.loss, f32, 0.02 * f32);
  Lesson last;
  for (int i = 0; i < 29; ++i) last = t.step({&p, 1});
  EXPECT_LT(last.loss, 0.7 * first.loss);
}
INSTANTIATE_TEST_SUITE_P(Stacks, Bf16Training, testing::Values("2*(attn(heads=2) + swiglu)", "mamba, rwkv7(heads=2) + rwkv_channel_mix",
                                                               "rg_lru + geglu, attn(heads=2) + moe(experts=4, top=2)"),
                         [](const auto& i) { return std::to_string(i.index); });

// A step too small for bf16 is not lost: it is the f32 weight that is moved.
TEST(Bf16, WeightsKeepWhatBf16WouldRoundAway) {
  Trainer t(new_learner("d=16 vocab=16  attn(heads=2) + swiglu", 16, 1),
            recipe({"train.precision=bf16", "optimizer.rate=1e-6", "schedule.warmup=0"}));
  std::vector<Tensor> before;
  for (const Parameter& p : t.learner().learned) before.push_back(p.value.contiguous_copy());
  const Packed p = packed();
  t.step({&p, 1});
  int64_t moved = 0, all = 0, seen = 0;
  for (size_t i = 0; i < before.size(); ++i)
    for (int64_t j = 0; j < before[i].count(); ++j, ++all) {
      const float a = before[i].f32()[j], b = t.learner().learned[i].value.f32()[j];
      moved += a != b, seen += f32_to_bf16(a) != f32_to_bf16(b);
    }
  EXPECT_GT(moved, all / 2);
  EXPECT_LT(seen, all / 20);
}

}  // namespace
}  // namespace headrace
