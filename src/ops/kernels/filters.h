// The contracts of what generates long_conv's filters from state-space models. Complex numbers are two tensors, real and imaginary;
// a gradient of one is that of its real part plus i times that of its imaginary part.
#pragma once
#include <cmath>
#include <complex>

#include "ops/functions.h"
#include "tensor/tensor.h"

namespace headrace {

struct ComplexRows { Rows re, im; };
inline std::complex<double> at(const ComplexRows& z, int64_t i, int64_t j) { return {z.re[i][j], z.im[i][j]}; }
inline void set(const ComplexRows& z, int64_t i, int64_t j, std::complex<double> v) {
  z.re[i][j] = static_cast<float>(v.real()), z.im[i][j] = static_cast<float>(v.imag());
}

// k[c,l] = sum_n Re(residue exp(l log_pole)), l < taps.
struct ModalFilterArgs {
  ComplexRows log_pole, residue;                   // [C,N]
  Rows k;                                          // [C,taps]
  bool gradient;                                   // k holds dk; the next two are given
  ComplexRows dlog_pole, dresidue;
};

// r[m,k] = sum_n w / (2 (1 - x) - (1 + x) z) + conj(w) / (2 (1 - x) - (1 + x) conj(z)), x = exp(-2 pi i k / length), k <= length / 2: the
// generating function of a bilinearly discretised diagonal system and its conjugate. Row m of w meets row m % (rows of z).
struct CauchyArgs {
  ComplexRows w, z, r;                             // [M,N], [C,N], [M,length/2+1]
  int64_t length;
  bool gradient;                                   // r holds dr; the next two are given
  ComplexRows dw, dz;
};

template <class Number>                            // std::complex<double>, or a device's own
constexpr Number complex_unary(ComplexUnary f, bool slope, Number z) {
  const Number one = 1, under = one - 0.5 * z;
  switch (f) {
    case ComplexUnary::zero_order_hold: {
      const bool small = abs(z) < 1e-3;
      if (small && slope) return 0.5 + z * (1.0 / 3 + z * (0.125 + z / 30.0));
      const Number hold = small ? 1.0 + z * (0.5 + z * (1.0 / 6 + z / 24.0)) : (exp(z) - 1.0) / z;
      return slope ? (exp(z) - hold) / z : hold;
    }
    case ComplexUnary::bilinear_log: return slope ? one / (one - 0.25 * z * z) : log((one + 0.5 * z) / under);
    case ComplexUnary::bilinear_gain: return slope ? 0.5 / (under * under) : one / under;
  }
  return 0;
}

}  // namespace headrace
