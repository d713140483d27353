// The backward of linear_scan, for every policy in primitive_cases.cc: slope, agree, split, pack.
#include "ops/run.h"
#include "ops/tape.h"
#include "primitive_cases.h"
#include "slope.h"
#include "state_gradients.h"

namespace headrace {
namespace {

// Where gates are closed, and where there is much to difference, the law agree holds backward to the definition's.
std::vector<PrimitiveCase> policies(bool mild) {
  std::vector<PrimitiveCase> all;
  for (const PrimitiveCase& c : primitive_cases())
    if (const bool hard = c.name.find("Extreme") != std::string::npos || c.name.find("Wide") != std::string::npos;
        c.kernel == "linear_scan" && !(mild && hard))
      all.push_back(c);
  return all;
}

class ScanSlope : public testing::TestWithParam<PrimitiveCase> {};
class ScanBackward : public testing::TestWithParam<PrimitiveCase> {};

TEST_P(ScanSlope, IsTheDerivativeOfTheDefinitionThroughTheState) {
  const PrimitiveCase& c = GetParam();
  Random r(7);
  const std::vector<int64_t> lengths{18, 1, 5};
  Tensors inputs = c.timed(r, 24), w = c.fixed(r);
  const size_t timed = inputs.size(), fixed = w.size();
  for (const Tensor& t : w) inputs.push_back(t);
  Ragged shapes(lengths);
  c.run(Tensors(inputs.begin(), inputs.begin() + static_cast<int64_t>(timed)), w, shapes.slot(true));
  for (int i = 0; i < 3; ++i) inputs.push_back(r.whole(shapes.states[0].value.shape()));
  expect_slope([&](const Tensors& all) {
    Ragged again(lengths);
    const auto at = [&](size_t i) { return all.begin() + static_cast<int64_t>(i); };
    for (size_t i = 0; i < 3; ++i) again.states[i].value = all[timed + fixed + i];
    Tensors out{c.run(Tensors(all.begin(), at(timed)), Tensors(at(timed), at(timed + fixed)), again.slot(true))};
    for (const SlotValue& s : again.states) out.push_back(s.value);
    return out;
  }, inputs, 8, 2e-4, 1.0 / 64);
}

TEST_P(ScanBackward, OfTheCpuIsTheDefinitions) {
  const PrimitiveCase& c = GetParam();
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{1}, {67}, {130, 3, 0, 17}}) {
    Random r(9);
    int64_t n = 0;
    for (int64_t l : lengths) n += l;
    const Tensors x = c.timed(r, n), w = c.fixed(r);
    Ragged shapes(lengths);
    const Tensor dy = r.whole(c.run(x, w, shapes.slot(true)).shape());
    Tensors before, d_states;
    for (size_t i = 0; i < lengths.size(); ++i)
      before.push_back(r.whole(shapes.states[i].value.shape())), d_states.push_back(r.whole(shapes.states[i].value.shape()));
    const Gradients got = gradients(c, x, w, lengths, before, dy, d_states), alone = gradients(c, x, w, lengths, {}, dy, {});
    UseNaive naive;
    const Gradients want = gradients(c, x, w, lengths, before, dy, d_states), want_alone = gradients(c, x, w, lengths, {}, dy, {});
    for (size_t i = 0; i < want.d.size(); ++i) EXPECT_TRUE(close(got.d[i], want.d[i], 5e-5)) << "input " << i << " of " << n << " tokens";
    for (size_t i = 0; i < want_alone.d.size(); ++i) EXPECT_TRUE(close(alone.d[i], want_alone.d[i], 5e-5)) << "input " << i << " without states";
  }
}

TEST_P(ScanBackward, FlowsThroughTheStateBetweenPieces) {
  const PrimitiveCase& c = GetParam();
  Random r(11);
  const int64_t n = 75;
  const Tensors x = c.timed(r, n), w = c.fixed(r);
  Ragged shapes({n});
  const Tensor dy = r.whole(c.run(x, w, shapes.slot(true)).shape());
  const Tensor before = r.whole(shapes.states[0].value.shape()), d_state = r.whole(before.shape());
  expect_flow_between_pieces(c, x, w, before, dy, d_state, 5e-5);
}

// The gradient of the log decays [45,2(,5)] that `decay` draws, each divided by its decay: as the definition's.
void expect_decays_gradient(bool by_key, bool delta, float (*decay)(Random&, int64_t t, int64_t i)) {
  Random r(13);
  const int64_t N = 45, H = 2, K = 5;
  const Tensor q = r.whole({N, H, K}), k = map(r.whole({N, H, K}), [](float x) { return 0.4f * x; }), v = r.whole({N, H, 6}), dy = r.whole({N, H, 6});
  const Tensor beta = delta ? map(r.whole({N, H}), [](float x) { return std::abs(std::sin(x)); }) : Tensor{};
  const Tensor g = r.whole(by_key ? Shape{N, H, K} : Shape{N, H});
  for (int64_t i = 0, row = g.count() / N; i < g.count(); ++i) g.f32()[i] = decay(r, i / row, i % row);
  const auto gradient = [&] {
    Tape tape;
    tape.watch(g);
    Ragged shape({19, 26});
    tape.seed(linear_scan({.q = q, .k = k, .v = v, .log_decay = g, .beta = beta}, shape.slot(false)), dy);
    tape.backward();
    Tensor d = tape.gradient(g).contiguous_copy();
    for (int64_t i = 0; i < d.count(); ++i) d.f32()[i] /= std::exp(g.f32()[i]);
    return d;
  };
  const Tensor got = gradient();
  UseNaive naive;
  EXPECT_TRUE(close(got, gradient(), 2e-5)) << (by_key ? "by key" : "by head") << (delta ? ", delta" : "");
}
TEST(ScanDecays, GradientOfDecaysThatAreAllStrongIsRightForTheirSize) {
  for (const bool by_key : {false, true})
    for (const bool delta : {false, true}) {
      expect_decays_gradient(by_key, delta, [](Random& r, int64_t, int64_t) { return static_cast<float>(r.uniform(-16, -15)); });
      expect_decays_gradient(by_key, delta, [](Random& r, int64_t t, int64_t) { return t % 3 ? 0.f : static_cast<float>(r.uniform(-16, -6)); });
    }
}

INSTANTIATE_TEST_SUITE_P(All, ScanSlope, testing::ValuesIn(policies(true)), case_name);
INSTANTIATE_TEST_SUITE_P(All, ScanBackward, testing::ValuesIn(policies(false)), case_name);

}  // namespace
}  // namespace headrace
