// A step of training: packing, accumulation, recomputation and dropout change what they should and nothing else; what is tuned moves and
// what is not stays; a number that is none is told by its place.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "error_of.h"
#include "laws.h"
#include "ops/ops.h"
#include "ops/training.h"
#include "run/load.h"
#include "train/trainer.h"

namespace headrace {
namespace {

constexpr int vocab = 16;
Recipe recipe(const std::vector<std::string>& sets = {}) {
  return parse_recipe("[model]\nblueprint=\"attn\"\n[data]\ntrain=\"none\"\nlength=12\nbatch=2\n[optimizer]\nrate=0.01\n[train]\nsteps=40\n",
                      "test.toml", sets);
}
Trainer trainer(const std::string& blueprint, const std::vector<std::string>& sets = {}) {
  return Trainer(new_learner("d=16 vocab=16  " + blueprint, vocab, 1), recipe(sets));
}
Packed packed(const std::vector<int64_t>& lengths, uint64_t seed) {
  Random r(seed);
  Packed p;
  for (int64_t n : lengths) {
    int64_t now = r.below(vocab);
    for (int64_t i = 0; i < n; ++i) {
      p.ids.push_back(static_cast<int32_t>(now));
      now = r.below(5) == 0 ? r.below(vocab) : (now + 1) % vocab;
      p.targets.push_back(static_cast<int32_t>(now));
    }
    p.lengths.push_back(n), p.continues.push_back(-1), p.lanes.push_back(-1);
  }
  return p;
}
std::vector<float> all_values(const Trainer& t) {
  std::vector<float> all;
  for (const Parameter& p : t.learner().learned) all.insert(all.end(), p.value.f32(), p.value.f32() + p.value.count());
  return all;
}
double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double d = 0;
  for (size_t i = 0; i < a.size(); ++i) d = std::max(d, std::abs(double{a[i]} - b[i]));
  return d;
}

class TrainEach : public testing::TestWithParam<const char*> {};
TEST_P(TrainEach, LossFallsAndPackedSequencesAreThoseAlone) {
  // eps is wide so that Adam's first steps do not turn rounding into signs.
  const std::vector<std::string> sets{"optimizer.eps=1e-3", "train.balance=0"};
  Trainer t = trainer(GetParam(), sets), apart = trainer(GetParam(), sets);
  const Packed p = packed({5, 12, 1}, 3);
  std::vector<Packed> alone;
  for (size_t s = 0, at = 0; s < 3; at += static_cast<size_t>(p.lengths[s++])) {
    Packed one;
    const auto n = static_cast<std::ptrdiff_t>(p.lengths[s]), from = static_cast<std::ptrdiff_t>(at);
    one.ids.assign(p.ids.begin() + from, p.ids.begin() + from + n), one.targets.assign(p.targets.begin() + from, p.targets.begin() + from + n);
    one.lengths = {n}, one.continues = {-1}, one.lanes = {-1};
    alone.push_back(one);
  }
  const Lesson first = t.step({&p, 1}), same = apart.step(alone);
  EXPECT_NEAR(first.loss, same.loss, 1e-5);
  EXPECT_NEAR(first.norm, same.norm, 1e-4 * first.norm);
  EXPECT_LT(worst(all_values(t), all_values(apart)), 1e-4);
  Lesson last;
  for (int i = 0; i < 39; ++i) last = t.step({&p, 1});
  EXPECT_LT(last.loss, 0.7 * first.loss);
  EXPECT_EQ(last.step, 40);
}
INSTANTIATE_TEST_SUITE_P(Stacks, TrainEach, testing::Values("2*(attn(heads=2) + swiglu)", "2*(mamba)", "2*(rwkv7(heads=2) + rwkv_channel_mix)",
                                                            "gated_delta_net(heads=2) + swiglu, rg_lru + geglu",
                                                            "attn(heads=2) + moe(experts=4, top=2)", "2*(bmojo(heads=2, window=4, count=2))"),
                         [](const auto& i) { return std::to_string(i.index); });

TEST(TrainStep, WhatBmojoPredictsByIsLearnedByALossOfItsOwn) {
  for (const char* meta : {"", "meta=2 "}) {
    Trainer t = trainer(std::string(meta) + "bmojo(heads=2, window=4, count=2)");
    const Packed p = packed({12, 9}, 3);
    const auto predictor = [&] {
      for (const Parameter& x : t.learner().learned)
        if (x.name.find("predictor") != x.name.npos) return values_of(x.value);
      return std::vector<float>{};
    };
    const std::vector<float> before = predictor();
    for (int i = 0; i < 3; ++i) t.step(std::span(&p, 1));
    EXPECT_GT(worst(before, predictor()), 1e-4) << meta;
  }
}

TEST(TrainStep, RecomputationGivesTheSameWithLessMemory) {
  for (const char* blueprint : {"3*(attn(heads=2) + swiglu)", "3*(rwkv7(heads=2) + rwkv_channel_mix)",
                                "2*(attn(heads=2) + moe(experts=4, top=2))"}) {
    const std::vector<std::string> dropout{"train.dropout=0.2"}, again{"train.dropout=0.2", "train.recompute=true"};
    Trainer a = trainer(blueprint, dropout), b = trainer(blueprint, again);
    const Packed p = packed({12, 7}, 4);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(a.step({&p, 1}).loss, b.step({&p, 1}).loss);
    EXPECT_EQ(worst(all_values(a), all_values(b)), 0) << blueprint;
  }
  const auto bytes = [](const char* set) {
    begin_memory_plan();
    const std::vector<std::string> sets{set, "data.length=512"};
    return outlook(new_learner("d=64  8*(attn + swiglu)", vocab, 1, Device::meta), recipe(sets)).bytes;
  };
  EXPECT_LT(bytes("train.recompute=true"), bytes("train.recompute=false") / 2);
}

TEST(TrainStep, DropoutChangesTrainingAndNotTheScore) {
  Trainer a = trainer("2*(attn(heads=2) + swiglu)", {"train.dropout=0.5"}), b = trainer("2*(attn(heads=2) + swiglu)");
  const Packed p = packed({12}, 4);
  EXPECT_EQ(a.score({&p, 1}).loss, b.score({&p, 1}).loss);
  EXPECT_NE(a.step({&p, 1}).loss, b.step({&p, 1}).loss);
}

TEST(TrainStep, AveragesTrailBehindAndAreWhatIsSaved) {
  Trainer t = trainer("attn(heads=2)", {"train.ema=0.5"});
  const std::vector<float> before = all_values(t);
  const Packed p = packed({12}, 4);
  t.step({&p, 1});
  const std::vector<float> after = all_values(t);
  std::vector<float> mean;
  for (const Tensor& a : t.averaged()) mean.insert(mean.end(), a.f32(), a.f32() + a.count());
  for (size_t i = 0; i < mean.size(); ++i) EXPECT_NEAR(mean[i], (before[i] + after[i]) / 2, 1e-6);
  t.score({&p, 1});
  EXPECT_EQ(all_values(t), after);
}

TEST(TrainStep, MuonMovesMatricesBetweenLayersAndAdamTheRest) {
  Trainer t = trainer("2*(attn(heads=2) + swiglu)", {"optimizer.kind=muon"});
  int muon = 0;
  for (size_t i = 0; i < t.learner().learned.size(); ++i) {
    const Parameter& p = t.learner().learned[i];
    EXPECT_EQ(t.optimizer().muon(i), p.shape.rank() == 2 && p.name != "embed.weight") << p.name;
    muon += t.optimizer().muon(i);
    EXPECT_EQ(t.optimizer().decay(i), p.shape.rank() == 2 ? 0.1 : 0) << p.name;
  }
  EXPECT_EQ(muon, 14);
  const Packed p = packed({12, 12}, 3);
  const double first = t.step({&p, 1}).loss;
  for (int i = 0; i < 38; ++i) t.step({&p, 1});
  EXPECT_LT(t.step({&p, 1}).loss, 0.7 * first);
}

TEST(TrainStep, GroupsHaveRatesOfTheirOwn) {
  const auto rate = [](const std::vector<std::string>& sets) {
    Trainer t = trainer("s4d", sets);
    for (size_t i = 0; i < t.learner().learned.size(); ++i)
      if (t.learner().learned[i].group == "state_space") return t.optimizer().rate(i);
    return -1.0;
  };
  EXPECT_EQ(rate({}), 1e-3);
  EXPECT_EQ(rate({"optimizer.rate=1e-4"}), 1e-4);
  EXPECT_EQ(rate({"optimizer.groups.state_space.rate=0.5"}), 0.5);
  EXPECT_THROW(rate({"optimizer.groups.none.rate=0.5"}), Error);
}

TEST(TrainStep, CarriedStateIsThatOfTheBatchBefore) {
  for (const char* blueprint : {"mamba, gated_delta_net(heads=2)", "attn(heads=2) + swiglu"}) {
    Trainer carry = trainer(blueprint, {"data.carry=true", "data.batch=1", "schedule.warmup=0", "optimizer.rate=0"}),
            whole = trainer(blueprint, {"optimizer.rate=0"});
    const Packed p = packed({12}, 4);
    const double want = whole.step({&p, 1}).loss;
    double got = 0;
    for (int half = 0; half < 2; ++half) {
      Packed h;
      h.ids.assign(p.ids.begin() + 6 * half, p.ids.begin() + 6 * half + 6);
      h.targets.assign(p.targets.begin() + 6 * half, p.targets.begin() + 6 * half + 6);
      h.lengths = {6}, h.continues = {half ? 0 : -1}, h.lanes = {0};
      got += carry.step({&h, 1}).loss / 2;
    }
    EXPECT_NEAR(got, want, 1e-5) << blueprint;
  }
}

TEST(TrainStep, LoraMovesItsProductsAloneAndIsSavedInTheMatrices) {
  Learner l = learner_of(std::string(HEADRACE_ROOT) + "/assets/stories260K");
  const Tensor before = l.learned[0].value.contiguous_copy();
  const std::vector<Parameter> base = l.learned;
  adapt(l, 4, 8, {"q_proj", "down_proj"}, 1);
  EXPECT_EQ(l.learned.size(), 2u * 2 * 5);
  Trainer t(std::move(l), recipe());
  const Packed p = packed({12, 9}, 5);
  const double first = t.step({&p, 1}).loss;
  double last = 0;
  for (int i = 0; i < 20; ++i) last = t.step({&p, 1}).loss;
  EXPECT_LT(last, first);
  const double adapted = t.score({&p, 1}).loss;
  int changed = 0;
  std::map<std::string, Tensor> saved;
  for (const auto& [name, x] : t.learner().model_tensors(t.averaged())) saved[name] = x;
  for (const Parameter& q : base) {
    ASSERT_TRUE(saved.contains(q.name)) << q.name;
    changed += std::memcmp(saved[q.name].raw(), q.value.raw(), q.value.bytes()) != 0;
    copy_into(saved[q.name], const_cast<Tensor&>(q.value));                      // the plain model with what is saved
  }
  EXPECT_EQ(changed, 10);
  Learner plain = learner_of(std::string(HEADRACE_ROOT) + "/assets/stories260K");
  for (const Parameter& q : plain.learned) {
    Tensor to = q.value;
    copy_into(saved[q.name], to);
  }
  EXPECT_NEAR(Trainer(std::move(plain), recipe()).score({&p, 1}).loss, adapted, 1e-5);
  Learner other = learner_of(std::string(HEADRACE_ROOT) + "/assets/stories260K");
  EXPECT_THROW(adapt(other, 4, 8, {"no_such"}, 1), Error);
}

TEST(TrainStep, TunedStatesMoveAloneAndLowerTheLoss) {
  Learner l = learner_of(std::string(HEADRACE_ROOT) + "/assets/rwkv7-tiny");
  tune_state(l);
  EXPECT_TRUE(std::all_of(l.learned.begin(), l.learned.end(), [](const Parameter& p) { return p.name.starts_with("initial_state."); }));
  const std::vector<Parameter> fixed = l.fixed;
  std::vector<Tensor> kept;
  for (const Parameter& p : fixed) kept.push_back(p.value.contiguous_copy());
  Trainer t(std::move(l), recipe({"optimizer.rate=0.2"}));
  const Packed p = packed({12, 9}, 5);
  const double first = t.step({&p, 1}).loss;
  double last = 0;
  for (int i = 0; i < 20; ++i) last = t.step({&p, 1}).loss;
  EXPECT_LT(last, first - 0.03);                                                  // this model forgets how it began within a few tokens
  for (size_t i = 0; i < fixed.size(); ++i) EXPECT_EQ(std::memcmp(kept[i].raw(), fixed[i].value.raw(), kept[i].bytes()), 0) << fixed[i].name;
}

std::string fault(Trainer& t, const Packed& p) {
  return error_of([&] { t.step({&p, 1}); });
}
TEST(TrainStep, ANumberThatIsNoneIsToldByItsPlace) {
  Trainer t = trainer("attn(heads=2) + swiglu, mamba");
  const Packed p = packed({4, 7}, 4);
  for (const Parameter& q : t.learner().learned)
    if (q.name.find("layers.1.") != q.name.npos && q.name.find("in_proj.weight") != q.name.npos)
      for (int64_t i = 0; i < q.value.count(); ++i) q.value.f32()[i] = 1e38f;
  const std::vector<float> before = all_values(t);
  const std::string said = fault(t, p);
  EXPECT_NE(said.find("step 1: the loss is "), std::string::npos) << said;
  EXPECT_NE(said.find("in layer 1 (mamba), in ["), std::string::npos) << said;
  EXPECT_NE(said.find("], token "), std::string::npos) << said;
  EXPECT_NE(said.find("of sequence 0"), std::string::npos) << said;
  EXPECT_EQ(all_values(t), before);
  t.learner().learned[0].value.f32()[3] = NAN;
  EXPECT_NE(fault(t, p).find("; parameter " + t.learner().learned[0].name + " is not finite"), std::string::npos) << fault(t, p);
}

TEST(TrainStep, ParametersAreLookedAtBeforeTheyAreSaved) {
  Trainer t = trainer("2*(attn(heads=2) + swiglu)");
  t.check_finite();
  t.learner().learned[3].value.f32()[1] = NAN;
  EXPECT_THROW(t.check_finite(), Error);
}

TEST(TrainStep, TheOutlookCountsWhatAGradientReaches) {
  const Outlook o = outlook(new_learner("d=16  3*(attn(heads=2) + swiglu)", vocab, 1, Device::meta), recipe());
  EXPECT_EQ(o.layers, 3);
  EXPECT_EQ(o.layers_reached, 3);
  EXPECT_EQ(o.share_reached, 1);
  EXPECT_EQ(o.parameters, o.learned);
  EXPECT_GT(o.flops, 6.0 * static_cast<double>(o.parameters) * 24);
  for (const char* mixer : {"rwkv7", "mlstm", "mla", "reformer", "performer"}) {
    const Outlook all = outlook(new_learner(std::string("d=16  ") + mixer, vocab, 1, Device::meta), recipe());
    EXPECT_NEAR(all.share_reached * static_cast<double>(all.parameters), static_cast<double>(all.learned), 0.5) << mixer;
  }
  Learner l = learner_of(std::string(HEADRACE_ROOT) + "/assets/stories260K", Device::meta);
  adapt(l, 4, 8, {"layers.0.self_attn.q_proj"}, 1);
  const Outlook part = outlook(std::move(l), recipe());
  EXPECT_EQ(part.layers, 5);
  EXPECT_EQ(part.layers_reached, 1);
  EXPECT_LT(part.share_reached, 0.01);
}

TEST(TrainSchedule, RisesStaysAndFalls) {
  SchedulePart s{.kind = "cosine", .warmup = 0.1, .final = 0.1, .fall = 0.2};
  EXPECT_NEAR(schedule(s, 1, 100), 0.1, 1e-12);
  EXPECT_NEAR(schedule(s, 10, 100), 1, 1e-12);
  EXPECT_NEAR(schedule(s, 55, 100), 0.55, 1e-12);
  EXPECT_NEAR(schedule(s, 100, 100), 0.1, 1e-12);
  s.kind = "wsd";
  EXPECT_EQ(schedule(s, 80, 100), 1);
  EXPECT_NEAR(schedule(s, 90, 100), 0.55, 1e-12);
  s.kind = "constant";
  EXPECT_EQ(schedule(s, 100, 100), 1);
}

TEST(TrainOptimizer, NewtonSchulzMakesSingularValuesNearOne) {
  Random r(3);
  for (const Shape& shape : {Shape{12, 20}, Shape{20, 12}}) {
    const Tensor x = r.whole(shape), y = newton_schulz(x);
    const Tensor gram = shape[0] < shape[1] ? matmul(y, y, false, true) : matmul(y, y, true, false);   // eigenvalues: squares of singular values
    double trace = 0;
    for (int64_t i = 0; i < 12; ++i) trace += gram.f32()[i * 12 + i];
    EXPECT_GT(trace / 12, 0.5);
    EXPECT_LT(trace / 12, 1.3);
  }
}

}  // namespace
}  // namespace headrace
