// Vector j (0..7) of a block of a panel: 16 rows x 4 quants, unsigned, whatever number of bits they are stored in.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace headrace::cpu {
namespace {

template <int bits, bool lookup>
inline __m512i quants_avx512(const uint8_t* q, int j) {
  if constexpr (bits == 8) return _mm512_loadu_si512(q + 64 * j);
  __m512i v = _mm512_loadu_si512(q + 64 * (j % 4));
  const __m512i low = _mm512_set1_epi8(15);
  v = _mm512_and_si512(j < 4 ? v : _mm512_srli_epi16(v, 4), low);
  if constexpr (lookup) {
    // the table of signed values plus 128
    const __m128i table = _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, static_cast<char>(129), static_cast<char>(141), static_cast<char>(153),
                                        static_cast<char>(166), static_cast<char>(181), static_cast<char>(197), static_cast<char>(217),
                                        static_cast<char>(241));
    v = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), v);
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
