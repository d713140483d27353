// AVX-512 with VNNI: vpdpbusd multiplies four unsigned by four signed bytes per 32-bit lane, a lane per row of the panel.
#include <immintrin.h>

#include <utility>

#include "cpu/dot-inl.h"
#include "cpu/quants_avx512.h"

namespace headrace::cpu {
namespace {

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  using U = __m512i;
  static constexpr int tile = 12, plain_tile = 12;
  static constexpr bool starts(int zero) { return zero != 0; }   // quants stay unsigned, sums start at -zero * (sum of inputs)

  static F zero() { return _mm512_setzero_ps(); }
  static I none() { return _mm512_setzero_si512(); }
  static I set(int32_t v) { return _mm512_set1_epi32(v); }
  static F set(float v) { return _mm512_set1_ps(v); }
  static F multiply(F a, F b) { return _mm512_mul_ps(a, b); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F negate(F a) { return _mm512_sub_ps(_mm512_setzero_ps(), a); }
  static I both(I a, I b) { return _mm512_or_si512(a, b); }
  static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  static F halves(const uint8_t* p) { return halves_avx512(p); }
  static F codes(const uint8_t* p) { return codes_avx512(p); }
  static F signed_codes(const uint8_t* p) { return signed_codes_avx512(p); }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static __mmask16 lanes(int valid) { return static_cast<__mmask16>((1u << valid) - 1); }
  static F load(const float* p, int valid) { return _mm512_maskz_loadu_ps(lanes(valid), p); }
  static void store(float* p, F v, int valid) { _mm512_mask_storeu_ps(p, lanes(valid), v); }
  static F widen(const float* p) { return _mm512_loadu_ps(p); }
  static F widen(const Half* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static F widen(const BrainHalf* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }

  template <int bits, bool lookup>
  static U quants(const uint8_t* q, int j) { return quants_avx512<bits, lookup>(q, j); }
  template <int zero, int bits>
  static I dot(I sum, U w, const int8_t* x) {
    int32_t four;
    std::memcpy(&four, x, 4);
    return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
  }

  static void quantise(const float* x, int64_t K, int8_t* quants, float* scales, int32_t* sums) {
    for (int64_t b = 0; b < K / 32; ++b) {
      F lo = _mm512_loadu_ps(x + 32 * b), hi = _mm512_loadu_ps(x + 32 * b + 16);
      float top = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
      float scale = top / 127, inverse = top > 0 ? 127 / top : 0;
      I a = _mm512_cvtps_epi32(_mm512_mul_ps(lo, set(inverse))), c = _mm512_cvtps_epi32(_mm512_mul_ps(hi, set(inverse)));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 32 * b), _mm512_cvtepi32_epi8(a));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 32 * b + 16), _mm512_cvtepi32_epi8(c));
      scales[b] = scale;
      sums[2 * b] = _mm512_reduce_add_epi32(a);
      sums[2 * b + 1] = _mm512_reduce_add_epi32(c);
    }
  }
};

}  // namespace

constinit const DotTable dot_avx512 = make_table<Avx512>("avx512-vnni");

}  // namespace headrace::cpu
