// HiPPO-LegS diagonalised, and the filters of S4 (Gu et al. 2020, 2008.07669; 2022, 2111.00396; equations: hippo.h). What is done
// once per layer is in double precision: -i (A + P P^T + 1/2) is Hermitian, so Jacobi's rotations give its eigenvectors; A's
// inverse is Woodbury's.
#include "mixers/hippo.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "ops/modal_scan.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

using Number = std::complex<double>;
using Matrix = std::vector<Number>;              // [n,n] by rows

// Eigenvalues of a Hermitian matrix, which becomes diagonal; V's columns are its eigenvectors (Jacobi's rotations).
void diagonalise(Matrix& A, Matrix& V, int64_t n) {
  V.assign(static_cast<size_t>(n * n), 0);
  for (int64_t i = 0; i < n; ++i) V[static_cast<size_t>(i * n + i)] = 1;
  auto a = [&](int64_t i, int64_t j) -> Number& { return A[static_cast<size_t>(i * n + j)]; };
  for (int sweep = 0; sweep < 40; ++sweep) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) (i == j ? all : off) += std::norm(a(i, j));
    if (off < 1e-30 * all) return;
    for (int64_t p = 0; p < n; ++p)
      for (int64_t q = p + 1; q < n; ++q) {
        const double size = std::abs(a(p, q));
        if (size < 1e-300) continue;
        const Number phase = a(p, q) / size;
        const double theta = (a(q, q).real() - a(p, p).real()) / (2 * size);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(1 + theta * theta)), c = 1 / std::sqrt(1 + t * t);
        const Number s = t * c * phase;
        auto columns = [&](Number& x, Number& y) { const Number u = x; x = c * u - std::conj(s) * y, y = s * u + c * y; };
        auto rows = [&](Number& x, Number& y) { const Number u = x; x = c * u - s * y, y = std::conj(s) * u + c * y; };
        for (int64_t i = 0; i < n; ++i) columns(a(i, p), a(i, q)), columns(V[static_cast<size_t>(i * n + p)], V[static_cast<size_t>(i * n + q)]);
        for (int64_t i = 0; i < n; ++i) rows(a(p, i), a(q, i));
      }
  }
}

// One channel with all its 2 N states.
struct Full {
  int64_t n;
  double dt;
  Matrix lambda, P, B;                           // [n]
  Full(const Dplr& s, int64_t h) : n(2 * s.A.dim(1)), dt(s.dt.f32()[h]) {
    auto both = [&](const Tensor& x, Matrix& y) {
      const float* pairs = x.f32() + h * n;
      for (int64_t i = 0; i < n; ++i) {
        const Number v(pairs[i % (n / 2) * 2], pairs[i % (n / 2) * 2 + 1]);
        y.push_back(i < n / 2 ? v : std::conj(v));
      }
    };
    both(s.A, lambda), both(s.P, P), both(s.B, B);
  }
  // (2/dt - A)^-1 w, A = diag(lambda) - P P^*, by Woodbury's identity.
  void resolve(Number* w) const {
    Number top = 0, under = 1;
    for (int64_t i = 0; i < n; ++i) {
      const size_t k = static_cast<size_t>(i);
      const Number e = 1.0 / (2 / dt - lambda[k]);
      w[i] *= e, top += std::conj(P[k]) * w[i], under += std::norm(P[k]) * e;
    }
    for (int64_t i = 0; i < n; ++i) w[i] -= P[static_cast<size_t>(i)] / (2 / dt - lambda[static_cast<size_t>(i)]) * (top / under);
  }
  Matrix discrete_A() const {                    // (2/dt - A)^-1 (2/dt + A), column by column
    Matrix A(static_cast<size_t>(n * n)), column(static_cast<size_t>(n));
    for (int64_t j = 0; j < n; ++j) {
      const size_t J = static_cast<size_t>(j);
      for (size_t i = 0; i < column.size(); ++i) column[i] = -P[i] * std::conj(P[J]) + (i == J ? 2 / dt + lambda[i] : 0.0);
      resolve(column.data());
      for (int64_t i = 0; i < n; ++i) A[static_cast<size_t>(i * n + j)] = column[static_cast<size_t>(i)];
    }
    return A;
  }
  Matrix discrete_B() const {
    Matrix b;
    for (const Number& v : B) b.push_back(2.0 * v);
    resolve(b.data());
    return b;
  }
};
Matrix product(const Matrix& a, const Matrix& b, int64_t n) {
  Matrix c(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < n; ++k) {
      const double re = a[static_cast<size_t>(i * n + k)].real(), im = a[static_cast<size_t>(i * n + k)].imag();
      for (int64_t j = 0; j < n; ++j) {
        const Number& x = b[static_cast<size_t>(k * n + j)];
        c[static_cast<size_t>(i * n + j)] += Number(re * x.real() - im * x.imag(), re * x.imag() + im * x.real());
      }
    }
  return c;
}
void put(const Number& v, float* to) { to[0] = static_cast<float>(v.real()), to[1] = static_cast<float>(v.imag()); }

}  // namespace

Hippo hippo_legs(int64_t N) {
  const int64_t n = 2 * N;
  // A + P P^T + 1/2 is skew: -i times it is Hermitian.
  Matrix S(static_cast<size_t>(n * n)), V;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const double half = 0.5 * std::sqrt((2.0 * static_cast<double>(i) + 1) * (2.0 * static_cast<double>(j) + 1));
      S[static_cast<size_t>(i * n + j)] = i == j ? 0 : Number(0, i > j ? half : -half);      // -i (-half below, half above)
    }
  diagonalise(S, V, n);
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  auto imaginary = [&](int64_t i) { return S[static_cast<size_t>(i * n + i)].real(); };
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return imaginary(a) < imaginary(b); });
  Hippo h;
  for (int64_t k = N; k < n; ++k) {
    const int64_t e = order[static_cast<size_t>(k)];
    Number p = 0, b = 0;
    for (int64_t i = 0; i < n; ++i) {
      const Number v = std::conj(V[static_cast<size_t>(i * n + e)]);
      p += v * std::sqrt(static_cast<double>(i) + 0.5), b += v * std::sqrt(2.0 * static_cast<double>(i) + 1);
    }
    h.lambda.emplace_back(-0.5, imaginary(e)), h.P.push_back(p), h.B.push_back(b);
  }
  return h;
}

Discrete discretised(const Dplr& s) {
  const int64_t H = s.dt.count(), n = 2 * s.A.dim(1);
  Discrete d{Tensor::empty({H, n, n, 2}), Tensor::empty({H, n, 2})};
  parallel(H, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t h = from; h < to; ++h) {
      const Full f(s, h);
      const Matrix A = f.discrete_A(), B = f.discrete_B();
      for (int64_t i = 0; i < n * n; ++i) put(A[static_cast<size_t>(i)], d.A.f32() + (h * n * n + i) * 2);
      for (int64_t i = 0; i < n; ++i) put(B[static_cast<size_t>(i)], d.B.f32() + (h * n + i) * 2);
    }
  });
  return d;
}

Tensor truncated(const Dplr& s, const Tensor& C, int64_t length) {
  const int64_t H = s.dt.count(), N = s.A.dim(1), n = 2 * N;
  Tensor Ct = C.contiguous_copy();
  parallel(H, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t h = from; h < to; ++h) {
      const Full f(s, h);
      Matrix c, square = f.discrete_A();
      for (int64_t i = 0; i < n; ++i) {
        const float* v = C.f32() + (h * N + i % N) * 2;
        c.emplace_back(v[0], i < N ? v[1] : -v[1]);
      }
      Matrix power = c;                                                    // C A^length, from the length's bits
      for (int64_t left = length; left > 0; left /= 2) {
        if (left % 2) {
          Matrix next(power.size());
          for (int64_t i = 0; i < n; ++i)
            for (int64_t j = 0; j < n; ++j) next[static_cast<size_t>(j)] += power[static_cast<size_t>(i)] * square[static_cast<size_t>(i * n + j)];
          power = next;
        }
        if (left > 1) square = product(square, square, n);
      }
      for (int64_t i = 0; i < N; ++i) put(c[static_cast<size_t>(i)] - power[static_cast<size_t>(i)], Ct.f32() + (h * N + i) * 2);
    }
  });
  return Ct;
}

// K^ = r00 - (p/2) r01 r10 / (1 + (p/2) r11), p = 1 + x, r_ab the sums of 2 dt v_ab / (2 (1 - x) - (1 + x) dt lambda) and partners.
Tensor dplr_filter(const DplrSystem& s, const Complex& Ct, int64_t length, int64_t taps) {
  const int64_t H = Ct.re.dim(0), K = length / 2 + 1;
  const Complex Q = conj(s.P);
  const Complex v[] = {Ct * s.B, Ct * s.P, Q * s.B, Q * s.P};
  Complex w{concat_rows({v[0].re, v[1].re, v[2].re, v[3].re}), concat_rows({v[0].im, v[1].im, v[2].im, v[3].im})};
  const Tensor dt4 = concat_rows({s.dt, s.dt, s.dt, s.dt});
  const Complex r = cauchy(2.f * (w * dt4), s.lambda * s.dt, length);
  auto sum = [&](int64_t i) { return Complex{r.re.slice(0, i * H, H), r.im.slice(0, i * H, H)}; };
  Tensor re = Tensor::empty({K}), im = Tensor::empty({K}), one = Tensor::zeros({H, K}, DType::f32, Ct.re.device());
  for (int64_t k = 0; k < K; ++k) {
    const double angle = 6.283185307179586477 * static_cast<double>(k) / static_cast<double>(length);
    re.f32()[k] = static_cast<float>(0.5 * (1 + std::cos(angle))), im.f32()[k] = static_cast<float>(-0.5 * std::sin(angle));
  }
  const Complex half{copy_to(re, Ct.re.device()), copy_to(im, Ct.re.device())};          // p / 2, one row for all channels
  const Complex low = sum(3) * half, under{low.re + exp(one), low.im};
  const Complex spectrum = sum(0) - sum(1) * half * sum(2) * reciprocal(under);
  const Tensor k = inverse_fourier(spectrum, length);
  return taps == length ? k : concat({k.slice(1, 0, taps)});
}

// With G = 1 / (1 - dt lambda / 2) and D = dt G / 2: Ab = diag(4 D / dt - 1) - (4 / dt) (D P) (P^* D) / (1 + P^* D P), Bb = 2 (2/dt - A)^-1 B.
// P^* x is a sum over all states: twice the real part of that over the half that is kept, so a row is 2 conj(P) D.
Modes dplr_recurrence(const DplrSystem& s, const Complex& C) {
  const int64_t H = C.re.dim(0);
  const Complex z = s.lambda * s.dt, gain = unary(ComplexUnary::bilinear_gain, z), P = gain * s.P, B = gain * s.B, row = conj(s.P) * gain * s.dt;
  auto sum = [&](const Tensor& x) { return sum_columns(x).view({H, 1}); };
  const Tensor one = exp(Tensor::zeros({H, 1}, DType::f32, s.dt.device()));
  const Complex PP = conj(s.P) * P, PB = conj(s.P) * B;
  const Tensor under = reciprocal(one + s.dt * sum(PP.re));
  auto whole = [](const Complex& x) { return transposed(concat({x.re, x.im})); };
  return {.pole = whole(exp(unary(ComplexUnary::bilinear_log, z))), .residue = whole(2.f * C),
          .input = whole((B - P * (s.dt * sum(PB.re) * under)) * s.dt), .column = whole(2.f * (P * under)), .row = whole(row)};
}
Modes dplr_recurrence(const DplrSystem& s, const Complex& Ct, int64_t length) {
  Modes m = dplr_recurrence(s, Ct);
  m.residue = untruncated(m, m.residue, length);
  return m;
}

// Over the places of the state, a convolution with those that follow.
Tensor shift_filter(const Tensor& B, const Tensor& C) {
  const std::vector<int64_t> places{0, B.dim(1)};
  const Tensor first = concat({B.slice(1, 0, 1)}).view({B.dim(0)}), rest = B.dim(1) > 1 ? B.slice(1, 1, B.dim(1) - 1) : Tensor{};
  const Slot all{.sequences = {places}, .values = {}};
  return transposed(long_conv(transposed(C), {.filter = {}, .skip = first, .ahead = rest}, all));
}

}  // namespace headrace
