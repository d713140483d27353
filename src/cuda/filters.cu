// What generates long_conv's filters from state-space models (ops/kernels/filters.h), in double precision: a thread for each result.
#include <cuda/std/complex>

#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "ops/kernels/filters.h"

namespace headrace::cuda {
namespace {

using Number = ::cuda::std::complex<double>;
__device__ Number number(const ComplexRows& z, int64_t i, int64_t j) { return {z.re[i][j], z.im[i][j]}; }
__device__ void store(const ComplexRows& z, int64_t i, int64_t j, Number v) {
  z.re[i][j] = static_cast<float>(v.real()), z.im[i][j] = static_cast<float>(v.imag());
}
__device__ Number on_circle(double half_turns) {
  double s, c;
  sincospi(half_turns, &s, &c);
  return {c, s};
}

void forward_only(const char* kernel, bool gradient) { expect(!gradient, "cuda: the kernel '", kernel, "' gives no gradients"); }

}  // namespace

void complex_unary(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y) {
  const int64_t cols = z.re.cols;
  for_each("complex_unary", z.re.rows * cols, [=] __device__(int64_t at) {
    store(y, at / cols, at % cols, headrace::complex_unary(f, slope, number(z, at / cols, at % cols)));
  });
}

void modal_filter(const ModalFilterArgs& a) {
  forward_only("modal_filter", a.gradient);
  for_each("modal_filter", a.k.rows * a.k.cols, [=] __device__(int64_t at) {
    const int64_t c = at / a.k.cols, l = at % a.k.cols;
    double sum = 0;
    for (int64_t n = 0; n < a.residue.re.cols; ++n)
      sum += (number(a.residue, c, n) * exp(static_cast<double>(l) * number(a.log_pole, c, n))).real();
    a.k[c][l] = static_cast<float>(sum);
  });
}

void cauchy(const CauchyArgs& a) {
  forward_only("cauchy", a.gradient);
  const int64_t K = a.length / 2 + 1;
  for_each("cauchy", a.w.re.rows * K, [=] __device__(int64_t at) {
    const int64_t m = at / K, k = at % K, c = m % a.z.re.rows;
    const Number x = on_circle(-2.0 * static_cast<double>(k) / static_cast<double>(a.length));
    Number sum = 0;
    for (int64_t n = 0; n < a.w.re.cols; ++n) {
      const Number w = number(a.w, m, n), z = number(a.z, c, n);
      sum += w / (2.0 * (1.0 - x) - (1.0 + x) * z) + conj(w) / (2.0 * (1.0 - x) - (1.0 + x) * conj(z));
    }
    store(a.r, m, k, sum);
  });
}

void inverse_fourier(ComplexRows s, bool transposed, Rows x) {
  forward_only("inverse_fourier", transposed);
  const int64_t n = x.cols;
  for_each("inverse_fourier", x.rows * n, [=] __device__(int64_t at) {
    const int64_t i = at / n, t = at % n;
    double sum = 0;
    for (int64_t k = 0; k <= n / 2; ++k) {
      const double both = k == 0 || 2 * k == n ? 1 : 2;          // and its conjugate beyond n / 2
      sum += both * (number(s, i, k) * on_circle(2.0 * static_cast<double>(k * t % n) / static_cast<double>(n))).real();
    }
    x[i][t] = static_cast<float>(sum / static_cast<double>(n));
  });
}

}  // namespace headrace::cuda
