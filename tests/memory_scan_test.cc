// The backward of memory_scan, through the inner gradients: slope, agree, pack, and the way between pieces; what a clip does.
#include "error_of.h"
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

// A head or several of a memory that begins as small random numbers, and what it learns: unit keys, no forgetting.
struct Lesson {
  Memory memory;
  Tensor q, k, v, rate, momentum;
  std::vector<int64_t> offsets;
  Lesson(Memory m, int64_t tokens, float rate_of_all, float eta) : memory(std::move(m)), offsets{0, tokens} {
    constexpr int64_t H = 2, K = 8;
    Random r(3);
    int64_t P = memory.norm ? memory.value : 0;
    for (int i = 0; i < memory.depth; ++i) P += (i == 0 ? K : memory.hidden) * (i + 1 == memory.depth ? memory.value : memory.hidden);
    memory.initial = map(r.whole({H, P}), [](float x) { return 0.3f * x; });
    q = l2_norm(r.whole({tokens, H, K}), 1e-6f), k = l2_norm(r.whole({tokens, H, K}), 1e-6f), v = r.whole({tokens, H, memory.value});
    rate = map(r.whole({tokens, H}), [=](float) { return rate_of_all; }), momentum = map(r.whole({tokens, H}), [=](float) { return eta; });
  }
  struct Result { Tensor y, M; Tensors d; };
  // M [H,P] after the tokens, and the gradients of sum y in q, k, v, rate, momentum and the initial memory.
  Result learn() const {
    Tape tape;
    const Tensors inputs{q, k, v, rate, momentum, memory.initial};
    for (const Tensor& x : inputs) tape.watch(x);
    SlotValue state;
    Result r;
    r.y = memory_scan({.q = q, .k = k, .v = v, .rate = rate, .momentum = memory.momentum ? momentum : Tensor{}}, memory,
                      {.sequences = {offsets}, .values = {&state}});
    tape.backward(r.y, map(r.y.contiguous_copy(), [](float) { return 1.f; }));
    r.M = state.value.slice(1, 0, memory.initial.dim(1)).contiguous_copy();
    for (size_t i = 0; i < inputs.size(); ++i)
      if (memory.momentum || i != 4) r.d.push_back(tape.gradient(inputs[i]));
    return r;
  }
};
bool finite(const Tensor& x) { return std::ranges::all_of(values_of(x), [](float v) { return std::isfinite(v); }); }
double norm(const std::vector<float>& x) { return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)); }

TEST(MemoryClip, KeepsAMemoryFiniteThatDivergesWithout) {
  constexpr float C = 0.5f, eta = 0.5f;
  constexpr int64_t T = 4000;
  for (const auto& [memory, rate] : {std::pair{Memory{.value = 8, .batch = 100}, 1.f}, {Memory{.value = 8, .chunk = 50, .batch = 50}, 1.f},
                                     {Memory{.value = 8, .depth = 2, .hidden = 16, .batch = 16}, 1.f},
                                     {Memory{.value = 8, .depth = 3, .hidden = 16, .chunk = 8, .batch = 8}, 1.f}}) {
    Lesson lesson(memory, T, rate, eta);
    EXPECT_FALSE(finite(lesson.learn().M)) << memory.depth << " matrices, batches of " << memory.batch;
    lesson.memory.clip = C;
    const Lesson::Result r = lesson.learn();
    EXPECT_TRUE(finite(r.y)) << memory.depth << " matrices, batches of " << memory.batch;
    // Each token adds less than rate C to S, and S to M what momentum makes of that.
    EXPECT_LT(norm(values_of(r.M)), norm(values_of(lesson.memory.initial)) + T * rate * C / (1 - eta));
    for (size_t i = 0; i < r.d.size(); ++i) EXPECT_TRUE(finite(r.d[i])) << "gradient " << i << " of " << memory.depth << " matrices";
  }
}
TEST(MemoryClip, ShortensTheStepOfATokenAndKeepsItsDirection) {
  for (const Memory& memory : {Memory{.value = 8, .momentum = false}, Memory{.value = 8, .depth = 3, .hidden = 5, .norm = true, .momentum = false}}) {
    Lesson lesson(memory, 1, 1, 0);
    const auto steps = [&](float clip) {                     // of each head
      lesson.memory.clip = clip;
      const std::vector<float> M = values_of(lesson.learn().M), begun = values_of(lesson.memory.initial);
      std::vector<std::vector<double>> all(2);
      for (size_t i = 0; i < M.size(); ++i) all[i / (M.size() / 2)].push_back(double{M[i]} - begun[i]);
      return all;
    };
    const auto g = steps(0);
    for (float C : {0.01f, 1.f, 30.f}) {
      const auto clipped = steps(C);
      for (size_t h = 0; h < 2; ++h) {
        const double square = std::inner_product(g[h].begin(), g[h].end(), g[h].begin(), 0.0), factor = C / std::sqrt(C * C + square);
        for (size_t i = 0; i < g[h].size(); ++i) EXPECT_NEAR(clipped[h][i], factor * g[h][i], 2e-6) << "clip " << C;
      }
    }
  }
}
TEST(MemoryClip, ALargeOneIsNone) {
  for (const Memory& memory : {Memory{.value = 8, .batch = 4},
                               Memory{.value = 8, .depth = 2, .hidden = 5, .norm = true, .eps = 0.1f, .chunk = 3, .batch = 6}}) {
    Lesson lesson(memory, 40, 0.01f, 0.5f);
    const Lesson::Result none = lesson.learn();
    for (float C : {1e5f, 1e12f}) {
      lesson.memory.clip = C;
      const Lesson::Result r = lesson.learn();
      EXPECT_TRUE(close(r.y, none.y, 1e-6) && close(r.M, none.M, 1e-6)) << "clip " << C;
      for (size_t i = 0; i < r.d.size(); ++i) EXPECT_TRUE(close(r.d[i], none.d[i], 1e-5)) << "clip " << C << ", gradient " << i;
    }
  }
}
TEST(MemoryClip, ATokenThatIsNotLearntHasItsRatesGradient) {
  for (const Memory& memory : {Memory{.value = 8, .clip = 1},
                               Memory{.value = 8, .depth = 2, .hidden = 5, .norm = true, .eps = 0.1f, .batch = 8, .clip = 1}}) {
    Lesson lesson(memory, 20, 0.5f, 0.5f);
    for (int64_t i = 0; i < 40; i += 3) lesson.rate.f32()[i] = 0;
    const Lesson::Result got = lesson.learn();
    UseNaive naive;
    const Lesson::Result want = lesson.learn();
    for (size_t i = 0; i < want.d.size(); ++i) EXPECT_TRUE(close(got.d[i], want.d[i], 1e-4)) << "gradient " << i;
  }
}
TEST(MemoryClip, OneThatIsNoBoundIsRefused) {
  for (float clip : {-1.f, 1e-7f, 1e13f, NAN, INFINITY}) {
    const Lesson lesson({.value = 8, .clip = clip}, 3, 1, 0);
    EXPECT_TRUE(error_of([&] { lesson.learn(); }).starts_with("memory_scan: clip = ")) << clip;
  }
}

INSTANTIATE_TEST_SUITE_P(All, MemorySlope, testing::ValuesIn(learners()), case_name);
INSTANTIATE_TEST_SUITE_P(All, MemoryBackward, testing::ValuesIn(learners()), case_name);

}  // namespace
}  // namespace headrace
