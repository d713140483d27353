// Fitting modes to a filter (Massaroli et al. 2023, 2310.18780; method: modal_fit.h). A channel is a task: LAPACK runs on one thread in each.
#include "mixers/modal_fit.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

extern "C" {                                       // LAPACK, columns first
void dsyevd_(const char* vectors, const char* triangle, const int* n, double* a, const int* lda, double* w, double* work, const int* lwork,
             int* iwork, const int* liwork, int* info);
void dgeev_(const char* left, const char* right, const int* n, double* a, const int* lda, double* re, double* im, double* vl, const int* ldvl,
            double* vr, const int* ldvr, double* work, const int* lwork, int* info);
void dposv_(const char* triangle, const int* n, const int* columns, double* a, const int* lda, double* b, const int* ldb, int* info);
}

namespace headrace {
namespace {

using Number = std::complex<double>;
using Vector = std::vector<double>;

constexpr int most_rows = 256, most_steps = 40;
constexpr double slowest = -1e-5, fastest = -3;    // log |p|: no mode grows; one that is gone after a tap is no mode

size_t z(int64_t i) { return static_cast<size_t>(i); }

// The eigenvectors of the Hankel matrix of h_1.., by the size of their eigenvalues, as far as these are not rounding: columns of m numbers.
Vector hankel_vectors(const Vector& h, int m, int most, int& count) {
  Vector a(z(m) * z(m)), w(z(m)), vectors;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < m; ++j) a[z(i) * z(m) + z(j)] = h[z(1 + i + j)];
  const int lwork = 1 + 6 * m + 2 * m * m, liwork = 3 + 5 * m;
  Vector work(z(lwork));
  std::vector<int> iwork(z(liwork)), order(z(m));
  int info = 0;
  dsyevd_("V", "L", &m, a.data(), &m, w.data(), work.data(), &lwork, iwork.data(), &liwork, &info);
  expect(info == 0, "fit_modes: the eigenvalues of a filter's Hankel matrix do not converge");
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return std::abs(w[z(i)]) > std::abs(w[z(j)]); });
  for (count = 0; count < std::min(most, m - 1) && std::abs(w[z(order[z(count)])]) > 1e-12 * std::abs(w[z(order[0])]); ++count)
    vectors.insert(vectors.end(), a.begin() + int64_t{order[z(count)]} * m, a.begin() + int64_t{order[z(count)] + 1} * m);
  return vectors;
}

// Poles with imaginary parts of at least 0, one of each pair: of the largest order that gives at most `modes`.
std::vector<Number> realised(const Vector& h, int64_t modes) {
  const int m = static_cast<int>(std::min<int64_t>(most_rows, std::ssize(h) / 2));
  int order = 0;
  if (m < 2) return {};
  const Vector U = hankel_vectors(h, m, static_cast<int>(2 * modes), order);
  for (int r = order; r > 0; --r) {
    // O[:-1]^T O[:-1] = 1 - v v^T, v the last row of orthonormal columns.
    Vector v(z(r)), A(z(r) * z(r)), re(z(r)), im(z(r)), work(z(8 * r));
    double square = 0;
    for (int i = 0; i < r; ++i) v[z(i)] = U[z(i) * z(m) + z(m - 1)], square += v[z(i)] * v[z(i)];
    for (int j = 0; j < r; ++j) {
      double along = 0;
      for (int i = 0; i < r; ++i) {
        const auto above = U.begin() + int64_t{i} * m, below = U.begin() + int64_t{j} * m + 1;
        A[z(j) * z(r) + z(i)] = std::inner_product(above, above + m - 1, below, 0.0);
        along += v[z(i)] * A[z(j) * z(r) + z(i)];
      }
      for (int i = 0; i < r; ++i) A[z(j) * z(r) + z(i)] += v[z(i)] * along / std::max(1e-12, 1 - square);
    }
    const int one = 1, lwork = 8 * r;
    int info = 0;
    dgeev_("N", "N", &r, A.data(), &r, re.data(), im.data(), nullptr, &one, nullptr, &one, work.data(), &lwork, &info);
    std::vector<Number> poles;
    for (int i = 0; info == 0 && i < r; ++i)
      if (im[z(i)] >= 0) poles.emplace_back(re[z(i)], im[z(i)]);
    if (info == 0 && std::ssize(poles) <= modes) return poles;
  }
  return {};
}

// log p and R of modes that are to give h_t = Re sum R p^(t-1), t >= 1: real numbers, four a mode.
struct Fit {
  const Vector& h;
  int64_t modes, taps = std::ssize(h) - 1;
  Vector x;                                        // Re R, Im R, Re log p, Im log p by mode

  void bound() {
    for (int64_t n = 0; n < modes; ++n) x[z(4 * n + 2)] = std::clamp(x[z(4 * n + 2)], fastest, slowest);
  }
  // What is left of h, and the columns of the Jacobian, [taps] each.
  double residual(Vector& left, Vector* columns) const {
    left.assign(h.begin() + 1, h.end());
    if (columns) columns->assign(z(4 * modes * taps), 0);
    for (int64_t n = 0; n < modes; ++n) {
      const Number R(x[z(4 * n)], x[z(4 * n + 1)]), p = std::exp(Number(x[z(4 * n + 2)], x[z(4 * n + 3)]));
      Number power = 1;
      for (int64_t t = 0; t < taps; ++t, power *= p) {
        const Number value = R * power, slope = static_cast<double>(t) * value;
        left[z(t)] -= value.real();
        if (!columns) continue;
        double* c = columns->data() + 4 * n * taps + t;
        c[0] = power.real(), c[taps] = -power.imag(), c[2 * taps] = slope.real(), c[3 * taps] = -slope.imag();
      }
    }
    return std::inner_product(left.begin(), left.end(), left.begin(), 0.0);
  }
  // The step of (J^T J + damping diag) step = J^T left over the unknowns that `stride` and `used` pick: all, or the residues alone.
  Vector step(const Vector& columns, const Vector& left, double damping, bool residues_alone) const {
    Vector picked, b;
    for (int64_t i = 0; i < 4 * modes; ++i)
      if (!residues_alone || i % 4 < 2) picked.insert(picked.end(), columns.begin() + i * taps, columns.begin() + (i + 1) * taps);
    const int n = static_cast<int>(std::ssize(picked) / taps), T = static_cast<int>(taps), one = 1;
    Vector A(z(n) * z(n));
    b.resize(z(n));
    cblas_dsyrk(CblasColMajor, CblasLower, CblasTrans, n, T, 1, picked.data(), T, 0, A.data(), n);
    cblas_dgemv(CblasColMajor, CblasTrans, T, n, 1, picked.data(), T, left.data(), 1, 0, b.data(), 1);
    double largest = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, A[z(i) * z(n + 1)]);
    for (int i = 0; i < n; ++i) A[z(i) * z(n + 1)] += damping * A[z(i) * z(n + 1)] + 1e-14 * largest + 1e-300;
    int info = 0;
    dposv_("L", &n, &one, A.data(), &n, b.data(), &n, &info);
    if (info != 0) std::fill(b.begin(), b.end(), 0.0);
    if (!residues_alone) return b;
    Vector all(z(4 * modes));
    for (int64_t i = 0; i < 2 * modes; ++i) all[z(i / 2 * 4 + i % 2)] = b[z(i)];
    return all;
  }
  void refine() {
    Vector left, columns, tried_left;
    double error = residual(left, &columns), damping = 1e-3;
    auto attempt = [&](const Vector& by) {
      Fit tried = *this;
      for (size_t i = 0; i < x.size(); ++i) tried.x[i] += by[i];
      tried.bound();
      const double now = tried.residual(tried_left, nullptr);
      if (!(now < error)) return false;
      x = tried.x, error = residual(left, &columns);
      return true;
    };
    for (const double d : {0.0, 1e-10}) attempt(step(columns, left, d, true));
    for (int i = 0; i < most_steps && damping < 1e6; ++i) {
      const double before = error;
      if (!attempt(step(columns, left, damping, false))) {
        damping *= 8;
        continue;
      }
      damping = std::max(1e-12, damping / 8);
      if (error > 0.999 * before) break;
    }
  }
};

}  // namespace

ModalFit fit_modes(const Tensor& filter, int64_t modes) {
  expect(filter.rank() == 2 && filter.dtype() == DType::f32 && filter.device() == Device::cpu && filter.dim(1) >= 1 && modes >= 1,
         "fit_modes: filter ", filter.shape(), " on ", filter.device(), ", modes ", modes);
  openblas_set_num_threads(1);                       // the threads are ours
  const int64_t C = filter.dim(0), taps = filter.dim(1);
  const Shape pairs{C, modes, 2};
  ModalFit fit{.log_pole = Tensor::zeros(pairs), .residue = Tensor::zeros(pairs), .rest = Tensor::empty({C}), .error = Tensor::empty({C})};
  Vector squares(z(C)), sizes(z(C));
  parallel(C, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t c = from; c < to; ++c) {
      const float* row = filter.f32() + c * filter.stride(0);
      const Vector h(row, row + taps);
      Fit f{.h = h, .modes = 0, .x = {}};
      for (const Number& p : realised(h, modes)) {
        const double angle = std::abs(p) > 0 ? std::arg(p) : 0;
        f.x.insert(f.x.end(), {0, 0, std::log(std::max(1e-9, std::abs(p))), angle}), ++f.modes;
      }
      if (f.modes > 0) f.bound(), f.refine();
      // What the stored numbers say, not what was meant.
      float *log_pole = fit.log_pole.f32() + c * modes * 2, *residue = fit.residue.f32() + c * modes * 2;
      for (int64_t n = 0; n < modes; ++n) log_pole[2 * n] = static_cast<float>(fastest);
      Vector left = h;
      for (int64_t n = 0; n < f.modes; ++n) {
        const Number log_p(f.x[z(4 * n + 2)], f.x[z(4 * n + 3)]), R = Number(f.x[z(4 * n)], f.x[z(4 * n + 1)]) / std::exp(log_p);
        log_pole[2 * n] = static_cast<float>(log_p.real()), log_pole[2 * n + 1] = static_cast<float>(log_p.imag());
        residue[2 * n] = static_cast<float>(R.real()), residue[2 * n + 1] = static_cast<float>(R.imag());
        const Number stored(residue[2 * n], residue[2 * n + 1]), p = std::exp(Number(log_pole[2 * n], log_pole[2 * n + 1]));
        Number power = stored;
        for (int64_t t = 0; t < taps; ++t, power *= p) left[z(t)] -= power.real();
      }
      fit.rest.f32()[c] = static_cast<float>(left[0]), left[0] -= fit.rest.f32()[c];
      double sum = 0;
      for (double e : left) sum += std::abs(e), squares[z(c)] += e * e;
      for (double v : h) sizes[z(c)] += v * v;
      fit.error.f32()[c] = static_cast<float>(sum);
    }
  });
  const double size = std::accumulate(sizes.begin(), sizes.end(), 0.0);
  fit.relative = size > 0 ? std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0) / size) : 0;
  return fit;
}

}  // namespace headrace
