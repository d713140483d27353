// The law `slope` for the convolutions: inputs, weights, states before and after, packed sequences.
#include "ops/complex.h"
#include "ops/modal_scan.h"
#include "ops/run.h"
#include "ops/tape.h"
#include "slope.h"

namespace headrace {
namespace {

using Tensors = std::vector<Tensor>;
const std::vector<std::vector<int64_t>> packs{{1}, {9}, {3, 0, 1, 7}, {2, 40}};

// f with the sequences' states as the last inputs and their successors as the last outputs.
Function with_states(const std::vector<int64_t>& lengths, std::function<Tensor(const Tensors&, const Slot&)> f) {
  return [=](const Tensors& x) {
    Ragged r(lengths);
    for (size_t s = 0; s < lengths.size(); ++s) r.states[s].value = x[x.size() - lengths.size() + s];
    Tensors y{f(x, r.slot(true))};
    for (const SlotValue& s : r.states) y.push_back(s.value);
    return y;
  };
}
Function whole(const std::vector<int64_t>& lengths, std::function<Tensor(const Tensors&, const Slot&)> f) {
  return [=](const Tensors& x) {
    Ragged r(lengths);
    return Tensors{f(x, r.slot(false))};
  };
}
int64_t tokens(const std::vector<int64_t>& lengths) { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }

TEST(ConvSlope, ShortConvForEveryInputAndState) {
  for (const auto& lengths : packs)
    for (bool silu : {false, true})
      for (bool bias : {false, true}) {
        Random r(3);
        auto f = [=](const Tensors& x, const Slot& slot) { return short_conv(x[0], x[1], bias ? x[2] : Tensor{}, silu, slot); };
        Tensors x{r.rows({tokens(lengths), 19}), r.whole({19, 4}), bias ? r.whole({19}) : Tensor{}};
        expect_slope(whole(lengths, f), x, 5);
        for (size_t s = 0; s < lengths.size(); ++s) x.push_back(r.whole({3, 19}));
        expect_slope(with_states(lengths, f), x, 6);
      }
}
TEST(ConvSlope, TokenShiftWithItsStates) {
  for (const auto& lengths : packs) {
    Random r(4);
    auto f = [](const Tensors& x, const Slot& slot) { return token_shift(x[0], slot); };
    Tensors x{r.rows({tokens(lengths), 7})};
    expect_slope(whole(lengths, f), x, 5);
    for (size_t s = 0; s < lengths.size(); ++s) x.push_back(r.whole({1, 7}));
    expect_slope(with_states(lengths, f), x, 6);
  }
}
// Two channels share a transform; the law agree would not see one that is lost beside another.
TEST(ConvSizes, ASmallChannelKeepsItsFiguresBesideALargeOne) {
  Random r(6);
  const int64_t T = 150, C = 33;
  const Tensor u = r.whole({T, C}), k = r.whole({C, 90}), dy = r.whole({T, C});
  for (int64_t c = 0; c < C; ++c) {
    const float size = std::pow(10.f, static_cast<float>(5 * c % 37) - 18.f), other = std::pow(10.f, static_cast<float>(7 * c % 29) - 14.f);
    for (int64_t t = 0; t < T; ++t) u.f32()[t * C + c] *= size, dy.f32()[t * C + c] *= other;
    for (int64_t l = 0; l < 90; ++l) k.f32()[c * 90 + l] *= other;
  }
  const auto all = [&] {
    Tape tape;
    tape.watch(u), tape.watch(k);
    Ragged one({T});
    const Tensor y = long_conv(u, {.filter = k}, one.slot(false));
    tape.backward(y, dy);
    return Tensors{y, tape.gradient(u), transposed(tape.gradient(k))};
  };
  const Tensors got = all();
  UseNaive naive;
  const Tensors want = all();
  for (size_t i = 0; i < got.size(); ++i)
    for (int64_t c = 0; c < C; ++c) {
      const auto column = [c](const Tensor& x) { return x.slice(1, c, 1).contiguous_or_copy(); };
      EXPECT_TRUE(close(column(got[i]), column(want[i]), 2e-6)) << "result " << i << ", channel " << c;
    }
}

TEST(ConvSlope, LongConvForEveryInputAndState) {
  for (const auto& lengths : packs)
    for (int64_t taps : {1, 6, 60}) {
      Random r(3);
      auto f = [=](const Tensors& x, const Slot& slot) { return long_conv(x[0], {.filter = x[1], .skip = x[2]}, slot); };
      Tensors x{r.rows({tokens(lengths), 19}), r.whole({19, taps}), r.whole({19})};
      expect_slope(whole(lengths, f), x, 5);
      const int64_t P = taps == 1 ? 1 : taps == 6 ? 8 : 64;
      Tensor count = Tensor::zeros({1 + 2 * P, 19}), all = map(r.whole({1 + 2 * P, 19}), [](float) { return 1.f; });
      count.f32()[0] = static_cast<float>(5 % (2 * P)) / static_cast<float>(2 * P);   // of tokens: nothing to differentiate by
      std::fill_n(all.f32(), 19, 0.f);
      for (size_t s = 0; s < lengths.size(); ++s) x.push_back(r.whole({1 + 2 * P, 19}));
      auto counted = with_states(lengths, f);
      expect_slope([=](Tensors v) {
        for (size_t s = 3; s < v.size(); ++s) v[s] = v[s] * all + count;
        Tensors y = counted(v);
        for (size_t s = 1; s < y.size(); ++s) y[s] = y[s].slice(0, 1, 2 * P);
        return y;
      }, x, 6);
    }
}
TEST(ConvSlope, LongConvOfModesForEveryInputAndState) {
  for (const auto& lengths : packs)
    for (int64_t M : {1, 5}) {
      Random r(3);
      auto f = [=](const Tensors& x, const Slot& slot) { return long_conv(x[0], {.filter = {}, .skip = x[3], .modes = {x[1], x[2]}}, slot); };
      const Tensor pole = map(r.whole({2 * M, 19}), [](float v) { return 0.6f * std::tanh(v); });
      Tensors x{r.rows({tokens(lengths), 19}), pole, r.whole({2 * M, 19}), r.whole({19})};
      const double step = 1.0 / 256, of_all = 1.0 / 512;                              // a pole acts up to 40 times over
      expect_slope(whole(lengths, f), x, 5, 1e-3, step, of_all);
      for (size_t s = 0; s < lengths.size(); ++s) x.push_back(r.whole({2 * M, 19}));
      expect_slope(with_states(lengths, f), x, 6, 1e-3, step, of_all);
    }
}
// pole, residue, input, column, row: of states that do not grow.
Tensors coupled_modes(Random& r, int64_t M, int64_t channels) {
  auto part = [&](float size) { return map(r.whole({2 * M, channels}), [=](float v) { return size * std::tanh(v); }); };
  const float share = 0.5f / std::sqrt(static_cast<float>(M));
  return {part(0.6f), part(1), part(1), part(share), part(share)};
}
TEST(ConvSlope, LongConvOfCoupledModesForEveryInputAndState) {
  for (const auto& lengths : packs)
    for (int64_t M : {1, 5}) {
      Random r(3);
      auto f = [=](const Tensors& x, const Slot& slot) { return long_conv(x[0], {.filter = {}, .modes = {x[1], x[2], x[3], x[4], x[5]}}, slot); };
      Tensors x{r.rows({tokens(lengths), 19})};
      for (const Tensor& t : coupled_modes(r, M, 19)) x.push_back(t);
      const double step = 1.0 / 256, of_all = 1.0 / 512;
      expect_slope(whole(lengths, f), x, 5, 1e-3, step, of_all);
      for (size_t s = 0; s < lengths.size(); ++s) x.push_back(r.whole({2 * M, 19}));
      expect_slope(with_states(lengths, f), x, 6, 1e-3, step, of_all);
    }
}
TEST(ConvSlope, ReadingsOfATruncatedRecurrence) {
  for (int64_t length : {1, 2, 5, 16}) {
    Random r(4);
    const Tensors m = coupled_modes(r, 3, 7);
    expect_slope([=](const Tensors& x) { return Tensors{untruncated({x[0], {}, {}, x[1], x[2]}, x[3], length)}; }, {m[0], m[3], m[4], m[1]}, 5, 1e-3,
                 1.0 / 256, 1.0 / 512);
  }
}
TEST(ConvSlope, LongConvOfBothDirections) {
  Random r(8);
  expect_slope(whole({9, 33}, [](const Tensors& x, const Slot& slot) { return long_conv(x[0], {.filter = x[1], .ahead = x[2]}, slot); }),
               {r.rows({42, 11}), r.whole({11, 40}), r.whole({11, 5})}, 5);
}
TEST(FilterSlope, FunctionsOfComplexNumbers) {
  for (ComplexUnary f : {ComplexUnary::zero_order_hold, ComplexUnary::bilinear_log, ComplexUnary::bilinear_gain}) {
    Random r(2);
    expect_slope([=](const Tensors& x) {
      const Complex y = unary(f, {x[0], x[1]});
      return Tensors{y.re, y.im};
    }, {map(r.whole({3, 7}), [](float v) { return -0.1f - std::abs(v) / 4; }), map(r.whole({3, 7}), [](float v) { return v / 4; })}, 5);
  }
}
TEST(FilterSlope, SumsOfModes) {
  Random r(2);
  expect_slope([](const Tensors& x) { return Tensors{modal_filter({x[0], x[1]}, {x[2], x[3]}, 21)}; },
               {map(r.whole({3, 5}), [](float v) { return -0.1f - std::abs(v) / 4; }), map(r.whole({3, 5}), [](float v) { return v / 4; }),
                r.whole({3, 5}), r.whole({3, 5})}, 5, 5e-4);
}
TEST(FilterSlope, CauchySumsAndTheSignalsOfSpectra) {
  for (int64_t length : {1, 2, 16}) {
    Random r(2);
    expect_slope([=](const Tensors& x) {
      const Complex y = cauchy({x[0], x[1]}, {x[2], x[3]}, length);
      return Tensors{y.re, y.im, inverse_fourier(y, length)};
    }, {r.whole({6, 5}), r.whole({6, 5}), map(r.whole({3, 5}), [](float v) { return -0.8f - std::abs(v); }), r.whole({3, 5})}, 5);
  }
}
TEST(FilterSlope, TransposedAndColumnsOfASquare) {
  Random r(2);
  expect_slope([](const Tensors& x) { return Tensors{silu(transposed(x[0]))}; }, {r.rows({3, 7})}, 5);
  expect_slope([](const Tensors& x) { return Tensors{x[0] * x[1]}; }, {r.rows({5, 5}), r.whole({5, 1})}, 5);
}

}  // namespace
}  // namespace headrace
