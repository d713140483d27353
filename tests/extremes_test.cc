// Gates at their ends, empty sequences, one token: what the answer must be there, said without the definitions. (The cases
// named Extreme in primitive_cases.cc put mixtures of such gates through every law.)
#include <gtest/gtest.h>

#include "base/error.h"
#include "primitive_cases.h"

namespace headrace {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
const std::vector<int64_t> offsets{0, 150};

Tensor filled(const Shape& shape, float value) { return map(Tensor::empty(shape), [=](float) { return value; }); }

TEST(Extremes, WhereEverythingIsForgottenOnlyTheNewTokenIsRead) {
  Random r(1);
  Tensor q = r.whole({150, 2, 16}), k = r.whole({150, 2, 16}), v = r.whole({150, 2, 20});
  Tensor want = scale_heads(v, head_dot(q, k, {}));
  for (float gate : {-1e4f, -inf}) {
    EXPECT_TRUE(close(linear_scan({.q = q, .k = k, .v = v, .log_decay = filled({150, 2}, gate)}, {.sequences = {offsets}}), want, 1e-5));
    EXPECT_TRUE(close(linear_scan({.q = q, .k = k, .v = v, .log_decay = filled({150, 2, 16}, gate)}, {.sequences = {offsets}}), want, 1e-5));
    Tensor x = r.whole({150, 37});
    EXPECT_TRUE(close(diag_scan(filled({150, 37}, gate), x, {.sequences = {offsets}}), x, 1e-6));
  }
}

TEST(Extremes, WhereNothingIsForgottenTheStateIsTheSum) {
  Random r(2);
  Tensor x = r.whole({150, 37}), gates = filled({150, 37}, 0.f);
  SlotValue slot;
  diag_scan(gates, x, {.sequences = {offsets}, .values = {&slot}});
  for (int64_t c = 0; c < 37; ++c) {
    double sum = 0;
    for (int64_t t = 0; t < 150; ++t) sum += x.f32()[t * 37 + c];
    EXPECT_NEAR(slot.value.f32()[c], sum, 1e-4);
  }
}

TEST(Extremes, ADeltaRuleWithBetaOneStoresTheValueUnderItsKeyExactly) {
  Random r(3);
  Tensor k = r.whole({150, 2, 16}), v = r.whole({150, 2, 20}), beta = filled({150, 2}, 1.f);
  k = l2_norm(k);
  EXPECT_TRUE(close(linear_scan({.q = k, .k = k, .v = v, .beta = beta}, {.sequences = {offsets}}), v, 1e-5));
}

TEST(Extremes, AttentionOfOneTokenIsItsValueWhateverTheScore) {
  const std::vector<int64_t> one{0, 1};
  for (float size : {0.f, 1e4f, 1e18f}) {
    Random r(4);
    Tensor q = map(r.whole({1, 2, 16}), [=](float x) { return size * x; }), k = r.whole({1, 2, 16}), v = r.whole({1, 2, 20});
    EXPECT_TRUE(close(attention(q, k, v, {}, {.sequences = {one}}), v, 1e-6)) << size;
  }
}

class Empty : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(Empty, SequencesGiveNothingAndLeaveTheStateAlone) {
  const PrimitiveCase& c = GetParam();
  Random r(5);
  Tensors w = c.fixed(r), x = c.timed(r, 5), nothing = c.timed(r, 0);
  const std::vector<int64_t> none{0}, five{0, 5}, empty{0, 0};
  EXPECT_EQ(c.run(nothing, w, {.sequences = {none}}).dim(0), 0);       // not even a sequence
  EXPECT_EQ(c.run(nothing, w, {.sequences = {empty}}).dim(0), 0);
  if (!c.carries_state) return;
  SlotValue slot;
  c.run(x, w, {.sequences = {five}, .values = {&slot}});
  const SlotValue before = slot;
  c.run(nothing, w, {.sequences = {empty}, .values = {&slot}});
  EXPECT_TRUE(close_states(slot, before, 0));
}
TEST_P(Empty, OffsetsThatDoNotFitAreNamed) {
  const PrimitiveCase& c = GetParam();
  Random r(6);
  Tensors w = c.fixed(r), x = c.timed(r, 5);
  const std::vector<int64_t> wrong{0, 4};
  EXPECT_THROW(c.run(x, w, {.sequences = {wrong}}), Error);
  EXPECT_THROW(c.run(x, w, {}), Error);
}
INSTANTIATE_TEST_SUITE_P(All, Empty, testing::ValuesIn(primitive_cases()), case_name);

}  // namespace
}  // namespace headrace
