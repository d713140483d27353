// The definitions of the filters' generators in double precision: plain sums (ops/kernels/filters.h).
#include "ops/kernels/filters.h"
#include "ops/naive_sequence.h"

#include <vector>

namespace headrace::naive {
namespace {
using Number = std::complex<double>;
constexpr double turn = 6.283185307179586477;
}  // namespace

void complex_unary(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y) {
  for (int64_t i = 0; i < z.re.rows; ++i)
    for (int64_t j = 0; j < z.re.cols; ++j) set(y, i, j, headrace::complex_unary(f, slope, at(z, i, j)));
}

// d residue = conj(sum_l dk_l p^l), d log_pole = conj(residue sum_l l dk_l p^l)
void modal_filter(const ModalFilterArgs& a) {
  for (int64_t c = 0; c < a.k.rows; ++c) {
    std::vector<double> k(static_cast<size_t>(a.k.cols));
    for (int64_t n = 0; n < a.residue.re.cols; ++n) {
      Number sum = 0, timed = 0;
      for (int64_t l = 0; l < a.k.cols; ++l) {
        const Number p = std::exp(static_cast<double>(l) * at(a.log_pole, c, n));
        k[static_cast<size_t>(l)] += (at(a.residue, c, n) * p).real();
        if (a.gradient) sum += double{a.k[c][l]} * p, timed += static_cast<double>(l) * a.k[c][l] * p;
      }
      if (a.gradient) set(a.dresidue, c, n, std::conj(sum)), set(a.dlog_pole, c, n, std::conj(at(a.residue, c, n) * timed));
    }
    for (int64_t l = 0; !a.gradient && l < a.k.cols; ++l) a.k[c][l] = static_cast<float>(k[static_cast<size_t>(l)]);
  }
}

void cauchy(const CauchyArgs& a) {
  const int64_t M = a.w.re.rows, C = a.z.re.rows, N = a.w.re.cols, K = a.length / 2 + 1;
  for (int64_t c = 0; c < C; ++c)
    for (int64_t n = 0; n < N && a.gradient; ++n) set(a.dz, c, n, 0);
  for (int64_t m = 0; m < M; ++m) {
    const int64_t c = m % C;
    std::vector<Number> r(static_cast<size_t>(K));
    for (int64_t n = 0; n < N; ++n) {
      const Number w = at(a.w, m, n), z = at(a.z, c, n);
      Number dw = 0, dz = 0;
      for (int64_t k = 0; k < K; ++k) {
        const Number x = std::polar(1.0, -turn * static_cast<double>(k) / static_cast<double>(a.length));
        const Number one = 1.0 / (2.0 * (1.0 - x) - (1.0 + x) * z), other = 1.0 / (2.0 * (1.0 - x) - (1.0 + x) * std::conj(z));
        r[static_cast<size_t>(k)] += w * one + std::conj(w) * other;
        if (!a.gradient) continue;
        const Number dr = at(a.r, m, k);
        dw += dr * std::conj(one) + std::conj(dr) * other;
        dz += dr * std::conj(w * one * one * (1.0 + x)) + std::conj(dr) * std::conj(w) * other * other * (1.0 + x);
      }
      if (a.gradient) set(a.dw, m, n, dw), set(a.dz, c, n, at(a.dz, c, n) + dz);
    }
    for (int64_t k = 0; !a.gradient && k < K; ++k) set(a.r, m, k, r[static_cast<size_t>(k)]);
  }
}

// x_t = 1/n sum over all n frequencies, those beyond n/2 the conjugates of those before; the transposed map for gradients.
void inverse_fourier(ComplexRows s, bool transposed, Rows x) {
  const int64_t n = x.cols;
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t k = 0; transposed && k <= n / 2; ++k) {
      Number sum = 0;
      for (int64_t t = 0; t < n; ++t) sum += double{x[i][t]} * std::polar(1.0, -turn * static_cast<double>(k * t % n) / static_cast<double>(n));
      const bool single = k == 0 || 2 * k == n;
      sum *= (single ? 1.0 : 2.0) / static_cast<double>(n);
      set(s, i, k, single ? Number(sum.real(), 0) : sum);
    }
    for (int64_t t = 0; !transposed && t < n; ++t) {
      double sum = 0;
      for (int64_t k = 0; k <= n / 2; ++k)
        sum += (k == 0 || 2 * k == n ? 1 : 2) *
               (at(s, i, k) * std::polar(1.0, turn * static_cast<double>(k * t % n) / static_cast<double>(n))).real();
      x[i][t] = static_cast<float>(sum / static_cast<double>(n));
    }
  }
}

}  // namespace headrace::naive
