// The backward of memory_scan, through the inner gradients: slope, agree, pack, and the way between pieces.
#include "primitive_cases.h"
#include "slope.h"
#include "state_gradients.h"

namespace headrace {
namespace {

std::vector<PrimitiveCase> learners() {
  std::vector<PrimitiveCase> all;
  for (const PrimitiveCase& c : primitive_cases())
    if (c.kernel == "memory_scan") all.push_back(c);
  return all;
}

// States as they are after some tokens: a place in the chunk and the batch is no number to differentiate in.
Tensors states_after(const PrimitiveCase& c, Random& r, const Tensors& w, const std::vector<int64_t>& lengths) {
  Tensors states;
  for (int64_t n : lengths) {
    Ragged seen({n});
    c.run(c.timed(r, n), w, seen.slot(true));
    states.push_back(seen.states[0].value.contiguous_copy());
  }
  return states;
}
// A normalised net gives its query back: what rounding does to so large an answer is much to a small gradient, and it bends too much
// for longer steps. Values and gradients are held closer by the fixtures of titans_neural_memory.
struct Steps { double tolerance, one, all; };
Steps steps(const PrimitiveCase& c) {
  const bool normalised = c.name.find("Norm") != std::string::npos || c.name.find("LayersByToken") != std::string::npos ||
                          c.name.find("InOneBatch") != std::string::npos || c.name.find("LayersChunks") != std::string::npos;
  return normalised ? Steps{2e-3, 1.0 / 64, 1.0 / 512} : Steps{3e-4, 1.0 / 64, 1.0 / 256};
}

class MemorySlope : public testing::TestWithParam<PrimitiveCase> {};
class MemoryBackward : public testing::TestWithParam<PrimitiveCase> {};

TEST_P(MemorySlope, IsTheDerivativeOfTheDefinitionThroughTheState) {
  const PrimitiveCase& c = GetParam();
  Random r(7);
  const std::vector<int64_t> lengths{18, 1, 5};
  Tensors inputs = c.timed(r, 24);
  const Tensors w = c.fixed(r);
  const size_t timed = inputs.size();
  for (Tensor& t : inputs) t = on_grid(map(t.contiguous_copy(), [](float v) { return 0.5f * v; }));
  inputs.push_back(w[0]);
  const Tensors begun = states_after(c, r, w, {2, 7, 18});
  // Numbers of a head's state but its place are inputs.
  const int64_t H = begun[0].dim(0), R = begun[0].dim(1), P = w[0].dim(1), places = R % P == 3 ? 1 : 0;
  for (const Tensor& s : begun) inputs.push_back(concat({s.slice(1, 0, R - places)}));
  expect_slope([&](const Tensors& all) {
    Ragged again(lengths);
    for (size_t i = 0; i < 3; ++i) {
      const Tensor& s = all[timed + 1 + i];
      again.states[i].value = places ? concat({s, begun[i].slice(1, R - 1, 1)}) : s;
    }
    Tensors out{c.run(Tensors(all.begin(), all.begin() + static_cast<int64_t>(timed)), {all[timed]}, again.slot(true))};
    for (const SlotValue& s : again.states) out.push_back(concat({s.value.slice(1, 0, R - places)}));
    return out;
  }, inputs, 8, steps(c).tolerance, steps(c).one, steps(c).all);
  EXPECT_EQ(H, w[0].dim(0));
}

TEST_P(MemorySlope, IsTheDerivativeInTheMemoryAtTheBeginning) {
  const PrimitiveCase& c = GetParam();
  for (bool with_state : {false, true}) {
    Random r(17);
    Tensors inputs = c.timed(r, 19);
    const size_t timed = inputs.size();
    inputs.push_back(c.fixed(r)[0]);
    expect_slope([&](const Tensors& all) {
      Ragged fresh({13, 6});
      Tensors out{c.run(Tensors(all.begin(), all.begin() + static_cast<int64_t>(timed)), {all[timed]}, fresh.slot(with_state))};
      for (const SlotValue& s : fresh.states)
        if (with_state) out.push_back(concat({s.value.slice(1, 0, all[timed].dim(1))}));
      return out;
    }, inputs, 18, steps(c).tolerance, steps(c).one, steps(c).all);
  }
}

TEST_P(MemoryBackward, OfTheCpuIsTheDefinitions) {
  const PrimitiveCase& c = GetParam();
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{1}, {67}, {130, 3, 0, 17}}) {
    Random r(9);
    int64_t n = 0;
    for (int64_t l : lengths) n += l;
    const Tensors x = c.timed(r, n), w = c.fixed(r);
    const Tensors before = states_after(c, r, w, std::vector<int64_t>(lengths.size(), 9));
    const Tensor dy = r.whole({n, x[2].dim(1), x[2].dim(2)});
    Tensors d_states;
    for (const Tensor& s : before) d_states.push_back(r.whole(s.shape()));
    const auto all = [&] {
      return std::vector<Gradients>{gradients(c, x, w, lengths, before, dy, d_states), gradients(c, x, w, lengths, {}, dy, {}),
                                    gradients(c, x, w, lengths, {}, dy, d_states)};
    };
    const std::vector<Gradients> got = all();
    UseNaive naive;
    const std::vector<Gradients> want = all();
    for (size_t k = 0; k < want.size(); ++k)
      for (size_t i = 0; i < want[k].d.size(); ++i)
        EXPECT_TRUE(close(got[k].d[i], want[k].d[i], 1e-4)) << "way " << k << ", input " << i << " of " << n << " tokens";
  }
}

TEST_P(MemoryBackward, FlowsThroughTheStateBetweenPieces) {
  const PrimitiveCase& c = GetParam();
  Random r(11);
  const int64_t n = 75;
  const Tensors x = c.timed(r, n), w = c.fixed(r);
  const Tensor before = states_after(c, r, w, {7})[0], dy = r.whole({n, x[2].dim(1), x[2].dim(2)}), d_state = r.whole(before.shape());
  expect_flow_between_pieces(c, x, w, before, dy, d_state, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, MemorySlope, testing::ValuesIn(learners()), case_name);
INSTANTIATE_TEST_SUITE_P(All, MemoryBackward, testing::ValuesIn(learners()), case_name);

}  // namespace
}  // namespace headrace
