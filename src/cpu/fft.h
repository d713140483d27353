// Factors of the fast Fourier transforms of fft-inl.h, exact to f32, made once for each length.
#pragma once
#include <bit>
#include <cstdint>

namespace headrace::cpu {

const float* make_fft_factors(int64_t n, int radix);
// w = exp(-2 pi i / n): for j < n / radix the powers w^j .. w^((radix-1) j) as pairs (re, im), one j after the other.
// radix 4: n = 2^k; radix 3: n = 3 2^k.
inline const float* fft_factors(int64_t n, int radix) {
  static thread_local const float* known[2][64];
  const float*& w = known[radix == 4][std::countr_zero(static_cast<uint64_t>(n))];
  return w ? w : w = make_fft_factors(n, radix);
}
// The shortest length of at least n that fft-inl.h takes: 2^k or 3 2^k.
int64_t fft_length(int64_t n);

}  // namespace headrace::cpu
