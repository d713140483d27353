// The law `slope`: what backward gives is the derivative of the definition. The definition sums in double but answers in f32;
// inputs lie on a grid and steps are powers of two, so that the only noise of a difference is that last rounding, and a
// difference of sixth order over a step of 1/32 leaves it alone.
#pragma once
#include <functional>

#include "laws.h"
#include "ops/ops.h"
#include "ops/tape.h"
#include "ops/training.h"

namespace headrace {

using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;

// x rounded to multiples of 1/256, whole.
inline Tensor on_grid(const Tensor& x) {
  return map(x.contiguous_copy(), [](float v) { return std::isfinite(v) ? std::round(v * 256) / 256 : v; });
}

inline double inner(const Tensor& a, const Tensor& b) {
  std::vector<float> x = values_of(a), y = values_of(b);
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

// d/de sum_i <dy_i, f_i(x + e u)> of the definition.
inline double slope_along(const Function& f, const std::vector<Tensor>& x, size_t input, const Tensor& u, const std::vector<Tensor>& dy,
                          double step) {
  UseNaive naive;
  auto at = [&](int k) {
    std::vector<Tensor> moved = x;
    moved[input] = x[input].contiguous_copy();
    for (int64_t i = 0; i < u.count(); ++i) moved[input].f32()[i] += static_cast<float>(k * step) * u.f32()[i];
    std::vector<Tensor> y = f(moved);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += dy[i] ? inner(y[i], dy[i]) : 0;
    return sum;
  };
  return (45 * (at(1) - at(-1)) - 9 * (at(2) - at(-2)) + (at(3) - at(-3))) / (60 * step);
}

// Every input that is a non-empty f32 tensor is watched. Directions: each coordinate of small inputs, some of larger ones, and
// random ones over all (step_of_all).
inline void expect_slope(const Function& f, std::vector<Tensor> x, uint64_t seed, double tolerance = 2e-4, double step = 1.0 / 32,
                         double step_of_all = 1.0 / 32) {
  Random r(seed);
  for (Tensor& t : x)
    if (t) t = on_grid(t);
  Tape tape;
  for (const Tensor& t : x)
    if (t) tape.watch(t);
  std::vector<Tensor> y = f(x), dy;
  for (const Tensor& t : y) dy.push_back(on_grid(r.whole(t.shape())));
  for (size_t i = 0; i < y.size(); ++i)
    if (y[i].count()) tape.seed(y[i], dy[i]);
  tape.backward();
  PauseTape pause;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!x[i] || x[i].count() == 0) continue;
    Tensor g = tape.gradient(x[i]);
    if (!g) g = Tensor::zeros(x[i].shape());
    ASSERT_TRUE(g.shape() == x[i].shape());
    const double size = std::sqrt(inner(g, g) / static_cast<double>(g.count()));
    for (int64_t k = 0; k < std::min<int64_t>(x[i].count(), 12) + 3; ++k) {
      Tensor u = Tensor::zeros(x[i].shape());
      double length = 1;
      if (k < 3) {
        u = map(r.whole(x[i].shape()), [](float v) { return v > 0 ? 1.f : -1.f; });
        length = std::sqrt(static_cast<double>(u.count()));
      } else {
        u.f32()[x[i].count() <= 12 ? k - 3 : r.below(x[i].count())] = 1;
      }
      const double want = slope_along(f, x, i, u, dy, k < 3 ? step_of_all : step), got = inner(g, u);
      EXPECT_LE(std::abs(got - want), tolerance * (std::abs(want) + (size + 0.1) * length))
          << "input " << i << " direction " << k << ": " << got << ", the definition's slope is " << want;
    }
  }
}

}  // namespace headrace
