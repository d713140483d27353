// What is made of linear scans: mLSTM and log-linear attention through the laws split, pack and slope, and their limits. Their values
// and gradients against the references are operators' fixtures.
#include "base/error.h"
#include "ops/sequence.h"
#include "slope.h"

namespace headrace {
namespace {

using Tensors = std::vector<Tensor>;

struct Scan {
  const char* name;
  std::function<Tensors(Random&, int64_t n)> inputs;
  // A ragged batch, each sequence from position 0 or from `seen` tokens on. slots: two for each sequence, or none.
  std::function<Tensor(const Tensors& x, const std::vector<int64_t>& lengths, int64_t seen, std::vector<SlotValue>* slots)> run;
};

float positive(float v) { return 0.5f + std::abs(v); }
std::vector<Scan> scans() {
  const auto slot_of = [](const std::vector<int64_t>& offsets, std::vector<SlotValue>* slots, size_t which) {
    Slot s{.sequences = {offsets}, .values = {}};
    for (size_t i = which; slots && i < slots->size(); i += 2) s.values.push_back(&(*slots)[i]);
    return s;
  };
  const auto offsets_of = [](const std::vector<int64_t>& lengths) {
    std::vector<int64_t> offsets{0};
    for (int64_t l : lengths) offsets.push_back(offsets.back() + l);
    return offsets;
  };
  const auto log_linear_of = [=](bool delta) {
    return [=](const Tensors& x, const std::vector<int64_t>& lengths, int64_t seen, std::vector<SlotValue>* slots) {
      const std::vector<int64_t> offsets = offsets_of(lengths);
      std::vector<int32_t> positions;
      for (int64_t l : lengths)
        for (int64_t t = 0; t < l; ++t) positions.push_back(static_cast<int32_t>(seen + t));
      return log_linear({.q = x[0], .k = x[1], .v = x[2], .levels = x[3], .log_decay = log_sigmoid(x[4]), .beta = delta ? sigmoid(x[5]) : Tensor{},
                         .scale = 0.5f}, positions, slot_of(offsets, slots, 0));
    };
  };
  const auto log_linear_inputs = [](bool delta) {
    return [=](Random& r, int64_t n) {
      const Tensor q = r.whole({n, 2, 5}), k = map(r.whole({n, 2, 5}), [](float v) { return 0.3f * v; });
      Tensors x{q, k, r.whole({n, 2, 7}), r.whole({n, 2, 8}), r.whole({n, 2})};
      if (delta) x.push_back(r.whole({n, 2}));
      return x;
    };
  };
  return {
      {"Mlstm", [](Random& r, int64_t n) {
         // Far from where |n| is the floor: a kink.
         const Tensor q = map(r.whole({n, 2, 5}), [](float v) { return -0.5f - std::abs(v); }), k = map(r.whole({n, 2, 5}), positive);
         return Tensors{q, k, r.whole({n, 2, 7}), map(r.whole({n, 2}), positive), r.whole({n, 2})};
       },
       [=](const Tensors& x, const std::vector<int64_t>& lengths, int64_t, std::vector<SlotValue>* slots) {
         const std::vector<int64_t> offsets = offsets_of(lengths);
         return mlstm({.q = x[0], .k = x[1], .v = x[2], .input = x[3], .log_forget = log_sigmoid(x[4]), .scale = 0.5f}, slot_of(offsets, slots, 0),
                      slot_of(offsets, slots, 1));
       }},
      {"LogLinear", log_linear_inputs(false), log_linear_of(false)},
      {"LogLinearDelta", log_linear_inputs(true), log_linear_of(true)},
  };
}

void PrintTo(const Scan& c, std::ostream* out) { *out << c.name; }
class WeightedScan : public testing::TestWithParam<Scan> {};

Tensors part(const Tensors& x, int64_t begin, int64_t n) {
  Tensors y;
  for (const Tensor& t : x) y.push_back(t.slice(0, begin, n));
  return y;
}

TEST_P(WeightedScan, InPiecesIsTheWholeWithItsGradients) {
  const Scan& c = GetParam();
  Random r(3);
  const int64_t n = 75;
  const Tensors x = c.inputs(r, n);
  const Tensor dy = r.whole({n, 2, 7});
  Tape whole;
  for (const Tensor& t : x) whole.watch(t);
  const Tensor want = c.run(x, {n}, 0, nullptr);
  whole.backward(want, dy);
  EXPECT_TRUE(close(c.run(x, {n}, 0, nullptr), want, 3e-5)) << "without a tape";
  for (const std::vector<int64_t>& pieces : {std::vector<int64_t>{1, 40, 16, 18}, {64, 11}, std::vector<int64_t>(75, 1)}) {
    std::vector<SlotValue> untaped(2);
    for (int64_t at = 0; int64_t p : pieces) {
      EXPECT_TRUE(close(c.run(part(x, at, p), {p}, at, &untaped), want.slice(0, at, p).contiguous_copy(), 3e-5)) << "without a tape, from " << at;
      at += p;
    }
    Tape tape;
    for (const Tensor& t : x) tape.watch(t);
    std::vector<SlotValue> state(2);
    int64_t at = 0;
    for (int64_t p : pieces) {
      const Tensor y = c.run(part(x, at, p), {p}, at, &state);
      EXPECT_TRUE(close(y, want.slice(0, at, p).contiguous_copy(), 3e-5)) << "from " << at;
      tape.seed(y, dy.slice(0, at, p));
      at += p;
    }
    tape.backward();
    for (size_t i : {0, 1})
      EXPECT_TRUE(!untaped[i].value == !state[i].value && (!state[i].value || close(untaped[i].value, state[i].value, 3e-5))) << "state " << i;
    for (size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(close(tape.gradient(x[i]), whole.gradient(x[i]), 5e-5)) << "input " << i;
  }
}

TEST_P(WeightedScan, PackedIsEachAlone) {
  const Scan& c = GetParam();
  Random r(4);
  const Tensors x = c.inputs(r, 60);
  std::vector<SlotValue> state(8);
  const Tensor all = c.run(x, {17, 0, 42, 1}, 0, &state);
  int64_t at = 0;
  for (size_t s = 0; int64_t n : {17, 0, 42, 1}) {
    if (n) {
      std::vector<SlotValue> alone(2);
      EXPECT_TRUE(close(c.run(part(x, at, n), {n}, 0, &alone), all.slice(0, at, n).contiguous_copy(), 1e-6));
      EXPECT_TRUE(close(state[2 * s].value, alone[0].value, 1e-6));
    }
    at += n, ++s;
  }
}

TEST_P(WeightedScan, IsTheDerivativeOfTheDefinition) {
  const Scan& c = GetParam();
  Random r(5);
  expect_slope([&](const Tensors& x) { return Tensors{c.run(x, {13, 4}, 0, nullptr)}; }, c.inputs(r, 17), 6, 2e-4, 1.0 / 128);
}

INSTANTIATE_TEST_SUITE_P(All, WeightedScan, testing::ValuesIn(scans()), [](const auto& info) { return std::string(info.param.name); });

TEST(WeightedScan, LevelsThatAreTooFewForASequenceAreAnError) {
  const Tensor q = Tensor::zeros({5, 1, 4}), levels = Tensor::zeros({5, 1, 3});
  const std::vector<int32_t> positions{0, 1, 2, 3, 4};
  const std::vector<int64_t> offsets{0, 5};
  try {
    log_linear({.q = q, .k = q, .v = q, .levels = levels}, positions, {.sequences = {offsets}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("token 4 where 3 levels reach 4 tokens"), std::string::npos) << e.what();
  }
}

TEST(WeightedScan, GatesOfTheMlstmMayBeAtTheirEnds) {
  Random r(6);
  const Tensors x = scans()[0].inputs(r, 40);
  const std::vector<int64_t> offsets{0, 40};
  for (float input : {-1e4f, 0.f, 80.f, 1e4f})
    for (float forget : {-1e4f, -std::numeric_limits<float>::infinity(), 0.f}) {
      Tape tape;
      for (const Tensor& t : x) tape.watch(t);
      const Tensor i = map(r.whole({40, 2}), [=](float) { return input; }), f = map(r.whole({40, 2}), [=](float) { return forget; });
      tape.watch(i), tape.watch(f);
      const Tensor y = mlstm({.q = x[0], .k = x[1], .v = x[2], .input = i, .log_forget = f}, {.sequences = {offsets}}, {.sequences = {offsets}});
      tape.backward(y, x[2]);
      for (const Tensor& t : {y, tape.gradient(x[0]), tape.gradient(x[1]), tape.gradient(x[2]), tape.gradient(i), tape.gradient(f)})
        for (float v : t.floats()) ASSERT_TRUE(std::isfinite(v)) << input << " " << forget;
    }
}

}  // namespace
}  // namespace headrace
