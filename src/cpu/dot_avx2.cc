// AVX2: two halves of eight rows. Products of bytes go through vpmaddubsw, whose 16-bit sums saturate: quants of up to six
// bits fit (63 * 127 * 2); 8-bit ones are made signed first and their sign moved to the input (128 * 127 * 2 fits too).
#include <immintrin.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "cpu/dot-inl.h"

namespace headrace::cpu {
namespace {

struct Avx2 {
  struct F { __m256 a, b; };
  struct I { __m256i a, b; };
  using U = I;
  static constexpr int tile = 2, plain_tile = 4;
  static constexpr bool starts(int zero) { return zero != 0 && zero != 128; }   // 128: dot() makes the quants signed

  static __m256i load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static __m128i load16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static I none() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static I set(int32_t v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
  static F set(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
  static F multiply(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  static F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  static F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
  static F negate(F x) { return {_mm256_sub_ps(_mm256_setzero_ps(), x.a), _mm256_sub_ps(_mm256_setzero_ps(), x.b)}; }
  static I both(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
  static F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  static F halves(const uint8_t* p) { return {_mm256_cvtph_ps(load16(p)), _mm256_cvtph_ps(load16(p + 16))}; }
  static F codes(const uint8_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load16(p))), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(load16(p), 8)))};
  }
  static F signed_codes(const uint8_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load16(p))), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(load16(p), 8)))};
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static F load(const float* p, int valid) {
    alignas(32) float t[16] = {};
    std::memcpy(t, p, static_cast<size_t>(valid) * 4);
    return {_mm256_load_ps(t), _mm256_load_ps(t + 8)};
  }
  static void store(float* p, F v, int valid) {
    if (valid == 16) {
      _mm256_storeu_ps(p, v.a), _mm256_storeu_ps(p + 8, v.b);
      return;
    }
    alignas(32) float t[16];
    _mm256_store_ps(t, v.a), _mm256_store_ps(t + 8, v.b);
    std::memcpy(p, t, static_cast<size_t>(valid) * 4);
  }
  static F widen(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F widen(const Half* p) { return halves(reinterpret_cast<const uint8_t*>(p)); }
  static F widen(const BrainHalf* p) {
    auto up = [](const BrainHalf* h) {
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(reinterpret_cast<const uint8_t*>(h))), 16));
    };
    return {up(p), up(p + 8)};
  }

  template <int bits, bool lookup>
  static U quants(const uint8_t* q, int j) {
    return {half<bits, lookup>(q, j, 0), half<bits, lookup>(q, j, 1)};
  }
  template <int bits, bool lookup>
  static __m256i half(const uint8_t* q, int j, int side) {
    if constexpr (bits == 8) return load(q + 64 * j + 32 * side);
    __m256i v = load(q + 64 * (j % 4) + 32 * side);
    v = _mm256_and_si256(j < 4 ? v : _mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
    if constexpr (lookup) {
      v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load16(lookup_bytes)), v);
    }
    if constexpr (bits == 5) {
      int32_t word;
      std::memcpy(&word, q + 256 + 8 * j + 4 * side, 4);
      const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
      const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
      __m256i on = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), spread), bit), bit);
      v = _mm256_or_si256(v, _mm256_and_si256(on, _mm256_set1_epi8(16)));
    }
    if constexpr (bits == 6) {
      __m256i high = _mm256_srli_epi16(load(q + 256 + 64 * (j % 2) + 32 * side), 2 * (j / 2));
      v = _mm256_or_si256(v, _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4));
    }
    return v;
  }
  template <int zero, int bits>
  static I dot(I sum, U w, const int8_t* x) {
    int32_t four;
    std::memcpy(&four, x, 4);
    const __m256i in = _mm256_set1_epi32(four), ones = _mm256_set1_epi16(1);
    auto one = [&](__m256i s, __m256i u) {
      if constexpr (zero == 128) {
        __m256i w8 = _mm256_xor_si256(u, _mm256_set1_epi8(static_cast<char>(0x80)));
        __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w8), _mm256_sign_epi8(in, w8)), ones);
        return _mm256_add_epi32(s, p);
      } else {
        return _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(u, in), ones));
      }
    };
    return {one(sum.a, w.a), one(sum.b, w.b)};
  }

  static void quantise(const float* x, int64_t K, int8_t* quants, float* scales, int32_t* sums) {
    for (int64_t b = 0; b < K / 32; ++b) {
      const float* p = x + 32 * b;
      __m256 v[4];
      __m256i top = _mm256_setzero_si256();                  // sizes as integers: NaN is the largest
      for (int i = 0; i < 4; ++i) {
        v[i] = _mm256_loadu_ps(p + 8 * i);
        top = _mm256_max_epi32(top, _mm256_castps_si256(_mm256_andnot_ps(_mm256_set1_ps(-0.f), v[i])));
      }
      __m128i m = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
      m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
      m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
      const float largest = _mm_cvtss_f32(_mm_castsi128_ps(m));
      if (!std::isfinite(largest)) {                         // no number, and so are all products with this block
        std::memset(quants + 32 * b, 0, 32);
        scales[b] = NAN, sums[2 * b] = sums[2 * b + 1] = 0;
        continue;
      }
      const float inverse = largest > 0 ? 127 / largest : 0;
      int32_t half[2] = {0, 0};
      alignas(32) int32_t t[8];
      for (int i = 0; i < 4; ++i) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(t), _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse))));
        for (int k = 0; k < 8; ++k) quants[32 * b + 8 * i + k] = static_cast<int8_t>(t[k]), half[i / 2] += t[k];
      }
      scales[b] = largest / 127;
      sums[2 * b] = half[0], sums[2 * b + 1] = half[1];
    }
  }
};

}  // namespace

constinit const DotTable dot_avx2 = make_table<Avx2>("avx2");

}  // namespace headrace::cpu
