// Filters as sums of modes: what the fit finds, the bound that it reports, and a Hyena whose state is constant.
#include <gtest/gtest.h>

#include <complex>

#include "laws.h"
#include "mixers/hyena.h"
#include "model_logits.h"
#include "models/blueprint.h"
#include "ops/complex.h"

namespace headrace {
namespace {

Modes modes_of(const ModalFit& f) { return modes_of(exp(complex_of_pairs(f.log_pole)), complex_of_pairs(f.residue)); }

TEST(Modal, AFilterOfModesIsFoundAgain) {
  const int64_t C = 3, taps = 200;
  Tensor filter = Tensor::zeros({C, taps});
  for (int64_t c = 0; c < C; ++c) {
    filter.f32()[c * taps] = 5;                            // the first tap belongs to no mode
    for (int64_t n = 0; n < 3; ++n) {
      const double angle = n == 0 ? 0 : 0.4 * static_cast<double>(n) + 0.1 * static_cast<double>(c);
      const std::complex<double> p = std::polar(0.99 - 0.03 * static_cast<double>(n), angle), R(1 - 0.3 * static_cast<double>(n), n ? 0.5 : 0);
      for (int64_t t = 1; t < taps; ++t) filter.f32()[c * taps + t] += static_cast<float>((R * std::pow(p, static_cast<double>(t))).real());
    }
  }
  for (int64_t modes : {3, 8}) {
    const ModalFit f = fit_modes(filter, modes);
    EXPECT_LT(f.relative, 1e-6) << modes;
    const Tensor again = modal_filter(complex_of_pairs(f.log_pole), complex_of_pairs(f.residue), taps);
    for (int64_t c = 0; c < C; ++c) again.f32()[c * taps] += f.rest.f32()[c];
    EXPECT_TRUE(close(again, filter, 1e-5)) << modes;
  }
}

TEST(Modal, AFilterOfAFewTapsOrOfNothingIsMet) {
  for (int64_t taps : {1, 2, 3, 7})
    for (bool zero : {false, true}) {
      Random r(3);
      const Tensor filter = map(r.whole({2, taps}), [=](float v) { return zero ? 0.f : v; });
      const ModalFit f = fit_modes(filter, 16);
      for (const Tensor* t : {&f.log_pole, &f.residue, &f.rest, &f.error})
        for (float v : t->floats()) EXPECT_TRUE(std::isfinite(v)) << taps;
      for (int64_t i = 0; i < f.log_pole.count(); i += 2) EXPECT_LT(f.log_pole.f32()[i], 0);
      EXPECT_EQ(f.relative, zero || taps == 1 ? 0 : f.relative);
    }
}

// A model of Hyenas, and the same with modes made of their filters.
struct Both {
  Model taps, modes;
  double relative = 0;
};
Both distilled(const std::string& text, const std::string& with, const Hyena::Options& o, int modes) {
  auto source = initialised({.seed = 7});
  Both b{.taps = build_blueprint(parse_blueprint(text), source), .modes = {}};
  auto all = std::make_shared<std::map<std::string, Tensor>>();
  for (const auto& [name, p] : source->kept) (*all)[name] = p.value;
  for (int64_t layer = 0; layer < 2; ++layer) {
    const ModalHyena m = with_modes(Scope(source) / "layers" / layer / 0 / "hyena", o, modes);
    for (const auto& [name, t] : m.tensors) (*all)[name] = t;
    b.relative = std::max(b.relative, m.fit.relative);
  }
  auto made = std::make_shared<Source>();
  made->pack = false;
  made->find = [all](const std::string& name) { return all->contains(name) ? all->at(name) : Tensor{}; };
  made->names = [] { return std::vector<std::string>{}; };
  b.modes = build_blueprint(parse_blueprint(with), made);
  made->finish();
  return b;
}

TEST(Modal, AHyenaOfModesStaysWithinTheReportedError) {
  const Hyena::Options o{.width = 32, .order = 2, .length = 256, .filter = 64, .bands = 16, .modes = 0, .frequency = 1};
  const int modes = 16;
  auto source = initialised({.seed = 7});
  const Scope s = Scope(source) / "hyena";
  const Hyena h = Hyena::bind(s, o);
  const ModalHyena m = with_modes(s, o, modes);
  const std::vector<int64_t> offsets{0, 200};
  const Slot all{.sequences = {offsets}, .values = {}};
  Random r(5);
  const Tensor u = r.whole({200, 32});
  const Tensor want = long_conv(u, {.filter = h.filter, .skip = h.bias}, all);
  const Tensor got = long_conv(u, {.filter = {}, .skip = h.bias + m.fit.rest, .modes = modes_of(m.fit)}, all);
  float most[32] = {};
  for (int64_t i = 0; i < u.count(); ++i) most[i % 32] = std::max(most[i % 32], std::abs(u.f32()[i]));
  for (int64_t i = 0; i < u.count(); ++i)
    ASSERT_LE(std::abs(got.f32()[i] - want.f32()[i]), m.fit.error.f32()[i % 32] * most[i % 32] + 2e-5f) << "channel " << i % 32;
  EXPECT_LT(m.fit.relative, 2e-2);
}

TEST(Modal, LogitsOfADistilledModelAreThoseOfTheConvolutionsAndItsStateIsConstant) {
  const Hyena::Options o{.width = 32, .order = 2, .length = 256, .filter = 64, .bands = 16, .modes = 0, .frequency = 1};
  const Both b = distilled("d=32 vocab=64 2*(hyena(length=256) + mlp)", "d=32 vocab=64 2*(hyena(length=256, modes=16) + mlp)", o, 16);
  std::vector<int32_t> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(i * 37 % 64);
  const Tensor want = logits_in_steps(b.taps.decoder, ids, nullptr, 200);
  const Tensor got = logits_in_steps(b.modes.decoder, ids, nullptr, 200);
  EXPECT_LT(relative_error(got, want), 2 * b.relative);
  State state;
  const Tensor stepwise = logits_in_steps(b.modes.decoder, ids, &state, 1);
  EXPECT_LT(relative_error(stepwise, got), 1e-5);
  EXPECT_EQ(state.bytes(), 2 * sizeof(float) * (2 * 3 * 32 + 2 * 16 * 32));
}

}  // namespace
}  // namespace headrace
