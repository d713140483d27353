// Operands of bf16 in pairs, and their product by AVX512_BF16: vdpbf16ps adds the products of a pair of a's with sixteen pairs of b's to
// sixteen sums. On AMD's processors that is twice the products of a multiply-add of f32; on Intel's, which have AMX beside it, half,
// so that they do without. Numbers below 2^-126 are taken as 0 by the conversion and by both multipliers.
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <array>

#include "cpu/dot.h"
#include "cpu/product_bf16.h"

namespace headrace::cpu {
namespace {

using U = __m512i;

// Rounded to the nearest even: of 32 numbers in their order, and of 16 in the low halves with 16 in the high ones.
U rounded(__m512 first, __m512 second) { return reinterpret_cast<U>(_mm512_cvtne2ps_pbh(second, first)); }
U pairs(__m512 low, __m512 high) {
  alignas(64) static constexpr auto order = [] {
    std::array<uint16_t, 32> o{};
    for (int i = 0; i < 32; ++i) o[static_cast<size_t>(i)] = static_cast<uint16_t>(i / 2 + i % 2 * 16);
    return o;
  }();
  return _mm512_permutexvar_epi16(_mm512_load_si512(order.data()), rounded(low, high));
}

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

// One tile, of numbers [k,16] or [16,k] apart by `stride`; `n` x are there and `k` of the sum.
template <bool k_rows, bool turn>
void pack_tile(const float* source, int64_t stride, int64_t n, int64_t k, uint32_t* tile) {
  U r[16];
  const __mmask16 wide = first_lanes(n), low = first_lanes(k), high = first_lanes(k - 16);
#pragma GCC unroll 16
  for (int64_t j = 0; j < 16; ++j) {
    if constexpr (k_rows) {                        // a row of the tile: one pair of 16 x
      const float* p = source + 2 * j * stride;
      r[j] = pairs(_mm512_maskz_loadu_ps(2 * j < k ? wide : 0, p), _mm512_maskz_loadu_ps(2 * j + 1 < k ? wide : 0, p + stride));
    } else {                                       // one x, 16 pairs
      const float* p = source + j * stride;
      r[j] = rounded(_mm512_maskz_loadu_ps(j < n ? low : 0, p), _mm512_maskz_loadu_ps(j < n ? high : 0, p + 16));
    }
  }
  if constexpr (turn) transpose(r);
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) _mm512_storeu_si512(tile + 16 * j, r[j]);
}

}  // namespace

void pack_pairs(const float* source, int64_t stride, bool k_rows, int64_t X, int64_t K, bool pairs_first, int64_t begin, int64_t end,
                const PairTiles& to) {
  const auto pack = k_rows ? (pairs_first ? pack_tile<true, false> : pack_tile<true, true>)
                           : (pairs_first ? pack_tile<false, true> : pack_tile<false, false>);
  const int64_t side_by_side = k_rows ? 4 : 1;     // 256 bytes of a row of the source at once
  for (int64_t i = begin; i < end; i += side_by_side)
    for (int64_t l = 0; l < to.k; ++l)
      for (int64_t j = i; j < std::min(end, i + side_by_side); ++j)
        pack(source + (k_rows ? 32 * l * stride + 16 * j : 16 * j * stride + 32 * l), stride, X - 16 * j, K - 32 * l, to.data + (j * to.k + l) * 256);
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
  static const bool packs = __builtin_cpu_supports("avx512bf16"), tiles = packs && has_tiles(), vectors = packs && __builtin_cpu_is("amd");
  if (dots().tiles) return tiles ? multiply_by_tiles : nullptr;
  return &dots() != &dot_avx2 && vectors ? multiply_by_vectors : nullptr;
}

}  // namespace headrace::cpu
