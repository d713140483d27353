// Long convolutions: 2 L channels at a time, L in the real and L in the imaginary parts of one transform (fft-inl.h); a thread takes
// ranges of channels. Halves of other sizes are brought to one by powers of two: a small one would drown in the roundings of a large one. What
// is short is summed directly; a filter much shorter than its inputs meets them block by block.
#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/long_conv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/long_conv.cc"
#include "hwy/foreach_target.h"
#include "cpu/fft-inl.h"

#ifndef HEADRACE_CPU_LONG_CONV_PIECE
#define HEADRACE_CPU_LONG_CONV_PIECE
namespace headrace::cpu {

using Of = LongConvArgs::Of;

// A piece with the taps that it meets, [first, last), and the length of its transform. Inputs lie from place 0 on, tap l at place
// l - lag modulo the length, outputs from place 0 on: no sum may come round to another's place.
struct Section {
  Rows u, y;
  int64_t lag, first, last, length;
  double cost;
};
inline Section section(const LongConvPiece& p, int64_t taps) {
  Section s{.u = p.u, .y = p.y, .lag = p.lag, .first = std::max<int64_t>(0, p.lag - p.u.rows + 1), .last = std::min(taps, p.lag + p.y.rows)};
  s.length = fft_length(std::max({s.y.rows, s.u.rows, s.u.rows + s.last - 1 - s.lag, s.y.rows + s.lag - s.first}));
  return s;
}
inline Rows part(const Rows& r, int64_t begin, int64_t rows) { return {r.data + begin * r.stride, rows, r.cols, r.stride}; }

constexpr int64_t direct_products = 1600;      // of inputs and outputs, up to which sums cost less than transforms
inline bool direct(const Section& s) {
  return std::min({s.u.rows, s.y.rows, s.last - s.first}) <= 4 || s.u.rows * s.y.rows <= direct_products;
}

// Cut into blocks of outputs (of inputs, for their gradient) where that costs less than one transform of all.
inline void sections(const LongConvArgs& a, std::vector<Section>& all) {
  for (const LongConvPiece& p : a.pieces) {
    const Section whole = section(p, a.taps);
    if (whole.last <= whole.first || p.u.rows == 0 || p.y.rows == 0) continue;
    const bool by_inputs = a.of == Of::u;
    const int64_t taps = whole.last - whole.first, rows = by_inputs ? p.u.rows : p.y.rows;
    auto cost = [](int64_t n) { return static_cast<double>(n) * std::max(1, 63 - std::countl_zero(static_cast<uint64_t>(n))); };
    double least = cost(whole.length);
    int64_t block = rows;
    for (int64_t n = std::bit_ceil(static_cast<uint64_t>(2 * taps)); n < whole.length && !direct(whole); n *= 2)
      if (const double all_blocks = cost(n) * static_cast<double>((rows + n - taps) / (n - taps + 1)); all_blocks < 0.9 * least)
        least = all_blocks, block = n - taps + 1;
    for (int64_t b = 0; b < rows; b += block) {
      const int64_t n = std::min(block, rows - b), other = by_inputs ? p.y.rows : p.u.rows;
      const int64_t low = by_inputs ? whole.first - p.lag + b : p.lag + b - whole.last + 1;
      const int64_t high = by_inputs ? whole.last - p.lag + b + n - 1 : p.lag + b + n - whole.first;
      const int64_t from = std::clamp<int64_t>(low, 0, other), count = std::clamp<int64_t>(high, from, other) - from;
      if (count == 0) continue;
      const int64_t i = by_inputs ? from : b, j = by_inputs ? b : from;
      all.push_back(section({part(p.u, j, by_inputs ? n : count), part(p.y, i, by_inputs ? count : n), p.lag + i - j}, a.taps));
    }
  }
}

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// The channels of a task: a vector of the first, one of the others.
struct Channels {
  int64_t first, count;
  hn::Mask<D> low, high;
  Channels(int64_t first, int64_t count) : first(first), count(count),
        low(hn::FirstN(D(), static_cast<size_t>(std::min(count, fft_lanes)))),
        high(hn::FirstN(D(), static_cast<size_t>(std::max<int64_t>(0, count - fft_lanes)))) {}
  Complex load(const float* row) const {
    const float* x = row + first;
    return {hn::MaskedLoad(low, D(), x), count > fft_lanes ? hn::MaskedLoad(high, D(), x + fft_lanes) : hn::Zero(D())};
  }
  void add(Complex z, float* row) const {
    float* x = row + first;
    hn::BlendedStore(hn::Add(z.re, hn::MaskedLoad(low, D(), x)), low, D(), x);
    if (count > fft_lanes) hn::BlendedStore(hn::Add(z.im, hn::MaskedLoad(high, D(), x + fft_lanes)), high, D(), x + fft_lanes);
  }
};

HWY_INLINE Complex zero() { return {hn::Zero(D()), hn::Zero(D())}; }
HWY_INLINE Complex add_products(Complex a, Complex b, Complex sum) { return {hn::MulAdd(a.re, b.re, sum.re), hn::MulAdd(a.im, b.im, sum.im)}; }

// Exponents, as a float holds them, of the largest magnitudes: 0, infinity and NaN are of the nearest that has an inverse.
using Exponent = hn::RebindToSigned<D>;
struct Powers { hn::Vec<Exponent> re, im; };
HWY_INLINE hn::Vec<Exponent> exponent_of(V largest) {
  const auto e = hn::ShiftRight<23>(hn::BitCast(Exponent(), largest));
  return hn::Min(hn::Max(e, hn::Set(Exponent(), 1)), hn::Set(Exponent(), 253));
}
HWY_INLINE V power(hn::Vec<Exponent> e) { return hn::BitCast(D(), hn::ShiftLeft<23>(e)); }
HWY_INLINE V power_inverse(hn::Vec<Exponent> e) { return power(hn::Sub(hn::Set(Exponent(), 254), e)); }
// The product of two powers in two factors of about its root: no product on the way leaves the range where the result does not.
HWY_INLINE Complex powers_of(Powers a, Powers b, int part) {
  const auto factor = [&](hn::Vec<Exponent> e, hn::Vec<Exponent> f) HWY_ATTR {
    const auto sum = hn::Add(e, f), half = hn::ShiftRight<1>(sum);
    return power(part == 0 ? half : hn::Sub(sum, half));
  };
  return {factor(a.re, b.re), factor(a.im, b.im)};
}
HWY_INLINE Complex by_parts(Complex a, Complex b) { return {hn::Mul(a.re, b.re), hn::Mul(a.im, b.im)}; }
HWY_INLINE Complex larger(Complex a, Complex z) { return {hn::Max(a.re, hn::Abs(z.re)), hn::Max(a.im, hn::Abs(z.im))}; }
// n rows over the powers of their largest magnitudes; as they are where no pair of halves is apart by more than 4. A half of zeros follows
// the other.
template <class Row>
HWY_INLINE Powers balance(Complex largest, int64_t n, Row&& row) {
  const V re_or = hn::IfThenElse(hn::Eq(largest.re, set(0)), largest.im, largest.re);
  const V im_or = hn::IfThenElse(hn::Eq(largest.im, set(0)), largest.re, largest.im);
  const Powers p{exponent_of(re_or), exponent_of(im_or)};
  const auto one = hn::Set(Exponent(), 127);
  if (hn::AllTrue(Exponent(), hn::Lt(hn::Abs(hn::Sub(p.re, p.im)), hn::Set(Exponent(), 2)))) return {one, one};
  const V re = power_inverse(p.re), im = power_inverse(p.im);
  for (int64_t i = 0; i < n; ++i) {
    const Complex z = get(row(i));
    put(by_parts(z, {re, im}), row(i));
  }
  return p;
}

void clear(float* rows, int64_t from, int64_t to) { std::fill(rows + from * fft_row, rows + to * fft_row, 0.f); }

// Rows, balanced, then zeros as far as the transform reads; its spectrum.
Powers spectrum(const Channels& c, const Rows& rows, int64_t n, float* to) {
  const bool half = fft_skips_half(n) && rows.rows <= n / 2;
  Complex largest = zero();
  for (int64_t i = 0; i < rows.rows; ++i) {
    const Complex z = c.load(rows[i]);
    largest = larger(largest, z);
    put(z, to + i * fft_row);
  }
  const Powers p = balance(largest, rows.rows, [&](int64_t i) { return to + i * fft_row; });
  clear(to, rows.rows, half ? n / 2 : n);
  fft(to, n, half);
  return p;
}
// to[i] += what lies from place 0 on, after the transform back, times the powers of what was multiplied.
void add_back(const Channels& c, float* from, int64_t n, Powers a, Powers b, const Rows& to) {
  fft_back(from, n, to.rows <= n / 2);
  const Complex one = powers_of(a, b, 0), other = powers_of(a, b, 1);
  for (int64_t i = 0; i < to.rows; ++i) c.add(by_parts(by_parts(get(from + i * fft_row), one), other), to[i]);
}

// Taps [first, last) of the task's channels, one row of both vectors for each: x(tap, row).
template <class F>
void each_tap(const LongConvArgs& a, const Channels& c, int64_t first, int64_t last, F&& row) {
  for (int64_t l = first; l < last; l += 16) {
    const int64_t n = std::min<int64_t>(16, last - l);
    for (int64_t i = 0; i < c.count; ++i) {
      const float* k = a.filter + (c.first + i) * a.stride + l;
      for (int64_t t = 0; t < n; ++t) row(l + t)[i] = k[t];
    }
  }
}
HWY_INLINE int64_t tap_place(const Section& s, int64_t l) { return (l < s.lag ? l - s.lag + s.length : l - s.lag) * fft_row; }
Powers filter_spectrum(const LongConvArgs& a, const Channels& c, const Section& s, float* to) {
  const bool half = s.lag == s.first && fft_skips_half(s.length) && s.last - s.lag <= s.length / 2;
  clear(to, 0, half ? s.length / 2 : s.length);
  each_tap(a, c, s.first, s.last, [&](int64_t l) { return to + tap_place(s, l); });
  Complex largest = zero();
  for (int64_t l = s.first; l < s.last; ++l) largest = larger(largest, get(to + tap_place(s, l)));
  const Powers p = balance(largest, s.last - s.first, [&](int64_t i) { return to + tap_place(s, s.first + i); });
  fft(to, s.length, half);
  return p;
}
void add_filter(const LongConvArgs& a, const Channels& c, const Section& s, Powers y, Powers u, float* from) {
  fft_back(from, s.length, s.lag == s.first && s.last - s.lag <= s.length / 2);
  float one[fft_row], other[fft_row];                        // two factors of each channel
  put(powers_of(y, u, 0), one), put(powers_of(y, u, 1), other);
  for (int64_t i = 0; i < c.count; ++i) {
    float* k = a.filter + (c.first + i) * a.stride;
    for (int64_t l = s.first; l < s.last; ++l) k[l] += from[tap_place(s, l) + i] * one[i] * other[i];
  }
}

void DirectSection(const LongConvArgs& a, const Channels& c, const Section& s, std::vector<float>& scratch) {
  const int64_t taps = s.last - s.first;
  if (scratch.size() < static_cast<size_t>(taps * fft_row)) scratch.resize(static_cast<size_t>(taps * fft_row));
  float* k = scratch.data();
  std::fill(k, k + taps * fft_row, 0.f);
  auto row = [&](int64_t l) { return k + (l - s.first) * fft_row; };
  // The inputs that meet output i, the outputs that meet input j: taps within [first, last).
  if (a.of == Of::filter) {
    for (int64_t l = s.first; l < s.last; ++l) {
      Complex sum = zero();
      for (int64_t i = std::max<int64_t>(0, l - s.lag); i < std::min(s.y.rows, s.u.rows + l - s.lag); ++i)
        sum = add_products(c.load(s.y[i]), c.load(s.u[s.lag + i - l]), sum);
      put(sum, row(l));
    }
    for (int64_t i = 0; i < c.count; ++i)
      for (int64_t l = s.first; l < s.last; ++l) a.filter[(c.first + i) * a.stride + l] += row(l)[i];
    return;
  }
  each_tap(a, c, s.first, s.last, row);
  if (a.of == Of::y) {
    for (int64_t i = 0; i < s.y.rows; ++i) {
      Complex sum = zero();
      for (int64_t j = std::max<int64_t>(0, s.lag + i - s.last + 1); j < std::min(s.u.rows, s.lag + i - s.first + 1); ++j)
        sum = add_products(get(row(s.lag + i - j)), c.load(s.u[j]), sum);
      c.add(sum, s.y[i]);
    }
  } else {
    for (int64_t j = 0; j < s.u.rows; ++j) {
      Complex sum = zero();
      for (int64_t i = std::max<int64_t>(0, s.first - s.lag + j); i < std::min(s.y.rows, s.last - s.lag + j); ++i)
        sum = add_products(get(row(s.lag + i - j)), c.load(s.y[i]), sum);
      c.add(sum, s.u[j]);
    }
  }
}

// Sections one after the other; the filter's spectrum stays as long as the next section needs the same.
void Convolve(const LongConvArgs& a, const std::vector<Section>& all, int64_t first, int64_t count) {
  const Channels c(first, count);
  static thread_local std::vector<float> data, kernel, other;
  const Section* known = nullptr;
  Powers filter{};
  for (const Section& s : all) {
    if (direct(s)) {
      DirectSection(a, c, s, other);
      continue;
    }
    const size_t floats = static_cast<size_t>(s.length * fft_row);
    for (auto* v : {&data, &kernel})
      if (v->size() < floats) v->resize(floats), known = nullptr;
    const float scale = 1 / static_cast<float>(s.length);
    if (a.of == Of::filter) {
      const Powers y = spectrum(c, s.y, s.length, data.data()), u = spectrum(c, s.u, s.length, kernel.data());
      multiply_spectra<true>(data.data(), kernel.data(), s.length, scale);
      add_filter(a, c, s, y, u, data.data());
      continue;
    }
    if (!known || known->length != s.length || known->lag != s.lag || known->first != s.first || known->last != s.last)
      filter = filter_spectrum(a, c, s, kernel.data());
    known = &s;
    if (a.of == Of::y) {
      const Powers u = spectrum(c, s.u, s.length, data.data());
      multiply_spectra<false>(data.data(), kernel.data(), s.length, scale);
      add_back(c, data.data(), s.length, u, filter, s.y);
    } else {                                                 // conj(K) DY
      const Powers y = spectrum(c, s.y, s.length, data.data());
      multiply_spectra<true>(data.data(), kernel.data(), s.length, scale);
      add_back(c, data.data(), s.length, y, filter, s.u);
    }
  }
}

int64_t ChannelsAtOnce() { return fft_row; }

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Convolve);
HWY_EXPORT(ChannelsAtOnce);

void long_conv(const LongConvArgs& a) {
  std::vector<Section> all;
  sections(a, all);
  if (all.empty()) return;
  double cost = 0;                                           // of one channel
  for (const Section& s : all)
    cost += direct(s) ? static_cast<double>(s.u.rows * s.y.rows) : 8.0 * static_cast<double>(s.length);
  const int64_t C = all[0].u.cols, step = HWY_DYNAMIC_DISPATCH(ChannelsAtOnce)();
  parallel((C + step - 1) / step, std::max<int64_t>(1, static_cast<int64_t>(4096 / (cost * static_cast<double>(step)))),
           [&](int64_t from, int64_t to, int) {
             for (int64_t i = from; i < to; ++i) HWY_DYNAMIC_DISPATCH(Convolve)(a, all, i * step, std::min(step, C - i * step));
           });
}

}  // namespace headrace::cpu
#endif
