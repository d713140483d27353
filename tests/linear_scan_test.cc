// What the laws of linear_scan do not say: that shared heads are repeated heads, and which shapes of decay are constant. Two unary
// ops at their ends.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/ops.h"
#include "ops/run.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

namespace {

Tensor numbers(const Shape& shape, int seed) {
  Tensor t = Tensor::empty(shape);
  for (int64_t i = 0; i < t.count(); ++i) t.f32()[i] = std::sin(0.7f * static_cast<float>(i) + static_cast<float>(seed));
  return t;
}
Tensor repeat_heads(const Tensor& x, int64_t times) {   // [N,G,K] -> [N,G*times,K]
  Tensor y = Tensor::empty({x.dim(0), x.dim(1) * times, x.dim(2)});
  const int64_t K = x.dim(2);
  for (int64_t row = 0; row < x.dim(0) * x.dim(1); ++row)
    for (int64_t i = 0; i < times; ++i) std::copy_n(x.f32() + row * K, K, y.f32() + (row * times + i) * K);
  return y;
}

}  // namespace

TEST(LinearScan, GroupsOfQueriesAndKeysAreTheSameAsRepeatingThem) {
  const int64_t N = 5, G = 2, H = 6, K = 4, V = 3;
  Tensor q = numbers({N, G, K}, 1), k = numbers({N, G, K}, 2), v = numbers({N, H, V}, 3);
  Tensor log_decay = unary(Unary::scale, softplus(numbers({N, H}, 4)), -1);
  std::vector<int64_t> offsets{0, 2, N};
  Tensor grouped = linear_scan({.q = q, .k = k, .v = v, .log_decay = log_decay}, {.sequences = {offsets}});
  Tensor rq = repeat_heads(q, H / G), rk = repeat_heads(k, H / G);
  Tensor repeated = linear_scan({.q = rq, .k = rk, .v = v, .log_decay = log_decay}, {.sequences = {offsets}});
  ASSERT_EQ(grouped.shape(), Shape({N, H, V}));
  for (int64_t i = 0; i < grouped.count(); ++i) EXPECT_EQ(grouped.f32()[i], repeated.f32()[i]);
}

TEST(LinearScan, AConstantDecayPerKeyIsNeverTakenForOnePerToken) {
  Tensor x = numbers({4, 4, 4}, 1), decay = unary(Unary::scale, softplus(numbers({4, 4}, 2)), -1);   // tokens = heads = keys
  std::vector<int64_t> offsets{0, 4};
  Tensor repeated = Tensor::empty({4, 4, 4});
  for (int t = 0; t < 4; ++t) std::copy_n(decay.f32(), 16, repeated.f32() + 16 * t);
  Tensor constant = linear_scan({.q = x, .k = x, .v = x, .log_decay = decay.view({1, 4, 4})}, {.sequences = {offsets}});
  Tensor timed = linear_scan({.q = x, .k = x, .v = x, .log_decay = repeated}, {.sequences = {offsets}});
  for (int64_t i = 0; i < constant.count(); ++i) EXPECT_EQ(constant.f32()[i], timed.f32()[i]);
}

TEST(Unary, OneMinusExpKeepsItsDigitsWhereTheLogIsTiny) {
  Tensor y = sqrt_one_minus_exp(Tensor::from({-1e-9f, -0.5f, -40.f, 0.f}), 2);
  EXPECT_FLOAT_EQ(y.f32()[0], std::sqrt(2e-9f));
  EXPECT_FLOAT_EQ(y.f32()[1], std::sqrt(1 - std::exp(-1.f)));
  EXPECT_EQ(y.f32()[2], 1);
  EXPECT_EQ(y.f32()[3], 0);
}

TEST(Unary, SlopeOfOneMinusExpIsTheRootsAndFiniteAtZero) {
  const Tensor x = Tensor::from({-1e-9f, -1e-14f, -0.5f, -40.f, 0.f}), ones = Tensor::from({1, 1, 1, 1, 1});
  const auto slope = [&] {
    Tape tape;
    tape.watch(x);
    tape.seed(sqrt_one_minus_exp(x, 2), ones);
    tape.backward();
    return tape.gradient(x);
  };
  const auto check = [](const Tensor& y) {
    EXPECT_FLOAT_EQ(y.f32()[0], -1 / std::sqrt(2e-9f));
    EXPECT_FLOAT_EQ(y.f32()[1], -1 / std::sqrt(2e-14f));
    EXPECT_FLOAT_EQ(y.f32()[2], -std::exp(-1.f) / std::sqrt(1 - std::exp(-1.f)));
    EXPECT_NEAR(y.f32()[3], 0, 1e-30);
    EXPECT_TRUE(std::isfinite(y.f32()[4]));
  };
  check(slope());
  UseNaive naive;
  check(slope());
}
TEST(Unary, BoundsHoldFromBothSides) {
  Tensor x = Tensor::from({-2, 0.5f, 3});
  Tensor y = at_most(at_least(x, -1), 1);
  EXPECT_EQ(y.f32()[0], -1);
  EXPECT_EQ(y.f32()[1], 0.5f);
  EXPECT_EQ(y.f32()[2], 1);
}
