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
    const int64_t blocks = K / 32;
    int64_t b = 0;
    for (; b + 2 <= blocks; b += 2) quantise_two(x + 32 * b, quants + 32 * b, scales + b, sums + 2 * b);
    if (b == blocks) return;
    alignas(64) float last[64] = {};                         // a block alone, with zeros for a second
    alignas(64) int8_t q[64];
    float scale[2];
    int32_t sum[4];
    std::memcpy(last, x + 32 * b, 32 * sizeof(float));
    quantise_two(last, q, scale, sum);
    std::memcpy(quants + 32 * b, q, 32), scales[b] = scale[0], std::memcpy(sums + 2 * b, sum, 2 * sizeof(int32_t));
  }
  // Two blocks at once: their largest values meet in one vector, and so do the sums of their four halves. Sizes are compared as integers,
  // of which NaN is the largest: its block's scale is then NaN.
  static void quantise_two(const float* x, int8_t* quants, float* scales, int32_t* sums) {
    F v[4];
    for (int i = 0; i < 4; ++i) v[i] = _mm512_loadu_ps(x + 16 * i);
    auto size = [&](int i) { return _mm512_castps_si512(_mm512_abs_ps(v[i])); };
    const I m = _mm512_max_epi32(size(0), size(1)), n = _mm512_max_epi32(size(2), size(3));
    I most_of = _mm512_max_epi32(_mm512_shuffle_i32x4(m, n, 0x44), _mm512_shuffle_i32x4(m, n, 0xee));   // of m in the low half, of n in the high
    most_of = _mm512_max_epi32(most_of, _mm512_shuffle_i32x4(most_of, most_of, 0xb1));
    most_of = _mm512_max_epi32(most_of, _mm512_shuffle_epi32(most_of, _MM_PERM_BADC));
    most_of = _mm512_max_epi32(most_of, _mm512_shuffle_epi32(most_of, _MM_PERM_CDAB));
    const F top = _mm512_castsi512_ps(most_of);
    const __m128 both = _mm_unpacklo_ps(_mm512_castps512_ps128(top), _mm512_extractf32x4_ps(top, 2)), most = _mm_set1_ps(127);
    const __m128 inverse = _mm_maskz_div_ps(_mm_cmp_ps_mask(both, _mm_setzero_ps(), _CMP_GT_OQ), most, both);
    _mm_storel_pi(reinterpret_cast<__m64*>(scales), _mm_div_ps(both, most));
    const F by[2] = {_mm512_broadcastss_ps(inverse), _mm512_broadcastss_ps(_mm_movehdup_ps(inverse))};
    I bytes{};
    for (int i = 0; i < 4; ++i) {
      const __m128i q = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v[i], by[i / 2])));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 16 * i), q);
    }
    std::memcpy(&bytes, quants, 64);
    I four = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes);
    four = _mm512_add_epi32(four, _mm512_shuffle_epi32(four, _MM_PERM_BADC));
    four = _mm512_add_epi32(four, _mm512_shuffle_epi32(four, _MM_PERM_CDAB));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, four)));
  }
};

}  // namespace

constinit const DotTable dot_avx512 = make_table<Avx512>("avx512-vnni");

}  // namespace headrace::cpu
