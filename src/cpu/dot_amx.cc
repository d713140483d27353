// AMX: products of 16 rows of an input at once in the tile unit (tdpbssd: signed bytes, 16 x 16 sums in a tile). The layout of a
// panel, [K/4][16 rows][4], is what the unit reads as its second operand, so a panel is unpacked to signed bytes once and meets
// all rows. Sums of integers are exact and what follows them is avx512's own order, so the bits are avx512's too; what does not
// fill a tile goes there.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cpuid.h>

#include <cstring>
#include <utility>
#include <vector>

#include "cpu/dot.h"
#include "cpu/quants_avx512.h"

namespace headrace::cpu {

namespace {

constexpr int rows = 16;                                     // of an input, in a tile

// The tile registers: 0, 1 sums [16][16]; 2, 3 inputs and 4, 5 weights of 32 values; 6 inputs and 7 weights of 16.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 32, 32, 64, 64, 16, 64};
  uint8_t row_count[16] = {16, 16, 16, 16, 8, 8, 16, 4};
};
void set_shapes() {
  static thread_local bool done = false;
  if (done) return;
  static const TileShapes shapes;
  asm volatile("ldtilecfg %0" : : "m"(shapes));
  done = true;
}
template <int tile>
void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(tile)); }
// What a load reads was written before `tile_of_rows` began; a store names what it writes, so that sums can stay in registers.
template <int tile>
void load(const void* p, int64_t stride) { asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(tile)); }
template <int tile>
void store(int32_t (&p)[rows * 16]) { asm volatile("tilestored %%tmm%c3, (%1,%2,1)" : "=m"(p) : "r"(p), "r"(int64_t{64}), "i"(tile)); }
template <int sum, int input, int weight>
void multiply() { asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(input), "i"(weight)); }

// A panel as the tiles want it.
struct Unpacked {
  std::vector<int8_t> quants;            // [K/4][16][4]
  std::vector<float> scales, minima;     // [K/32 * halves][16]
};
thread_local Unpacked unpacked;

template <PanelFormat f>
void unpack(const uint8_t* panel, int64_t K, Unpacked& u) {
  u.quants.resize(static_cast<size_t>(K * 16 + 64));
  u.scales.resize(static_cast<size_t>(K / 32 * f.halves * 16));
  if (f.minimum) u.minima.resize(u.scales.size());
  int8_t* q = u.quants.data();
  float *scale = u.scales.data(), *minimum = u.minima.data();
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(f.zero));
  for (int64_t s = 0; s < K / (32 * f.blocks); ++s, panel += f.super_bytes()) {
    __m512 d{}, dmin{};
    if constexpr (f.header > 0) {
      d = halves_avx512(panel);
      if constexpr (f.minimum) dmin = _mm512_sub_ps(_mm512_setzero_ps(), halves_avx512(panel + 32));
    }
    for (int b = 0; b < f.blocks; ++b) {
      const uint8_t* p = panel + f.header + b * f.block_bytes();
      for (int j = 0; j < 8; ++j, q += 64)
        _mm512_storeu_si512(q, _mm512_sub_epi8(quants_avx512<f.bits, f.lookup>(p + f.scales, j), zero));
      for (int h = 0; h < f.halves; ++h, scale += 16, minimum += f.minimum ? 16 : 0) {
        if constexpr (f.header == 0) {
          _mm512_storeu_ps(scale, halves_avx512(p));
          if constexpr (f.minimum) _mm512_storeu_ps(minimum, halves_avx512(p + 32));
        } else {
          _mm512_storeu_ps(scale, _mm512_mul_ps(d, f.minimum ? codes_avx512(p + 16 * h) : signed_codes_avx512(p + 16 * h)));
          if constexpr (f.minimum) _mm512_storeu_ps(minimum, _mm512_mul_ps(dmin, codes_avx512(p + 16 * (f.halves + h))));
        }
      }
    }
  }
}

// Minima times the sums of 16 rows of the input, [16][16]: before the tiles, while both vector units add (docs/log.md).
template <PanelFormat f>
void add_minima(const float* minima, int64_t steps, const float* row_sums, float* least) {
  __m512 sum[rows];
  for (__m512& v : sum) v = _mm512_setzero_ps();
  for (int64_t s = 0; s < steps; ++s) {
    const float* sums = row_sums + (f.halves == 2 ? s : 2 * s) * 16;
    const __m512 minimum = _mm512_loadu_ps(minima + s * 16);
    for (int m = 0; m < rows; ++m) sum[m] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(sums[m]), sum[m]);
  }
  for (int m = 0; m < rows; ++m) _mm512_store_ps(least + 16 * m, sum[m]);
}

template <PanelFormat f>
void tile_of_rows(const Unpacked& u, int64_t K, const QuantisedRows& x, float* const* y, const float* bias, int valid) {
  constexpr int width = 32 / f.halves;
  alignas(64) int32_t even[rows * 16], odd[rows * 16];
  const int64_t steps = K / width;
  const int8_t *in = x.quants, *quants = u.quants.data();
  const float *scale = u.scales.data(), *row_scales = x.tile_scales;
  alignas(64) float least[rows * 16];
  if constexpr (f.minimum) add_minima<f>(u.minima.data(), steps, x.tile_sums, least);
  asm volatile("" : : : "memory");                           // all of that is in memory before the tiles read it
  __m512 s0{}, s1{}, s2{}, s3{}, s4{}, s5{}, s6{}, s7{}, s8{}, s9{}, s10{}, s11{}, s12{}, s13{}, s14{}, s15{};
  auto multiply_step = [&]<int which>(int64_t s) __attribute__((always_inline)) {
    constexpr int input = f.halves == 1 ? 2 + which : 6, weight = f.halves == 1 ? 4 + which : 7;
    zero<which>();
    load<input>(in + s * width, K);
    load<weight>(quants + s * width * 16, 64);
    multiply<which, input, weight>();
  };
  auto add = [&](const int32_t* part, int64_t s) __attribute__((always_inline)) {
    const float* scales = row_scales + s / f.halves * 16;
    const __m512 d = _mm512_loadu_ps(scale + s * 16);
    auto one = [&](__m512& sum, int m) __attribute__((always_inline)) {
      __m512 p = _mm512_cvtepi32_ps(_mm512_load_si512(part + 16 * m));
      sum = _mm512_fmadd_ps(p, _mm512_mul_ps(d, _mm512_set1_ps(scales[m])), sum);
    };
    one(s0, 0), one(s1, 1), one(s2, 2), one(s3, 3), one(s4, 4), one(s5, 5), one(s6, 6), one(s7, 7);
    one(s8, 8), one(s9, 9), one(s10, 10), one(s11, 11), one(s12, 12), one(s13, 13), one(s14, 14), one(s15, 15);
  };
  // Three steps are under way: the sums of one are stored while the unit multiplies the next and those of the one before are added.
  multiply_step.template operator()<0>(0);
  if (steps > 1) multiply_step.template operator()<1>(1);
  store<0>(even);
  int64_t s = 1;
  for (; s + 2 < steps; s += 2) {
    multiply_step.template operator()<0>(s + 1);
    store<1>(odd);
    add(even, s - 1);
    multiply_step.template operator()<1>(s + 2);
    store<0>(even);
    add(odd, s);
  }
  for (; s < steps; s += 2) {                                // one or two steps are left
    store<1>(odd);
    if (s + 1 < steps) multiply_step.template operator()<0>(s + 1);
    add(even, s - 1);
    if (s + 1 < steps) store<0>(even);
    add(odd, s);
  }
  if (steps % 2) add(even, steps - 1);
  const __mmask16 lanes = static_cast<__mmask16>((1u << valid) - 1);
  const __m512 sum[rows] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15};
  for (int m = 0; m < rows; ++m) {
    const __m512 all = f.minimum ? _mm512_add_ps(sum[m], _mm512_load_ps(least + 16 * m)) : sum[m];
    _mm512_mask_storeu_ps(y[m], lanes, bias ? _mm512_add_ps(all, _mm512_maskz_loadu_ps(lanes, bias)) : all);
  }
}

template <PanelFormat f>
void blocks_product(const uint8_t* panel, int64_t K, const QuantisedRows& x, int M, float* const* y, const float* bias, int valid) {
  int m = 0;
  if (M >= rows) {
    set_shapes();
    unpack<f>(panel, K, unpacked);
    for (; m + rows <= M; m += rows) tile_of_rows<f>(unpacked, K, x.from(m, K), y + m, bias, valid);
  }
  if (m == M) return;
  dot_avx512.blocks[static_cast<int>(f.dtype)](panel, K, x.from(m, K), M - m, y + m, bias, valid);
}

}  // namespace

// Linux gives the tiles' state only to a process that asks.
bool has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 24 & 3) != 3) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

const DotTable& dot_amx() {
  static const DotTable table = [] {
    DotTable t = dot_avx512;
    t.name = "avx512-vnni and amx";
    t.tiles = true;
    [&]<size_t... i>(std::index_sequence<i...>) {
      ((t.blocks[static_cast<int>(panel_formats[i].dtype)] = blocks_product<panel_formats[i]>), ...);
    }(std::make_index_sequence<std::size(panel_formats)>());
    return t;
  }();
  return table;
}

}  // namespace headrace::cpu
