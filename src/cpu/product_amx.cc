// Products of bf16 by AMX: tdpbf16ps adds 32 products to each of 16 x 16 sums. AVX512_BF16 is no help where AMX is: on Intel's
// processors its vdpbf16ps does half as many operations as multiply-adds of f32.
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>

#include "cpu/dot.h"
#include "cpu/product_bf16.h"

namespace headrace::cpu {
namespace {

using U = __m512i;

// In the low half of each number, as f32_to_bf16 (tensor/half.h).
U halves(U x) {
  const U up = _mm512_add_epi32(x, _mm512_add_epi32(_mm512_set1_epi32(0x7fff), _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1))));
  const __mmask16 none = _mm512_cmp_epu32_mask(_mm512_and_si512(x, _mm512_set1_epi32(0x7fffffff)), _mm512_set1_epi32(0x7f800000), _MM_CMPINT_NLE);
  return _mm512_srli_epi32(_mm512_mask_or_epi32(up, none, x, _mm512_set1_epi32(0x400000)), 16);
}
U pairs(U low, U high) { return _mm512_or_si512(halves(low), _mm512_slli_epi32(halves(high), 16)); }

void transpose(U (&r)[16]) {
  U t[16];
  for (int i = 0; i < 16; i += 2) t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  for (int i = 0; i < 16; i += 4)
    for (int h = 0; h < 2; ++h) {
      r[i + 2 * h] = _mm512_unpacklo_epi64(t[i + h], t[i + h + 2]);
      r[i + 2 * h + 1] = _mm512_unpackhi_epi64(t[i + h], t[i + h + 2]);
    }
  // r[4 g + c]: in its quarter q, column 4 q + c of rows 4 g .. 4 g + 3.
  for (int c = 0; c < 4; ++c) {
    const U a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const U d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd), e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(a, b, 0x88), t[8 + c] = _mm512_shuffle_i32x4(a, b, 0xdd);
    t[4 + c] = _mm512_shuffle_i32x4(d, e, 0x88), t[12 + c] = _mm512_shuffle_i32x4(d, e, 0xdd);
  }
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

__mmask16 first(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1); }

}  // namespace

void pack_pairs(const float* source, int64_t stride, bool k_rows, int64_t X, int64_t K, bool pairs_first, int64_t i, const PairTiles& to) {
  const U even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0), odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const int64_t x0 = 16 * i;
  for (int64_t l = 0; l < to.k; ++l) {
    const int64_t k0 = 32 * l;
    U r[16];
    for (int64_t j = 0; j < 16; ++j) {
      if (k_rows) {                                // a row of the tile: one pair of 16 x
        const int64_t k = k0 + 2 * j;
        const __mmask16 here = first(X - x0);
        const float* p = source + k * stride + x0;
        r[j] = pairs(_mm512_maskz_loadu_epi32(k < K ? here : 0, p), _mm512_maskz_loadu_epi32(k + 1 < K ? here : 0, p + stride));
      } else {                                     // one x, 16 pairs
        const bool there = x0 + j < X;
        const float* p = source + (x0 + j) * stride + k0;
        const U a = _mm512_maskz_loadu_epi32(there ? first(K - k0) : 0, p), b = _mm512_maskz_loadu_epi32(there ? first(K - k0 - 16) : 0, p + 16);
        r[j] = pairs(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
      }
    }
    if (k_rows != pairs_first) transpose(r);
    uint32_t* tile = to.data + (i * to.k + l) * 256;
    for (int j = 0; j < 16; ++j) _mm512_storeu_si512(tile + 16 * j, r[j]);
  }
}

namespace {

// Sixteen rows of 64 bytes in each tile register; what dot_amx.cc had set comes back.
class Tiles {
 public:
  Tiles() {
    asm volatile("sttilecfg %0" : "=m"(before_));
    Shapes mine{};
    mine.palette = 1;
    for (int i = 0; i < 8; ++i) mine.row_bytes[i] = 64, mine.row_count[i] = 16;
    asm volatile("ldtilecfg %0" : : "m"(mine));
  }
  ~Tiles() {
    if (before_.palette != 0) asm volatile("ldtilecfg %0" : : "m"(before_));
    else asm volatile("tilerelease");
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  struct alignas(64) Shapes { uint8_t palette, start_row, reserved[14]; uint16_t row_bytes[16]; uint8_t row_count[16]; };
  Shapes before_;
};
template <int tile>
void load(const uint32_t* p) { asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(int64_t{64}), "i"(tile) : "memory"); }
template <int tile>
void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(tile)); }
template <int sum, int a, int b>
void multiply_tiles() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b)); }
// Adds tile register `tile` to c's tile (i, j), or puts it there.
template <int tile>
void leave(int64_t i, int64_t j, float* c, int64_t ldc, int64_t m, int64_t n, bool add) {
  alignas(64) float sums[16][16];
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(sums), "r"(int64_t{64}), "i"(tile) : "memory");
  const __mmask16 cols = first(n - 16 * j);
  for (int64_t r = 0; r < std::min<int64_t>(16, m - 16 * i); ++r) {
    float* to = c + (16 * i + r) * ldc + 16 * j;
    const __m512 v = _mm512_load_ps(sums[r]);
    _mm512_mask_storeu_ps(to, cols, add ? _mm512_add_ps(_mm512_maskz_loadu_ps(cols, to), v) : v);
  }
}

}  // namespace

void multiply_pairs(const PairTiles& a, const PairTiles& b, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t l0, int64_t l1, float* c,
                    int64_t ldc, int64_t m, int64_t n, bool add) {
  const Tiles tiles;
  for (int64_t j = j0; j < j1; j += 2)
    for (int64_t i = i0; i < i1; i += 2) {
      const bool below = i + 1 < i1, right = j + 1 < j1;
      zero<0>(), zero<1>(), zero<2>(), zero<3>();
      for (int64_t l = l0; l < l1; ++l) {
        load<4>(a.at(i, l)), load<6>(b.at(j, l));
        multiply_tiles<0, 4, 6>();
        if (right) load<7>(b.at(j + 1, l)), multiply_tiles<1, 4, 7>();
        if (below) load<5>(a.at(i + 1, l)), multiply_tiles<2, 5, 6>();
        if (below && right) multiply_tiles<3, 5, 7>();
      }
      leave<0>(i, j, c, ldc, m, n, add);
      if (right) leave<1>(i, j + 1, c, ldc, m, n, add);
      if (below) leave<2>(i + 1, j, c, ldc, m, n, add);
      if (below && right) leave<3>(i + 1, j + 1, c, ldc, m, n, add);
    }
}

bool has_pair_tiles() {
  static const bool has = [] {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1);
  }();
  return has && dots().tiles;
}

}  // namespace headrace::cpu
