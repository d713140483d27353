// One row of alpha-entmax in double precision: p(x) = [1 + (alpha-1) (x - t)]_+^(1/(alpha-1)), sum 1; exp(x - t) where alpha is 1.
// In this form nothing is lost as alpha goes to 1: p = exp(log1p(u) / (alpha-1)), u = (alpha-1) (x - t).
// Backward: with s = dp/dx = p^(2-alpha) on the support and r = d log p / d alpha at a fixed t = (u/(1+u) - log1p(u)) / (alpha-1)^2,
// dx = s (dy - <s,dy>/sum s), dalpha = <dy, p r> - <s,dy>/sum s * sum p r.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace {

struct Entmax {
  double beta, t;                        // alpha - 1

  Entmax(double alpha, double threshold) : beta(alpha - 1), t(threshold) {}
  Entmax(const std::vector<double>& x, double alpha) : beta(alpha - 1) {
    const double top = *std::max_element(x.begin(), x.end()), n = static_cast<double>(x.size());
    double low = top, high = top + (beta > 0 ? -std::expm1(-beta * std::log(n)) / beta : std::log(n));
    for (int i = 0; i < 100; ++i) {
      t = (low + high) / 2;
      double sum = 0;
      for (double v : x) sum += value(v);
      (sum >= 1 ? low : high) = t;
    }
  }
  double u(double x) const { return beta * (x - t); }
  double value(double x) const { return beta > 0 ? u(x) > -1 ? std::exp(std::log1p(u(x)) / beta) : 0 : std::exp(x - t); }
  double slope(double x) const { return beta > 0 ? u(x) > -1 ? std::exp(std::log1p(u(x)) * (1 / beta - 1)) : 0 : std::exp(x - t); }
  double in_alpha(double x) const {      // p r
    const double v = u(x);
    if (value(x) == 0) return 0;
    if (beta <= 0) return -value(x) * (x - t) * (x - t) / 2;
    if (std::abs(v) > 1e-2) return (slope(x) * v - value(x) * std::log1p(v)) / (beta * beta);
    double sum = 0, power = v * v;       // u/(1+u) - log1p(u) = sum_n (-u)^n (n-1)/n, up to a sign
    for (int n = 2; n < 12; ++n, power *= v) sum += (n % 2 ? 1.0 : -1.0) * power * (n - 1) / n;
    return value(x) * sum / (beta * beta);
  }
};

struct EntmaxSlopes {
  const Entmax& p;
  double mean = 0, dalpha = 0;           // <s,dy> / sum s

  template <class F>
  EntmaxSlopes(const Entmax& row, const std::vector<double>& x, F dy) : p(row) {
    double total = 0, moved = 0;
    for (size_t j = 0; j < x.size(); ++j) {
      const double s = p.slope(x[j]), r = p.in_alpha(x[j]);
      mean += s * dy(j), total += s, dalpha += dy(j) * r, moved += r;
    }
    mean /= total, dalpha -= mean * moved;
  }
  double dx(double x, double dy) const { return p.slope(x) * (dy - mean); }
};

}  // namespace headrace
