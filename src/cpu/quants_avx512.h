// What a panel stores, in AVX-512's vectors: a lane a row. For dot_avx512.cc and dot_amx.cc.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "cpu/dot.h"

namespace headrace::cpu {
namespace {

inline __m512 halves_avx512(const uint8_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline __m512 codes_avx512(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline __m512 signed_codes_avx512(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
// Vector j (0..7) of a block: 16 rows x 4 quants, unsigned, whatever number of bits they are stored in.
template <int bits, bool lookup>
inline __m512i quants_avx512(const uint8_t* q, int j) {
  if constexpr (bits == 8) return _mm512_loadu_si512(q + 64 * j);
  __m512i v = _mm512_loadu_si512(q + 64 * (j % 4));
  const __m512i low = _mm512_set1_epi8(15);
  v = _mm512_and_si512(j < 4 ? v : _mm512_srli_epi16(v, 4), low);
  if constexpr (lookup) {
    v = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(lookup_bytes))), v);
  }
  if constexpr (bits == 5) {
    uint64_t mask;
    std::memcpy(&mask, q + 256 + 8 * j, 8);
    v = _mm512_or_si512(v, _mm512_maskz_set1_epi8(_cvtu64_mask64(mask), 16));
  }
  if constexpr (bits == 6) {
    __m512i high = _mm512_loadu_si512(q + 256 + 64 * (j % 2));
    high = _mm512_srli_epi16(high, static_cast<unsigned>(2 * (j / 2)));
    v = _mm512_or_si512(v, _mm512_slli_epi16(_mm512_and_si512(high, _mm512_set1_epi8(3)), 4));
  }
  return v;
}

}  // namespace
}  // namespace headrace::cpu
