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

// The tile registers: 0, 1 sums [16][16]; 2, 3 inputs of 32 and 16 values; 4, 5 weights of 32 and 16.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 32, 16, 64, 64};
  uint8_t row_count[16] = {16, 16, 16, 16, 8, 4};
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
template <int tile>
void load(const void* p, int64_t stride) { asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(tile) : "memory"); }
template <int tile>
void store(void* p) { asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(int64_t{64}), "i"(tile) : "memory"); }
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
  auto halves = [](const uint8_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); };
  auto codes = [](const uint8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))); };
  auto signed_codes = [](const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  };
  for (int64_t s = 0; s < K / (32 * f.blocks); ++s, panel += f.super_bytes()) {
    __m512 d{}, dmin{};
    if constexpr (f.header > 0) {
      d = halves(panel);
      if constexpr (f.minimum) dmin = _mm512_sub_ps(_mm512_setzero_ps(), halves(panel + 32));
    }
    for (int b = 0; b < f.blocks; ++b) {
      const uint8_t* p = panel + f.header + b * f.block_bytes();
      for (int j = 0; j < 8; ++j, q += 64)
        _mm512_storeu_si512(q, _mm512_sub_epi8(quants_avx512<f.bits, f.lookup>(p + f.scales, j), zero));
      for (int h = 0; h < f.halves; ++h, scale += 16, minimum += f.minimum ? 16 : 0) {
        if constexpr (f.header == 0) {
          _mm512_storeu_ps(scale, halves(p));
          if constexpr (f.minimum) _mm512_storeu_ps(minimum, halves(p + 32));
        } else {
          _mm512_storeu_ps(scale, _mm512_mul_ps(d, f.minimum ? codes(p + 16 * h) : signed_codes(p + 16 * h)));
          if constexpr (f.minimum) _mm512_storeu_ps(minimum, _mm512_mul_ps(dmin, codes(p + 16 * (f.halves + h))));
        }
      }
    }
  }
}

template <PanelFormat f>
void tile_of_rows(const Unpacked& u, int64_t K, const QuantisedRows& x, int first, float* const* y, const float* bias, int valid) {
  constexpr int width = 32 / f.halves;
  alignas(64) int32_t part[2][rows * 16];
  __m512 sum[rows];
  for (auto& s : sum) s = _mm512_setzero_ps();
  const int64_t steps = K / width;
  const int8_t* in = x.quants + first * K;
  auto products = [&]<int which>(int64_t s) {
    zero<which>();
    load<f.halves == 1 ? 2 : 3>(in + s * width, K);
    load<f.halves == 1 ? 4 : 5>(u.quants.data() + s * width * 16, 64);
    multiply<which, f.halves == 1 ? 2 : 3, f.halves == 1 ? 4 : 5>();
    store<which>(part[which]);
  };
  auto add = [&](int which, int64_t s) {
    const int64_t block = s / f.halves, half = 2 * block + s % f.halves;
    const __m512 scale = _mm512_loadu_ps(u.scales.data() + s * 16);
    const __m512 minimum = f.minimum ? _mm512_loadu_ps(u.minima.data() + s * 16) : __m512{};
    const float *scales = x.scales + first * (K / 32) + block, *sums = x.sums + first * (K / 16) + half;
    for (int m = 0; m < rows; ++m) {
      __m512 p = _mm512_cvtepi32_ps(_mm512_load_si512(part[which] + 16 * m));
      sum[m] = _mm512_fmadd_ps(p, _mm512_mul_ps(scale, _mm512_set1_ps(scales[m * (K / 32)])), sum[m]);
      if constexpr (f.minimum) sum[m] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(sums[m * (K / 16)]), sum[m]);
    }
  };
  products.template operator()<0>(0);
  for (int64_t s = 0; s < steps; s += 2) {                   // the tile unit works on a step while the sums of the one before are added
    if (s + 1 < steps) products.template operator()<1>(s + 1);
    add(0, s);
    if (s + 1 >= steps) break;
    if (s + 2 < steps) products.template operator()<0>(s + 2);
    add(1, s + 1);
  }
  const __mmask16 lanes = static_cast<__mmask16>((1u << valid) - 1);
  for (int m = 0; m < rows; ++m)
    _mm512_mask_storeu_ps(y[first + m], lanes, bias ? _mm512_add_ps(sum[m], _mm512_maskz_loadu_ps(lanes, bias)) : sum[m]);
}

template <PanelFormat f>
void blocks_product(const uint8_t* panel, int64_t K, const QuantisedRows& x, int M, float* const* y, const float* bias, int valid) {
  int m = 0;
  if (M >= rows) {
    set_shapes();
    unpack<f>(panel, K, unpacked);
    for (; m + rows <= M; m += rows) tile_of_rows<f>(unpacked, K, x, m, y, bias, valid);
  }
  if (m == M) return;
  const QuantisedRows rest{x.quants + m * K, x.scales + m * (K / 32), x.sums + m * (K / 16), x.starts + m * (K / 16)};
  dot_avx512.blocks[static_cast<int>(f.dtype)](panel, K, rest, M - m, y + m, bias, valid);
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
    [&]<size_t... i>(std::index_sequence<i...>) {
      ((t.blocks[static_cast<int>(panel_formats[i].dtype)] = blocks_product<panel_formats[i]>), ...);
    }(std::make_index_sequence<std::size(panel_formats)>());
    return t;
  }();
  return table;
}

}  // namespace headrace::cpu
