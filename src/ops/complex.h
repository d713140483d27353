// Complex numbers as two tensors, real and imaginary parts, and what state-space models make of them: the filters of long_conv.
#pragma once
#include "ops/ops.h"

namespace headrace {

struct Complex { Tensor re, im; };
inline Complex operator+(const Complex& a, const Complex& b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(const Complex& a, const Complex& b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(const Complex& a, const Complex& b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
inline Complex operator*(const Complex& a, const Tensor& b) { return {a.re * b, a.im * b}; }             // a real b, broadcast as in binary
inline Complex operator*(float s, const Complex& a) { return {s * a.re, s * a.im}; }
inline Complex conj(const Complex& a) { return {a.re, unary(Unary::negate, a.im)}; }
inline Complex reciprocal(const Complex& a) { return conj(a) * reciprocal(a.re * a.re + a.im * a.im); }
inline Complex exp(const Complex& z) {
  const Tensor size = exp(z.re);
  return {size * cos(z.im), size * sin(z.im)};
}
Complex complex_of_pairs(const Tensor& x);                       // [...,2] -> [...]

Complex unary(ComplexUnary f, const Complex& z);
// [C,taps]: sum_n Re(residue exp(l log_pole)) for l < taps (S4D, H3, modal filters). log_pole, residue [C,N]
Tensor modal_filter(const Complex& log_pole, const Complex& residue, int64_t taps);
struct Modes;                                                     // ops/sequence.h: the same filters as recurrences, for long_conv
Modes modes_of(const Complex& pole, const Complex& residue);      // [C,N] both
// [M,length/2+1]: sums of w / (2 (1 - x) - (1 + x) z) and their conjugate partners at the roots of unity (S4). w [M,N], z [C,N], C divides M
Complex cauchy(const Complex& w, const Complex& z, int64_t length);
// [M,length/2+1] -> [M,length], the real signal of a spectrum (with 1/length). length = 2^k
Tensor inverse_fourier(const Complex& spectrum, int64_t length);

}  // namespace headrace
