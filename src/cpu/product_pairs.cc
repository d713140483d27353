// Operands of bf16 in pairs, and their product by AVX512_BF16: vdpbf16ps adds the products of a pair of a's with sixteen pairs of b's to
// sixteen sums. On AMD's processors that is twice the products of a multiply-add of f32; on Intel's, which have AMX beside it, half.
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
        const __mmask16 here = first_lanes(X - x0);
        const float* p = source + k * stride + x0;
        r[j] = pairs(_mm512_maskz_loadu_epi32(k < K ? here : 0, p), _mm512_maskz_loadu_epi32(k + 1 < K ? here : 0, p + stride));
      } else {                                     // one x, 16 pairs
        const bool there = x0 + j < X;
        const float* p = source + (x0 + j) * stride + k0;
        const U a = _mm512_maskz_loadu_epi32(there ? first_lanes(K - k0) : 0, p);
        const U b = _mm512_maskz_loadu_epi32(there ? first_lanes(K - k0 - 16) : 0, p + 16);
        r[j] = pairs(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
      }
    }
    if (k_rows != pairs_first) transpose(r);
    uint32_t* tile = to.data + (i * to.k + l) * 256;
    for (int j = 0; j < 16; ++j) _mm512_storeu_si512(tile + 16 * j, r[j]);
  }
}

namespace {

// Eight rows of a's tiles i and `wide` tiles of b's columns.
template <int wide>
void multiply_strip(const PairTiles& a, const PairTiles& b, int64_t i, int row, int64_t j, int64_t l0, int64_t l1, float* c, int64_t ldc,
                    int64_t m, int64_t n, bool add) {
  __m512 sums[8][wide];
  for (auto& of_row : sums)
    for (__m512& s : of_row) s = _mm512_setzero_ps();
  for (int64_t l = l0; l < l1; ++l) {
    const uint32_t* left = a.at(i, l) + 16 * row;
    const uint32_t* right[wide];
    for (int w = 0; w < wide; ++w) right[w] = b.at(j + w, l);
    for (int p = 0; p < 16; ++p) {
      __m512bh columns[wide];
      for (int w = 0; w < wide; ++w) columns[w] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(right[w] + 16 * p));
      for (int r = 0; r < 8; ++r) {
        const auto x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(left[16 * r + p])));
        for (int w = 0; w < wide; ++w) sums[r][w] = _mm512_dpbf16_ps(sums[r][w], x, columns[w]);
      }
    }
  }
  for (int64_t r = 0; r < std::min<int64_t>(8, m - 16 * i - row); ++r)
    for (int w = 0; w < wide; ++w) {
      const __mmask16 cols = first_lanes(n - 16 * (j + w));
      float* to = c + (16 * i + row + r) * ldc + 16 * (j + w);
      _mm512_mask_storeu_ps(to, cols, add ? _mm512_add_ps(_mm512_maskz_loadu_ps(cols, to), sums[r][w]) : sums[r][w]);
    }
}

bool has_vectors() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
bool has_tiles() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1);
}

}  // namespace

void multiply_by_vectors(const PairTiles& a, const PairTiles& b, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t l0, int64_t l1,
                         float* c, int64_t ldc, int64_t m, int64_t n, bool add) {
  for (int64_t j = j0; j < j1; j += 3)
    for (int64_t i = i0; i < i1; ++i)
      for (int row = 0; row < 16; row += 8) {
        const auto strip = j1 - j >= 3 ? multiply_strip<3> : j1 - j == 2 ? multiply_strip<2> : multiply_strip<1>;
        strip(a, b, i, row, j, l0, l1, c, ldc, m, n, add);
      }
}

MultiplyPairs* multiply_pairs() {
  static const bool tiles = has_tiles(), vectors = has_vectors();
  if (dots().tiles) return tiles ? multiply_by_tiles : nullptr;
  return &dots() != &dot_avx2 && vectors ? multiply_by_vectors : nullptr;
}

}  // namespace headrace::cpu
