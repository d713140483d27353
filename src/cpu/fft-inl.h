// Fast Fourier transforms of many signals at once: the signals lie along the lanes, so every step is plain arithmetic of vectors and
// data is read as it lies, tokens first. A row is one complex number of every signal: L real parts, then L imaginary parts.
// Forth by decimation in frequency (Gentleman and Sande 1966), natural order in, bits of the place reversed out; back by decimation in
// time, the reverse: a convolution never needs the order between. The recursion goes depth first, so that all but its first
// steps stay in the caches. A signal of real numbers in the real parts and another in the imaginary parts are told apart by symmetry.
#include "cpu/fft.h"
#include "cpu/simd-inl.h"

#if defined(HEADRACE_CPU_FFT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_CPU_FFT_INL
#undef HEADRACE_CPU_FFT_INL
#else
#define HEADRACE_CPU_FFT_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t fft_lanes = HWY_TARGET == HWY_AVX2 ? 8 : 16, fft_row = 2 * fft_lanes;

struct Complex { V re, im; };
HWY_INLINE Complex get(const float* row) { return {hn::LoadU(D(), row), hn::LoadU(D(), row + fft_lanes)}; }
HWY_INLINE void put(Complex z, float* row) { hn::StoreU(z.re, D(), row), hn::StoreU(z.im, D(), row + fft_lanes); }
HWY_INLINE Complex operator+(Complex a, Complex b) { return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)}; }
HWY_INLINE Complex operator-(Complex a, Complex b) { return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)}; }
HWY_INLINE Complex plus_i(Complex a, Complex b) { return {hn::Sub(a.re, b.im), hn::Add(a.im, b.re)}; }    // a + i b
HWY_INLINE Complex minus_i(Complex a, Complex b) { return {hn::Add(a.re, b.im), hn::Sub(a.im, b.re)}; }   // a - i b
HWY_INLINE Complex turned(Complex a, const float* w) {                                                   // a w
  const V re = set(w[0]), im = set(w[1]);
  return {hn::NegMulAdd(a.im, im, hn::Mul(a.re, re)), hn::MulAdd(a.re, im, hn::Mul(a.im, re))};
}
HWY_INLINE Complex turned_back(Complex a, const float* w) {                                              // a conj(w)
  const V re = set(w[0]), im = set(w[1]);
  return {hn::MulAdd(a.im, im, hn::Mul(a.re, re)), hn::NegMulAdd(a.re, im, hn::Mul(a.im, re))};
}
HWY_INLINE Complex product(Complex a, Complex b) {
  return {hn::NegMulAdd(a.im, b.im, hn::Mul(a.re, b.re)), hn::MulAdd(a.re, b.im, hn::Mul(a.im, b.re))};
}
HWY_INLINE Complex conjugate(Complex a) { return {a.re, hn::Neg(a.im)}; }

// The quarters of frequencies 0, 2, 1, 3 modulo 4. half: the second half of x is zero, and not read.
template <bool half>
HWY_INLINE void step4(float* x, int64_t n) {
  const int64_t q = n / 4 * fft_row;
  const float* w = fft_factors(n, 4);
  for (float* end = x + q; x < end; x += fft_row, w += 6) {
    const Complex a = get(x), b = get(x + q);
    Complex sum = a, difference = a, odd_sum = b, odd_difference = b;
    if constexpr (!half) {
      const Complex c = get(x + 2 * q), d = get(x + 3 * q);
      sum = a + c, difference = a - c, odd_sum = b + d, odd_difference = b - d;
    }
    put(sum + odd_sum, x);
    put(turned(sum - odd_sum, w + 2), x + q);
    put(turned(minus_i(difference, odd_difference), w), x + 2 * q);
    put(turned(plus_i(difference, odd_difference), w + 4), x + 3 * q);
  }
}
template <bool half>                                         // only the first half of the result is written
HWY_INLINE void step4_back(float* x, int64_t n) {
  const int64_t q = n / 4 * fft_row;
  const float* w = fft_factors(n, 4);
  for (float* end = x + q; x < end; x += fft_row, w += 6) {
    const Complex a = get(x), b = turned_back(get(x + q), w + 2), c = turned_back(get(x + 2 * q), w), d = turned_back(get(x + 3 * q), w + 4);
    const Complex even = a + b, even_difference = a - b, odd = c + d, odd_difference = c - d;
    put(even + odd, x);
    put(plus_i(even_difference, odd_difference), x + q);
    if constexpr (half) continue;
    put(even - odd, x + 2 * q);
    put(minus_i(even_difference, odd_difference), x + 3 * q);
  }
}
HWY_INLINE void last4(float* x) {
  const Complex a = get(x), b = get(x + fft_row), c = get(x + 2 * fft_row), d = get(x + 3 * fft_row);
  const Complex sum = a + c, difference = a - c, odd_sum = b + d, odd_difference = b - d;
  put(sum + odd_sum, x), put(sum - odd_sum, x + fft_row);
  put(minus_i(difference, odd_difference), x + 2 * fft_row), put(plus_i(difference, odd_difference), x + 3 * fft_row);
}
HWY_INLINE void first4_back(float* x) {
  const Complex a = get(x), b = get(x + fft_row), c = get(x + 2 * fft_row), d = get(x + 3 * fft_row);
  const Complex even = a + b, even_difference = a - b, odd = c + d, odd_difference = c - d;
  put(even + odd, x), put(even - odd, x + 2 * fft_row);
  put(plus_i(even_difference, odd_difference), x + fft_row), put(minus_i(even_difference, odd_difference), x + 3 * fft_row);
}
HWY_INLINE void both2(float* x) {
  const Complex a = get(x), b = get(x + fft_row);
  put(a + b, x), put(a - b, x + fft_row);
}

void fft_powers(float* x, int64_t n, bool half = false) {    // n = 2^k; half: n >= 8
  if (n == 4) return last4(x);
  if (n == 2) return both2(x);
  if (n < 2) return;
  half ? step4<true>(x, n) : step4<false>(x, n);
  for (int r = 0; r < 4; ++r) fft_powers(x + r * (n / 4) * fft_row, n / 4);
}
void fft_powers_back(float* x, int64_t n, bool half = false) {
  if (n == 4) return first4_back(x);
  if (n == 2) return both2(x);
  if (n < 2) return;
  for (int r = 0; r < 4; ++r) fft_powers_back(x + r * (n / 4) * fft_row, n / 4);
  half ? step4_back<true>(x, n) : step4_back<false>(x, n);
}

// n = 2^k or 3 2^k: thirds of frequencies 0, 1, 2 modulo 3, each in the order of a power of two. half: the rows from n/2 on are
// taken as zero where n = 2^k >= 8 (true is returned); otherwise the caller must have made them zero.
HWY_INLINE bool fft_skips_half(int64_t n) { return n >= 8 && n % 3 != 0; }
void fft(float* x, int64_t n, bool half) {
  if (n % 3 != 0) return fft_powers(x, n, half && fft_skips_half(n));
  const int64_t q = n / 3 * fft_row;
  const float* w = fft_factors(n, 3);
  const V third = set(-0.5f), root = set(0.8660254037844386f);
  for (float *y = x, *end = x + q; y < end; y += fft_row, w += 4) {
    const Complex a = get(y), b = get(y + q), c = get(y + 2 * q), sum = b + c, difference = b - c;
    const Complex middle{hn::MulAdd(third, sum.re, a.re), hn::MulAdd(third, sum.im, a.im)};
    const Complex side{hn::Mul(root, difference.re), hn::Mul(root, difference.im)};
    put(a + sum, y), put(turned(minus_i(middle, side), w), y + q), put(turned(plus_i(middle, side), w + 2), y + 2 * q);
  }
  for (int r = 0; r < 3; ++r) fft_powers(x + r * q, n / 3);
}
void fft_back(float* x, int64_t n, bool half) {              // without the factor 1/n; half: only the first half is wanted
  if (n % 3 != 0) return fft_powers_back(x, n, half && n >= 8);
  const int64_t q = n / 3 * fft_row;
  const float* w = fft_factors(n, 3);
  const V third = set(-0.5f), root = set(0.8660254037844386f);
  for (int r = 0; r < 3; ++r) fft_powers_back(x + r * q, n / 3);
  for (float *y = x, *end = x + q; y < end; y += fft_row, w += 4) {
    const Complex a = get(y), b = turned_back(get(y + q), w), c = turned_back(get(y + 2 * q), w + 2), sum = b + c, difference = b - c;
    const Complex middle{hn::MulAdd(third, sum.re, a.re), hn::MulAdd(third, sum.im, a.im)};
    const Complex side{hn::Mul(root, difference.re), hn::Mul(root, difference.im)};
    put(a + sum, y), put(plus_i(middle, side), y + q), put(minus_i(middle, side), y + 2 * q);
  }
}

// f(p, q) for every pair of places whose frequencies are opposite; p = q where a frequency is its own opposite.
template <class F>
HWY_INLINE void opposite_places(int64_t n, F&& f) {
  const int64_t m = n % 3 ? n : n / 3;
  f(int64_t{0}, int64_t{0});
  for (int64_t high = 1; high < m; high *= 2)
    for (int64_t p = high; p < high + (high + 1) / 2; ++p) f(p, 3 * high - 1 - p);
  for (int64_t p = 0; m < n && p < m; ++p) f(m + p, 3 * m - 1 - p);
}

// a = scale a b, or scale a conj(b), for the spectra of two signals of real numbers in one (x in the real, y in the imaginary parts).
template <bool conjugate_b>
HWY_INLINE void multiply_spectra(float* a, const float* b, int64_t n, float scale) {
  const V s = set(scale / 4);
  // 2 X = Z_p + conj(Z_q), 2 i Y = Z_p - conj(Z_q)
  auto parts = [](const float* z, int64_t p, int64_t q, Complex& x, Complex& y) {
    const Complex at = get(z + p * fft_row), opposite = conjugate(get(z + q * fft_row)), twice = at - opposite;
    x = at + opposite, y = {twice.im, hn::Neg(twice.re)};
  };
  opposite_places(n, [&](int64_t p, int64_t q) {
    Complex ax, ay, bx, by;
    parts(a, p, q, ax, ay), parts(b, p, q, bx, by);
    if constexpr (conjugate_b) bx = conjugate(bx), by = conjugate(by);
    Complex x = product(ax, bx), y = product(ay, by);
    x = {hn::Mul(s, x.re), hn::Mul(s, x.im)}, y = {hn::Mul(s, y.re), hn::Mul(s, y.im)};
    put(plus_i(x, y), a + p * fft_row), put(plus_i(conjugate(x), conjugate(y)), a + q * fft_row);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();
#endif
