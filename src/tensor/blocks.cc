// Compiled with -ffp-contract=off: a fused multiply-add would change the last bit of d q + m.
#include "tensor/blocks.h"

#include <cstring>

#include "base/error.h"
#include "tensor/half.h"

namespace headrace {

const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void unpack_scales_k4(const uint8_t* p, uint8_t* scales, uint8_t* mins) {
  for (int j = 0; j < 4; ++j) {
    scales[j] = p[j] & 63;
    mins[j] = p[j + 4] & 63;
    scales[j + 4] = static_cast<uint8_t>((p[j + 8] & 15) | (p[j] >> 6) << 4);
    mins[j + 4] = static_cast<uint8_t>((p[j + 8] >> 4) | (p[j + 4] >> 6) << 4);
  }
}

namespace {

float half_at(const uint8_t* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return f16_to_f32(h);
}
uint32_t word_at(const uint8_t* p) {
  uint32_t u;
  std::memcpy(&u, p, 4);
  return u;
}

// One block from p to y; the layout of each format is spelled out by its reads.
void q4_0(const uint8_t* p, float* y) {   // d, 16 bytes: low nibbles are values 0..15, high ones 16..31
  const float d = half_at(p);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((p[2 + i] & 15) - 8);
    y[i + 16] = d * static_cast<float>((p[2 + i] >> 4) - 8);
  }
}
void q4_1(const uint8_t* p, float* y) {   // d, m, 16 bytes
  const float d = half_at(p), m = half_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(p[4 + i] & 15) + m;
    y[i + 16] = d * static_cast<float>(p[4 + i] >> 4) + m;
  }
}
void q5_0(const uint8_t* p, float* y) {   // d, 32 fifth bits, 16 bytes
  const float d = half_at(p);
  const uint32_t high = word_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(static_cast<int>((p[6 + i] & 15u) | (high >> i & 1u) << 4) - 16);
    y[i + 16] = d * static_cast<float>(static_cast<int>((p[6 + i] >> 4) | (high >> (i + 16) & 1u) << 4) - 16);
  }
}
void q5_1(const uint8_t* p, float* y) {   // d, m, 32 fifth bits, 16 bytes
  const float d = half_at(p), m = half_at(p + 2);
  const uint32_t high = word_at(p + 4);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((p[8 + i] & 15u) | (high >> i & 1u) << 4) + m;
    y[i + 16] = d * static_cast<float>((p[8 + i] >> 4) | (high >> (i + 16) & 1u) << 4) + m;
  }
}
void q8_0(const uint8_t* p, float* y) {   // d, 32 signed bytes
  const float d = half_at(p);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(static_cast<int8_t>(p[2 + i]));
}
void q2_k(const uint8_t* p, float* y) {   // 16 bytes of scale and min nibbles, 64 bytes of two bits, d, dmin
  const float d = half_at(p + 80), dmin = half_at(p + 82);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(p[j] & 15), min = dmin * static_cast<float>(p[j] >> 4);
    const uint8_t* q = p + 16 + j / 8 * 32 + j % 2 * 16;
    const int shift = j % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) y[16 * j + i] = scale * static_cast<float>(q[i] >> shift & 3) - min;
  }
}
void q3_k(const uint8_t* p, float* y) {   // 32 bytes of third bits, 64 of two bits, 12 of six-bit scales, d
  const float d = half_at(p + 108);
  const uint8_t* packed = p + 96;
  for (int j = 0; j < 16; ++j) {
    const int low = packed[j % 8] >> (j / 8 * 4) & 15, high = packed[8 + j % 4] >> (j / 4 * 2) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t *q = p + 32 + j / 8 * 32 + j % 2 * 16, *h = p + j % 2 * 16;
    const int shift = j % 8 / 2 * 2, bit = j / 2;
    for (int i = 0; i < 16; ++i)
      y[16 * j + i] = scale * static_cast<float>((q[i] >> shift & 3) - ((h[i] >> bit & 1) ? 0 : 4));
  }
}
void q4_k(const uint8_t* p, float* y) {   // d, dmin, 12 bytes of scales and mins, 128 bytes of nibbles
  const float d = half_at(p), dmin = half_at(p + 2);
  uint8_t scales[8], mins[8];
  unpack_scales_k4(p + 4, scales, mins);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(scales[j]), min = dmin * static_cast<float>(mins[j]);
    const uint8_t* q = p + 16 + j / 2 * 32;
    for (int i = 0; i < 32; ++i) y[32 * j + i] = scale * static_cast<float>(q[i] >> (j % 2 * 4) & 15) - min;
  }
}
void q5_k(const uint8_t* p, float* y) {   // d, dmin, 12 bytes of scales and mins, 32 of fifth bits, 128 of nibbles
  const float d = half_at(p), dmin = half_at(p + 2);
  uint8_t scales[8], mins[8];
  unpack_scales_k4(p + 4, scales, mins);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(scales[j]), min = dmin * static_cast<float>(mins[j]);
    const uint8_t *q = p + 48 + j / 2 * 32, *h = p + 16;
    for (int i = 0; i < 32; ++i)
      y[32 * j + i] = scale * static_cast<float>((q[i] >> (j % 2 * 4) & 15) | (h[i] >> j & 1) << 4) - min;
  }
}
void q6_k(const uint8_t* p, float* y) {   // 128 bytes of nibbles, 64 of upper two bits, 16 signed scales, d
  const float d = half_at(p + 208);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(static_cast<int8_t>(p[192 + j]));
    const int part = j % 8 / 2;   // 32 values of the half's 128
    const uint8_t *q = p + j / 8 * 64 + part % 2 * 32 + j % 2 * 16, *h = p + 128 + j / 8 * 32 + j % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int low = q[i] >> (part / 2 * 4) & 15, high = h[i] >> (part * 2) & 3;
      y[16 * j + i] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}
void iq4_nl(const uint8_t* p, float* y) {   // d, 16 bytes of indices
  const float d = half_at(p);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(iq4_values[p[2 + i] & 15]);
    y[i + 16] = d * static_cast<float>(iq4_values[p[2 + i] >> 4]);
  }
}
void iq4_xs(const uint8_t* p, float* y) {   // d, 16 bits of upper scale bits, 4 bytes of lower ones, 128 of indices
  const float d = half_at(p);
  const uint32_t high = word_at(p) >> 16;
  for (int j = 0; j < 8; ++j) {
    const int low = p[4 + j / 2] >> (j % 2 * 4) & 15, scale6 = low | static_cast<int>(high >> (2 * j) & 3) << 4;
    const float scale = d * static_cast<float>(scale6 - 32);
    const uint8_t* q = p + 8 + 16 * j;
    for (int i = 0; i < 16; ++i) {
      y[32 * j + i] = scale * static_cast<float>(iq4_values[q[i] & 15]);
      y[32 * j + 16 + i] = scale * static_cast<float>(iq4_values[q[i] >> 4]);
    }
  }
}

template <void (*block)(const uint8_t*, float*)>
void blocks(DType t, const void* from, float* to, int64_t n) {
  const auto* p = static_cast<const uint8_t*>(from);
  const int size = info(t).block, bytes = info(t).block_bytes;
  for (int64_t i = 0; i < n; i += size, p += bytes) block(p, to + i);
}
template <class T, class Convert>
void plain(const void* from, float* to, int64_t n, Convert convert) {
  const auto* p = static_cast<const std::byte*>(from);
  for (int64_t i = 0; i < n; ++i) {
    T v;
    std::memcpy(&v, p + i * sizeof(T), sizeof(T));
    to[i] = convert(v);
  }
}

}  // namespace

void dequantise_row(DType t, const void* from, float* to, int64_t n) {
  expect(n >= 0 && n % info(t).block == 0, "dequantise: ", n, " values of ", t, " are not whole blocks of ", info(t).block);
  switch (t) {
    case DType::f32: if (n) std::memcpy(to, from, static_cast<size_t>(n) * 4); return;
    case DType::f16: return plain<uint16_t>(from, to, n, f16_to_f32);
    case DType::bf16: return plain<uint16_t>(from, to, n, bf16_to_f32);
    case DType::f64: return plain<double>(from, to, n, [](double v) { return static_cast<float>(v); });
    case DType::q4_0: return blocks<q4_0>(t, from, to, n);
    case DType::q4_1: return blocks<q4_1>(t, from, to, n);
    case DType::q5_0: return blocks<q5_0>(t, from, to, n);
    case DType::q5_1: return blocks<q5_1>(t, from, to, n);
    case DType::q8_0: return blocks<q8_0>(t, from, to, n);
    case DType::q2_k: return blocks<q2_k>(t, from, to, n);
    case DType::q3_k: return blocks<q3_k>(t, from, to, n);
    case DType::q4_k: return blocks<q4_k>(t, from, to, n);
    case DType::q5_k: return blocks<q5_k>(t, from, to, n);
    case DType::q6_k: return blocks<q6_k>(t, from, to, n);
    case DType::iq4_nl: return blocks<iq4_nl>(t, from, to, n);
    case DType::iq4_xs: return blocks<iq4_xs>(t, from, to, n);
    default: fail("dequantise: ", t, " is not a float type");
  }
}

}  // namespace headrace
