// The law `slope` for vector states and cells: outputs of a ragged batch that continues, with gradients of the first states and
// through the states between; and the CPU's gradients are the definition's, those of final states and at extreme gates included.
#include "primitive_cases.h"
#include "slope.h"

namespace headrace {
namespace {

std::vector<PrimitiveCase> vector_state_cases() {
  std::vector<PrimitiveCase> all;
  for (const PrimitiveCase& c : primitive_cases())
    if (c.kernel == "diag_scan" || c.kernel == "cell_scan") all.push_back(c);
  return all;
}

const std::vector<int64_t> first_lengths{35, 1, 1, 0}, second_lengths{5, 2, 0, 3};   // over a chunk, single tokens, none

struct Batch {
  Tensors inputs;                                      // timed, timed again, fixed, the first state of each sequence
  size_t timed, fixed;
  Shape state;
};
Batch batch_of(const PrimitiveCase& c, uint64_t seed) {
  Random r(seed);
  Ragged one(first_lengths), two(second_lengths);
  Tensors w = c.fixed(r), x = c.timed(r, one.tokens()), more = c.timed(r, two.tokens());
  Batch b{.inputs = x, .timed = x.size(), .fixed = w.size(), .state = {}};
  b.inputs.insert(b.inputs.end(), more.begin(), more.end());
  b.inputs.insert(b.inputs.end(), w.begin(), w.end());
  SlotValue warm;                                      // a state that the primitive itself makes
  const std::vector<int64_t> offsets{0, 3};
  c.run(rows_of_all(x, 0, 3), w, {.sequences = {offsets}, .values = {&warm}});
  b.state = warm.value.shape();
  for (size_t s = 0; s < first_lengths.size(); ++s)
    b.inputs.push_back(map(warm.value.contiguous_copy(), [&](float v) { return v + 0.25f * r.normal(); }));
  return b;
}
Function continued(const PrimitiveCase& c, const Batch& b, bool with_states) {
  return [=, timed = b.timed, fixed = b.fixed](const Tensors& in) {
    Ragged one(first_lengths), two(second_lengths);
    auto part = [&](size_t from, size_t count) { return Tensors(in.data() + from, in.data() + from + count); };
    for (size_t s = 0; s < one.states.size(); ++s) one.states[s].value = in[2 * timed + fixed + s];
    const Tensors w = part(2 * timed, fixed);
    Tensors out{c.run(part(0, timed), w, one.slot(true))};
    two.states = one.states;
    out.push_back(c.run(part(timed, timed), w, two.slot(true)));
    for (const SlotValue& s : two.states)
      if (with_states) out.push_back(s.value);
    return out;
  };
}
class VectorStates : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(VectorStates, BackwardIsTheDerivativeOfTheDefinition) {
  const PrimitiveCase& c = GetParam();
  if (c.name.find("Extreme") != std::string::npos || c.name.find("Large") != std::string::npos || c.name.find("AllForgotten") != std::string::npos)
    return;                                            // steps of 1/32 are large there; below they are compared with the definition
  const Batch b = batch_of(c, 21);
  const double step = c.kernel == "diag_scan" ? 1.0 / 128 : 1.0 / 32;   // a constant decay acts 35 times over: small steps
  expect_slope(continued(c, b, false), b.inputs, 22, 2e-4, step, 1.0 / 128);
}
TEST_P(VectorStates, GradientsOfTheCpuAreThoseOfTheDefinition) {
  const PrimitiveCase& c = GetParam();
  const Batch b = batch_of(c, 23);
  auto gradients = [&](bool naive) {
    std::unique_ptr<UseNaive> use = naive ? std::make_unique<UseNaive>() : nullptr;
    Random r(24);
    Tape tape;
    for (const Tensor& t : b.inputs)
      if (t) tape.watch(t);
    for (const Tensor& y : continued(c, b, true)(b.inputs)) {
      if (y.count()) tape.seed(y, r.whole(y.shape()));
    }
    tape.backward();
    Tensors all;
    for (const Tensor& t : b.inputs) all.push_back(t ? tape.gradient(t) : Tensor{});
    return all;
  };
  const Tensors got = gradients(false), want = gradients(true);
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(static_cast<bool>(got[i]), static_cast<bool>(want[i])) << "input " << i;
    if (want[i]) {
      EXPECT_TRUE(close(got[i], want[i], std::max(1e-4, 4 * c.tolerance))) << "input " << i;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, VectorStates, testing::ValuesIn(vector_state_cases()), case_name);

// The running maximum of RWKV-4 and sLSTM is a number of the state like another: its own gradient reaches what it came from.
TEST(VectorStates, TheRunningMaximumHasAGradient) {
  const std::vector<int64_t> offsets{0, 3};
  Tensor w = Tensor::from({-0.5f}), u = Tensor::from({0.f}), k = Tensor::from({0, 3, 1}).view({3, 1}), v = Tensor::from({1, 2, 3}).view({3, 1});
  for (const bool naive : {false, true}) {
    std::unique_ptr<UseNaive> use = naive ? std::make_unique<UseNaive>() : nullptr;
    Tape tape;
    tape.watch(w), tape.watch(k);
    SlotValue state;
    rwkv4_scan(w, u, k, v, {.sequences = {offsets}, .values = {&state}});
    tape.backward(state.value, Tensor::from({0, 0, 1}).view({3, 1}));       // top = k[1] + w
    EXPECT_TRUE(same_bits(tape.gradient(k), Tensor::from({0, 1, 0}).view({3, 1})));
    EXPECT_TRUE(same_bits(tape.gradient(w), Tensor::from({1})));
  }
}

}  // namespace
}  // namespace headrace
