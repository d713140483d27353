// The mixers that are convolutions: every form, packed sequences, gradients of every parameter; HiPPO's matrix.
#include <complex>

#include "mixers/catalogue.h"
#include "mixers/hippo.h"
#include "slope.h"
#include "processor_time.h"       // after: it has a namespace `testing` of its own

namespace headrace {
namespace {

using Tensors = std::vector<Tensor>;
struct Case { const char *name, *option; };
const Case cases[] = {{"s4", "length=32"}, {"s4", "length=4"}, {"s4", "length=128"},
                      {"s4d", ""}, {"h3", ""}, {"hyena", "length=40"}, {"hyena", "modes=5"}, {"lfm2_conv", ""}};

Sublayer bound(const Case& c, const std::shared_ptr<Source>& source) {
  std::vector<Setting> given;
  if (const std::string o = c.option; !o.empty()) given.push_back({.name = o.substr(0, o.find('=')), .value = o.substr(o.find('=') + 1)});
  return find_mixer(c.name)->bind(Scope(source), {.width = 12}, given);
}
Tensor run(const Sublayer& f, const Tensor& x, const std::vector<int64_t>& lengths, std::vector<State>* states = nullptr) {
  Batch batch;
  for (size_t s = 0; s < lengths.size(); ++s) batch.add(lengths[s], states ? &(*states)[s] : nullptr);
  return f(x, {.batch = &batch});
}

TEST(ConvMixers, TokenByTokenAndInPiecesIsTheWhole) {
  for (const Case& c : cases) {
    const Sublayer f = bound(c, initialised({.seed = 2}));
    Random r(4);
    const Tensor x = r.whole({70, 12}), whole = run(f, x, {70});
    for (const std::vector<int64_t>& pieces : {std::vector<int64_t>(70, 1), {1, 32, 7, 30}, {70}}) {
      std::vector<State> state(1);
      Tensors y;
      int64_t at = 0;
      for (int64_t n : pieces) {
        y.push_back(run(f, x.slice(0, at, n), {n}, &state));
        state[0].tokens = at += n;
      }
      EXPECT_TRUE(close(concat_rows(y), whole, 3e-5)) << c.name << " in " << pieces.size() << " pieces";
    }
    const Tensor packed = run(f, x, {3, 67});
    EXPECT_TRUE(close(packed.slice(0, 3, 67), run(f, x.slice(0, 3, 67), {67}), 3e-5)) << c.name;
  }
}
TEST(ConvMixers, GradientsReachTheInputAndEveryParameter) {
  for (const Case& c : cases) {
    auto source = initialised({.seed = 2, .jitter = 0.05});
    bound(c, source);
    Tensors x{map(Random(4).whole({9, 12}), [](float v) { return v / 2; })};
    for (const Parameter& p : source->parameters) x.push_back(p.value);
    Tape tape;
    for (const Tensor& t : x) tape.watch(t);
    const Tensor y = run(bound(c, source), x[0], {2, 7}), dy = Random(5).whole(y.shape());
    tape.backward(y, dy);
    PauseTape pause;
    for (size_t i = 0; i < x.size(); ++i) {
      const Tensor g = tape.gradient(x[i]);
      ASSERT_TRUE(g) << c.name << " input " << i;
      // Along the gradient's signs, by central differences in f32.
      const double step = 1e-3;
      auto moved = [&](double by) {
        Tensor kept = x[i].contiguous_copy();
        for (int64_t k = 0; k < g.count(); ++k) x[i].f32()[k] += static_cast<float>(by) * (g.f32()[k] > 0 ? 1.f : -1.f);
        const double sum = inner(run(bound(c, source), x[0], {2, 7}), dy);
        std::copy_n(kept.f32(), kept.count(), x[i].f32());
        return sum;
      };
      double want = 0;
      for (float v : g.floats()) want += std::abs(v);
      EXPECT_NEAR((moved(step) - moved(-step)) / (2 * step), want, 0.02 * want + 0.05) << c.name << " "
          << (i ? source->parameters[i - 1].name : std::string("x"));
    }
  }
}
TEST(ConvMixers, HippoInItsEigenbasisIsHippo) {
  const int64_t N = 8, n = 2 * N;
  const Hippo h = hippo_legs(N);
  // x' = A x + B u: the moments C A^k B with C = B^* do not depend on the basis.
  std::vector<double> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = std::sqrt(2.0 * static_cast<double>(i) + 1);
  std::vector<std::complex<double>> w = h.B;
  for (int power = 0; power < 5; ++power) {
    double want = 0, got = 0;
    for (int64_t i = 0; i < n; ++i) want += v[static_cast<size_t>(i)] * std::sqrt(2.0 * static_cast<double>(i) + 1);
    std::complex<double> low = 0;
    for (size_t i = 0; i < w.size(); ++i) got += 2 * (std::conj(h.B[i]) * w[i]).real(), low += std::conj(h.P[i]) * w[i];
    EXPECT_NEAR(got / want, 1, 1e-9) << "power " << power;
    std::vector<double> next(v.size());
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j <= i; ++j)
        next[static_cast<size_t>(i)] -= v[static_cast<size_t>(j)] *
            (i == j ? static_cast<double>(i) + 1 : std::sqrt((2.0 * static_cast<double>(i) + 1) * (2.0 * static_cast<double>(j) + 1)));
    v = next;
    for (size_t i = 0; i < w.size(); ++i) w[i] = h.lambda[i] * w[i] - h.P[i] * (2 * low.real());
  }
}
// A channel of HiPPO-LegS: what s4 makes of its tensors.
struct Legs {
  DplrSystem system;
  Complex Ct;
};
Legs legs(const Tensors& x) {           // A_real, A_imag, B, P [1,n,..], C [D,n,2], inv_dt [D,1]
  const int64_t n = x[0].dim(1), D = x[4].dim(0);
  const Tensor none = Tensor::zeros({D, n}, DType::f32);
  auto all = [&](const Tensor& row) { return none + row.view({n}); };
  const Complex B = complex_of_pairs(x[2]), P = complex_of_pairs(x[3]);
  return {{.lambda = {all(-1.f * exp(x[0])), all(x[1])}, .B = {all(B.re), all(B.im)}, .P = {all(P.re), all(P.im)}, .dt = exp(x[5])},
          complex_of_pairs(x[4])};
}
Tensors legs_tensors(int64_t n, int64_t D) {
  const Hippo h = hippo_legs(n);
  Random r(6);
  Tensor A_real = Tensor::empty({1, n}), A_imag = Tensor::empty({1, n}), B = Tensor::empty({1, n, 2}), P = Tensor::empty({1, n, 2});
  for (int64_t i = 0; i < n; ++i) {
    const auto k = static_cast<size_t>(i);
    A_real.f32()[i] = std::log(0.5f), A_imag.f32()[i] = static_cast<float>(h.lambda[k].imag());
    for (int part = 0; part < 2; ++part) {
      B.f32()[2 * i + part] = static_cast<float>(part ? h.B[k].imag() : h.B[k].real());
      P.f32()[2 * i + part] = static_cast<float>(part ? h.P[k].imag() : h.P[k].real());
    }
  }
  const Tensor dt = Tensor::empty({D, 1});
  for (int64_t d = 0; d < D; ++d) dt.f32()[d] = std::log(1e-3f) + std::log(100.f) * static_cast<float>(d) / static_cast<float>(D - 1);
  return {A_real, A_imag, B, P, r.whole({D, n, 2}), dt};
}
TEST(ConvMixers, S4sRecurrenceBeginsWithItsFilter) {
  for (const int64_t n : {1, 4, 32, 64})
    for (const int64_t length : {8, 256, 1024}) {
      const Legs s = legs(legs_tensors(n, 5));
      const Tensor filter = dplr_filter(s.system, s.Ct, length, length), u = Tensor::zeros({length, 5});
      std::fill_n(u.f32(), 5, 1.f);
      const std::vector<int64_t> offsets{0, length};
      const Tensor y = long_conv(u, {.filter = {}, .modes = dplr_recurrence(s.system, s.Ct, length)}, {.sequences = {offsets}, .values = {}});
      EXPECT_TRUE(close(y, transposed(filter), 1e-4)) << 2 * n << " states, " << length << " taps";
    }
}
TEST(ConvMixers, S4sGradientsAreThoseOfItsFilterWhereTheRecurrenceRuns) {
  for (const int64_t length : {16, 128}) {
    const Tensors x = legs_tensors(4, 3);
    const Tensor u = Random(1).whole({length, 3}), dy = Random(2).whole({length, 3});
    const std::vector<int64_t> offsets{0, length};
    Tensors gradients[2];
    for (const bool recurrent : {false, true}) {
      Tape tape;
      for (const Tensor& t : x) tape.watch(t);
      tape.watch(u);
      const Legs s = legs(x);
      SlotValue state;
      const Slot slot{.sequences = {offsets}, .values = recurrent ? std::vector<SlotValue*>{&state} : std::vector<SlotValue*>{}};
      const Tensor filter = dplr_filter(s.system, s.Ct, length, length);
      tape.backward(long_conv(u, {.filter = filter, .recurrence = [&] { return dplr_recurrence(s.system, s.Ct, length); }}, slot), dy);
      for (const Tensor& t : x) gradients[recurrent].push_back(tape.gradient(t));
      gradients[recurrent].push_back(tape.gradient(u));
    }
    for (size_t i = 0; i < gradients[0].size(); ++i) EXPECT_TRUE(close(gradients[1][i], gradients[0][i], 1e-3)) << "input " << i << ", " << length;
  }
}
TEST(ConvMixers, AStreamedTokenDoesNotReadThePast) {   // work per token grows with the logarithm of the filter, squared
  Random r(3);
  double costs[2];
  for (int64_t taps : {1024, 16384}) {
    const Tensor k = r.whole({16, taps}), u = r.whole({taps, 16});
    SlotValue state;
    const std::vector<int64_t> one{0, 1};
    const testing::ProcessorTime time;
    for (int64_t t = 0; t < taps; ++t) (void)long_conv(u.slice(0, t, 1), {.filter = k}, {.sequences = {one}, .values = {&state}});
    costs[taps > 1024] = time.seconds() / static_cast<double>(taps);
  }
  EXPECT_LT(costs[1], 8 * costs[0]);                      // (14 / 10)^2; reading the past would be 16
}

}  // namespace
}  // namespace headrace
