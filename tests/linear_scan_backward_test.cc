// The backward of linear_scan, for every policy in primitive_cases.cc: slope, agree, split, pack.
#include "ops/run.h"
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

INSTANTIATE_TEST_SUITE_P(All, ScanSlope, testing::ValuesIn(policies(true)), case_name);
INSTANTIATE_TEST_SUITE_P(All, ScanBackward, testing::ValuesIn(policies(false)), case_name);

}  // namespace
}  // namespace headrace
