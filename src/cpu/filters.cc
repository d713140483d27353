// Generators of filters (ops/kernels/filters.h) by loops that the compiler takes to vectors; a thread takes rows.
#include "ops/kernels/filters.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"

namespace headrace::cpu {
namespace {

using Number = std::complex<double>;

// Powers of a pole come by multiplying, 16 side by side, and begin anew from the exponential every 1024 taps: their error stays
// that of 64 products. A mode is left where it has sunk below exp(-60).
constexpr int lanes = 16, restart = 1024;
struct Powers {
  float re[lanes], im[lanes], step_re, step_im;
  Number log_pole;
  explicit Powers(Number log_pole) : log_pole(log_pole) {
    const Number step = std::exp(static_cast<double>(lanes) * log_pole);
    step_re = static_cast<float>(step.real()), step_im = static_cast<float>(step.imag());
  }
  void begin(int64_t tap, Number factor) {
    const Number one = std::exp(log_pole);
    Number p = factor * std::exp(static_cast<double>(tap) * log_pole);
    for (int i = 0; i < lanes; ++i, p *= one) re[i] = static_cast<float>(p.real()), im[i] = static_cast<float>(p.imag());
  }
  void advance() {
    for (int i = 0; i < lanes; ++i) {
      const float r = re[i] * step_re - im[i] * step_im;
      im[i] = re[i] * step_im + im[i] * step_re, re[i] = r;
    }
  }
  bool gone(int64_t tap) const { return log_pole.real() * static_cast<double>(tap) < -60; }
};

void filter_row(const ModalFilterArgs& a, int64_t c, std::vector<float>& row) {
  const int64_t taps = a.k.cols;
  row.assign(static_cast<size_t>(taps + lanes), 0);
  for (int64_t n = 0; n < a.residue.re.cols; ++n) {
    Powers p(at(a.log_pole, c, n));
    for (int64_t from = 0; from < taps && !p.gone(from); from += restart) {
      p.begin(from, at(a.residue, c, n));
      for (int64_t l = from; l < std::min(taps, from + restart); l += lanes, p.advance())
        for (int i = 0; i < lanes; ++i) row[static_cast<size_t>(l + i)] += p.re[i];
    }
  }
  std::copy_n(row.data(), taps, a.k[c]);
}

void gradient_row(const ModalFilterArgs& a, int64_t c, std::vector<float>& row) {
  const int64_t taps = a.k.cols;
  row.assign(static_cast<size_t>(taps + lanes), 0);
  std::copy_n(a.k[c], taps, row.data());
  for (int64_t n = 0; n < a.residue.re.cols; ++n) {
    Powers p(at(a.log_pole, c, n));
    Number sum = 0, timed = 0;
    for (int64_t from = 0; from < taps && !p.gone(from); from += restart) {
      float re[lanes]{}, im[lanes]{}, timed_re[lanes]{}, timed_im[lanes]{};      // time counts from `from` on here
      p.begin(from, 1);
      float t = 0;
      for (int64_t l = from; l < std::min(taps, from + restart); l += lanes, t += lanes, p.advance())
        for (int i = 0; i < lanes; ++i) {
          const float d = row[static_cast<size_t>(l + i)], dt = d * (t + static_cast<float>(i));
          re[i] += d * p.re[i], im[i] += d * p.im[i], timed_re[i] += dt * p.re[i], timed_im[i] += dt * p.im[i];
        }
      Number part = 0;
      for (int i = 0; i < lanes; ++i) part += Number(re[i], im[i]), timed += Number(timed_re[i], timed_im[i]);
      sum += part, timed += static_cast<double>(from) * part;
    }
    set(a.dresidue, c, n, std::conj(sum)), set(a.dlog_pole, c, n, std::conj(at(a.residue, c, n) * timed));
  }
}

// 2 (1 - x) and 1 + x at the roots of unity, and sums over the frequencies, in double: where a mode resonates its term's denominator
// is a small difference.
struct Roots {
  std::vector<double> low_re, low_im, high_re, high_im;
  explicit Roots(int64_t length) {
    for (int64_t k = 0; k <= length / 2; ++k) {
      const Number x = std::polar(1.0, -6.283185307179586477 * static_cast<double>(k) / static_cast<double>(length));
      low_re.push_back(2 - 2 * x.real()), low_im.push_back(-2 * x.imag()), high_re.push_back(1 + x.real()), high_im.push_back(x.imag());
    }
  }
};
// f(k, re, im of 1 / (2 (1-x) - (1+x) z)); the loop has no other call and becomes vectors.
template <class F>
void each_term(const Roots& x, Number z, F f) {
  const double zr = z.real(), zi = z.imag();
  const size_t K = x.low_re.size();
  for (size_t k = 0; k < K; ++k) {
    const double re = x.low_re[k] - x.high_re[k] * zr + x.high_im[k] * zi, im = x.low_im[k] - x.high_re[k] * zi - x.high_im[k] * zr;
    const double over = 1 / (re * re + im * im);
    f(k, re * over, -im * over);
  }
}
void cauchy_row(const CauchyArgs& a, const Roots& x, int64_t m) {
  const size_t K = x.low_re.size();
  std::vector<double> re(K), im(K);
  for (int64_t n = 0; n < a.w.re.cols; ++n) {
    const Number w = at(a.w, m, n), z = at(a.z, m % a.z.re.rows, n);
    for (double sign : {1.0, -1.0}) {
      const double wr = w.real(), wi = sign * w.imag();
      double *r = re.data(), *i = im.data();
      each_term(x, {z.real(), sign * z.imag()}, [=](size_t k, double or_, double oi) { r[k] += wr * or_ - wi * oi, i[k] += wr * oi + wi * or_; });
    }
  }
  for (size_t k = 0; k < K; ++k) a.r.re[m][k] = static_cast<float>(re[k]), a.r.im[m][k] = static_cast<float>(im[k]);
}
// All rows of w that meet row c of z: they share its gradient.
void cauchy_gradient(const CauchyArgs& a, const Roots& x, int64_t c) {
  const int64_t C = a.z.re.rows;
  for (int64_t n = 0; n < a.w.re.cols; ++n) {
    const Number z = at(a.z, c, n);
    Number dz = 0;
    for (int64_t m = c; m < a.w.re.rows; m += C) {
      const Number w = at(a.w, m, n);
      const float *dr = a.r.re[m], *di = a.r.im[m];
      Number dw = 0;
      for (double sign : {1.0, -1.0}) {
        double wr = 0, wi = 0, zr = 0, zi = 0;                   // sums of dr conj(1/d) and of dr conj((1+x)/d^2)
        each_term(x, {z.real(), sign * z.imag()}, [&](size_t k, double re, double im) {
          const double gr = dr[k], gi = di[k];
          wr += gr * re + gi * im, wi += gi * re - gr * im;
          const double sr = re * re - im * im, si = 2 * re * im;
          const double tr = sr * x.high_re[k] - si * x.high_im[k], ti = sr * x.high_im[k] + si * x.high_re[k];
          zr += gr * tr + gi * ti, zi += gi * tr - gr * ti;
        });
        const Number factor = sign > 0 ? std::conj(w) : w, of_w(wr, wi), of_z = Number(zr, zi) * factor;
        dw += sign > 0 ? of_w : std::conj(of_w), dz += sign > 0 ? of_z : std::conj(of_z);
      }
      set(a.dw, m, n, dw);
    }
    set(a.dz, c, n, dz);
  }
}

// In place, n = 2^k, in double: rows are few, and spectra of long filters span many powers of ten.
void transform(std::vector<Number>& x, bool back) {
  const size_t n = x.size();
  for (size_t i = 1, j = 0; i < n; ++i) {
    size_t bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    if (i < (j ^= bit)) std::swap(x[i], x[j]);
  }
  std::vector<Number> w(n / 2);
  for (size_t i = 0; i < n / 2; ++i) w[i] = std::polar(1.0, (back ? 1 : -1) * 6.283185307179586477 * static_cast<double>(i) / static_cast<double>(n));
  for (size_t half = 1; half < n; half *= 2)
    for (size_t begin = 0; begin < n; begin += 2 * half)
      for (size_t i = 0; i < half; ++i) {
        const Number f = w[i * (n / (2 * half))], b = x[begin + half + i];
        const Number turned(b.real() * f.real() - b.imag() * f.imag(), b.real() * f.imag() + b.imag() * f.real());
        x[begin + half + i] = x[begin + i] - turned, x[begin + i] += turned;
      }
}

}  // namespace

void complex_unary(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y) {
  parallel(z.re.rows, std::max<int64_t>(1, 256 / std::max<int64_t>(1, z.re.cols)), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; ++i)
      for (int64_t j = 0; j < z.re.cols; ++j) set(y, i, j, headrace::complex_unary(f, slope, at(z, i, j)));
  });
}

void modal_filter(const ModalFilterArgs& a) {
  parallel(a.k.rows, 1, [&](int64_t b, int64_t e, int) {
    std::vector<float> row;
    for (int64_t c = b; c < e; ++c) a.gradient ? gradient_row(a, c, row) : filter_row(a, c, row);
  });
}

void cauchy(const CauchyArgs& a) {
  const Roots x(a.length);
  parallel(a.gradient ? a.z.re.rows : a.w.re.rows, 1, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; ++i) a.gradient ? cauchy_gradient(a, x, i) : cauchy_row(a, x, i);
  });
}

void inverse_fourier(ComplexRows s, bool transposed, Rows x) {
  const int64_t n = x.cols;
  parallel(x.rows, 1, [&](int64_t b, int64_t e, int) {
    std::vector<Number> z(static_cast<size_t>(n));
    for (int64_t i = b; i < e; ++i) {
      if (transposed) {
        for (int64_t t = 0; t < n; ++t) z[static_cast<size_t>(t)] = x[i][t];
        transform(z, false);
        for (int64_t k = 0; k <= n / 2; ++k) {
          const bool single = k == 0 || 2 * k == n;
          const Number v = z[static_cast<size_t>(k)] * ((single ? 1.0 : 2.0) / static_cast<double>(n));
          set(s, i, k, single ? Number(v.real(), 0) : v);
        }
        continue;
      }
      for (int64_t k = 0; k <= n / 2; ++k) z[static_cast<size_t>(k)] = k == 0 || 2 * k == n ? Number(s.re[i][k], 0) : at(s, i, k);
      for (int64_t k = n / 2 + 1; k < n; ++k) z[static_cast<size_t>(k)] = std::conj(z[static_cast<size_t>(n - k)]);
      transform(z, true);
      for (int64_t t = 0; t < n; ++t) x[i][t] = static_cast<float>(z[static_cast<size_t>(t)].real() / static_cast<double>(n));
    }
  });
}

}  // namespace headrace::cpu
