// The product kernels over an instruction set's vector type. Included by dot_avx512.cc and dot_avx2.cc, which are
// compiled for that instruction set and give a struct Isa with:
//   F (16 floats), I (16 int32), U (64 bytes), load/set/fma on them, dot(I, U unsigned, four signed bytes broadcast)
// Registers, AVX-512: M integer and M float accumulators, the quants of one vector, scale and minimum: M = 8 fits in 32.
#include <cstring>

#include "cpu/dot.h"

namespace headrace::cpu {
namespace {

// The minimum of half h of the block at p, rows apart; dmin is the super's, negated.
template <class Isa, PanelFormat f>
typename Isa::F minimum_at(const uint8_t* p, int h, typename Isa::F dmin) {
  if constexpr (f.header == 0) return Isa::halves(p + 32);
  else return Isa::multiply(dmin, Isa::codes(p + 16 * (f.halves + h)));
}
// least[m] += minima times the sums of the input, before the quants: with many rows their own loop has registers enough, and with tiles
// (dot_amx.cc) the speed that tile instructions take. One row adds them block by block, as it reads; the sums are the same.
template <class Isa, PanelFormat f, int M>
void add_minima(const uint8_t* panel, int64_t supers, const float* const* sums, typename Isa::F* least) {
  for (int64_t s = 0, block = 0; s < supers; ++s, panel += f.super_bytes()) {
    const auto dmin = f.header > 0 ? Isa::negate(Isa::halves(panel + 32)) : Isa::zero();
    for (int b = 0; b < f.blocks; ++b, ++block)
      for (int h = 0; h < f.halves; ++h) {
        const auto minimum = minimum_at<Isa, f>(panel + f.header + b * f.block_bytes(), h, dmin);
        for (int m = 0; m < M; ++m) least[m] = Isa::fma(minimum, Isa::set(sums[m][2 * block + h]), least[m]);
      }
  }
}

template <class Isa, PanelFormat f, int M>
void blocks_tile(const uint8_t* panel, int64_t K, const QuantisedRows& x, int64_t first, float* const* y, const float* bias, int valid) {
  using F = typename Isa::F;
  using I = typename Isa::I;
  constexpr int per_half = 8 / f.halves;
  constexpr bool minima_first = f.minimum && M >= 4;
  F sum[M], least[M];                              // least: of the minima
  for (int m = 0; m < M; ++m) sum[m] = least[m] = Isa::zero();
  const int8_t* q[M];
  const float *scales[M], *sums[M];
  const int32_t* starts[M];
  for (int m = 0; m < M; ++m) {
    q[m] = x.quants + (first + m) * K;
    scales[m] = x.scales + (first + m) * (K / 32);
    sums[m] = x.sums + (first + m) * (K / 16);
    starts[m] = x.starts + (first + m) * (K / 16);
  }
  const int64_t supers = K / (32 * f.blocks);
  if constexpr (minima_first) add_minima<Isa, f, M>(panel, supers, sums, least);
  int64_t block = 0;
  for (int64_t s = 0; s < supers; ++s, panel += f.super_bytes()) {
    F d, dmin = Isa::zero();
    if constexpr (f.header > 0) {
      d = Isa::halves(panel);
      if constexpr (f.minimum && !minima_first) dmin = Isa::negate(Isa::halves(panel + 32));
    }
    for (int b = 0; b < f.blocks; ++b, ++block) {
      const uint8_t* p = panel + f.header + b * f.block_bytes();
      const uint8_t* quants = p + f.scales;
      if constexpr (M == 1)                                  // decode reads memory: every line, some blocks ahead
        for (int line = 0; line < f.block_bytes(); line += 64) Isa::prefetch(p + read_ahead + line);
      for (int h = 0; h < f.halves; ++h) {
        I part[M];
        for (int m = 0; m < M; ++m)
          part[m] = Isa::starts(f.zero) ? Isa::set(starts[m][2 * block + h]) : Isa::none();
        for (int i = 0; i < per_half; ++i) {
          const int j = h * per_half + i;
          typename Isa::U w = Isa::template quants<f.bits, f.lookup>(quants, j);
          for (int m = 0; m < M; ++m) part[m] = Isa::template dot<f.zero, f.bits>(part[m], w, q[m] + 32 * block + 4 * j);
        }
        F scale;
        if constexpr (f.header == 0) scale = Isa::halves(p);
        else scale = Isa::multiply(d, f.minimum ? Isa::codes(p + 16 * h) : Isa::signed_codes(p + 16 * h));
        for (int m = 0; m < M; ++m)
          sum[m] = Isa::fma(Isa::to_float(part[m]), Isa::multiply(scale, Isa::set(scales[m][block])), sum[m]);
        if constexpr (f.minimum && !minima_first) {
          const F minimum = minimum_at<Isa, f>(p, h, dmin);
          for (int m = 0; m < M; ++m) least[m] = Isa::fma(minimum, Isa::set(sums[m][2 * block + h]), least[m]);
        }
      }
    }
  }
  for (int m = 0; m < M; ++m) {
    if constexpr (f.minimum) sum[m] = Isa::add(sum[m], least[m]);
    Isa::store(y[first + m], bias ? Isa::add(sum[m], Isa::load(bias, valid)) : sum[m], valid);
  }
}

template <class Isa, PanelFormat f>
void blocks_product(const uint8_t* panel, int64_t K, const QuantisedRows& x, int M, float* const* y, const float* bias, int valid) {
  constexpr int T = Isa::tile;
  int m = 0;
  for (; m + T <= M; m += T) blocks_tile<Isa, f, T>(panel, K, x, m, y, bias, valid);
  if constexpr (T > 4)
    for (; m + 4 <= M; m += 4) blocks_tile<Isa, f, 4>(panel, K, x, m, y, bias, valid);
  if constexpr (T > 2)
    for (; m + 2 <= M; m += 2) blocks_tile<Isa, f, 2>(panel, K, x, m, y, bias, valid);
  for (; m < M; ++m) blocks_tile<Isa, f, 1>(panel, K, x, m, y, bias, valid);
}

template <class Isa, class T, int M>
void plain_tile(const T* panel, int64_t K, const float* const* x, float* const* y, const float* bias, int valid) {
  typename Isa::F sum[M];
  for (int m = 0; m < M; ++m) sum[m] = Isa::zero();
  for (int64_t k = 0; k < K; ++k) {
    if constexpr (M == 1) Isa::prefetch(reinterpret_cast<const uint8_t*>(panel + k * panel_rows) + read_ahead);
    auto w = Isa::widen(panel + k * panel_rows);
    for (int m = 0; m < M; ++m) sum[m] = Isa::fma(w, Isa::set(x[m][k]), sum[m]);
  }
  for (int m = 0; m < M; ++m) Isa::store(y[m], bias ? Isa::add(sum[m], Isa::load(bias, valid)) : sum[m], valid);
}

template <class Isa, class T>
void plain_product(const void* panel, int64_t K, const float* const* x, int M, float* const* y, const float* bias, int valid) {
  constexpr int tile = Isa::plain_tile;
  const T* p = static_cast<const T*>(panel);
  int m = 0;
  for (; m + tile <= M; m += tile) plain_tile<Isa, T, tile>(p, K, x + m, y + m, bias, valid);
  for (; m + 4 <= M; m += 4) plain_tile<Isa, T, 4>(p, K, x + m, y + m, bias, valid);
  for (; m + 2 <= M; m += 2) plain_tile<Isa, T, 2>(p, K, x + m, y + m, bias, valid);
  for (; m < M; ++m) plain_tile<Isa, T, 1>(p, K, x + m, y + m, bias, valid);
}

template <class Isa>
double spin_int8(int64_t n) {
  constexpr int chains = 12;
  typename Isa::I sum[chains];
  alignas(64) uint8_t w[64];
  int8_t x[4] = {1, 2, 3, 4};
  std::memset(w, 1, sizeof w);
  auto u = Isa::template quants<8, false>(w, 0);
  for (auto& s : sum) s = Isa::none();
  for (int64_t i = 0; i < n; ++i)
    for (auto& s : sum) s = Isa::template dot<0, 4>(s, u, x);
  for (auto& s : sum) asm volatile("" : : "m"(s));
  return 2.0 * 64 * chains * static_cast<double>(n);
}
template <class Isa>
double spin_f32(int64_t n) {
  constexpr int chains = 12;
  typename Isa::F sum[chains], a = Isa::set(0.999f), b = Isa::set(0.001f);
  for (auto& s : sum) s = Isa::zero();
  for (int64_t i = 0; i < n; ++i)
    for (auto& s : sum) s = Isa::fma(s, a, b);
  for (auto& s : sum) asm volatile("" : : "m"(s));
  return 2.0 * 16 * chains * static_cast<double>(n);
}

template <class Isa>
void read_lines(const uint8_t* data, int64_t lines) {
  auto a = Isa::template quants<8, false>(data, 0), b = a, c = a, d = a;
  for (int64_t i = 0; i + 4 <= lines; i += 4, data += 256) {
    Isa::prefetch(data + 4096);
    a = Isa::both(a, Isa::template quants<8, false>(data, 0)), b = Isa::both(b, Isa::template quants<8, false>(data, 1));
    c = Isa::both(c, Isa::template quants<8, false>(data, 2)), d = Isa::both(d, Isa::template quants<8, false>(data, 3));
  }
  a = Isa::both(Isa::both(a, b), Isa::both(c, d));
  asm volatile("" : : "m"(a));
}

struct Half { uint16_t bits; };
struct BrainHalf { uint16_t bits; };

template <class Isa>
constexpr DotTable make_table(const char* name) {
  DotTable t{};
  t.name = name;
  t.quantise = Isa::quantise;
  t.spin_int8 = spin_int8<Isa>;
  t.spin_f32 = spin_f32<Isa>;
  t.read = read_lines<Isa>;
  [&]<size_t... i>(std::index_sequence<i...>) {
    ((t.blocks[static_cast<int>(panel_formats[i].dtype)] = blocks_product<Isa, panel_formats[i]>), ...);
  }(std::make_index_sequence<std::size(panel_formats)>());
  t.plain[0] = plain_product<Isa, float>;
  t.plain[1] = plain_product<Isa, Half>;
  t.plain[2] = plain_product<Isa, BrainHalf>;
  return t;
}

}  // namespace
}  // namespace headrace::cpu
