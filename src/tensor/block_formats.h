// One block of each format, from its bytes to its values. constexpr, so that CUDA compiles the same definitions; a file that
// includes this is compiled without fused multiply-adds, which would change the last bit of d q + m.
#pragma once
#include <cstdint>

#include "tensor/half.h"

namespace headrace::block_formats {

constexpr int8_t iq4_value(int i) {
  constexpr int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return table[i];
}

constexpr void unpack_scales_k4(const uint8_t* p, uint8_t* scales, uint8_t* mins) {
  for (int j = 0; j < 4; ++j) {
    scales[j] = p[j] & 63;
    mins[j] = p[j + 4] & 63;
    scales[j + 4] = static_cast<uint8_t>((p[j + 8] & 15) | (p[j] >> 6) << 4);
    mins[j + 4] = static_cast<uint8_t>((p[j + 8] >> 4) | (p[j + 4] >> 6) << 4);
  }
}

constexpr float half_at(const uint8_t* p) { return f16_to_f32(static_cast<uint16_t>(p[0] | p[1] << 8)); }
constexpr uint32_t word_at(const uint8_t* p) { return p[0] | p[1] << 8 | p[2] << 16 | uint32_t{p[3]} << 24; }

// The layout of each format is spelled out by its reads.
constexpr void q4_0(const uint8_t* p, float* y) {   // d, 16 bytes: low nibbles are values 0..15, high ones 16..31
  const float d = half_at(p);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((p[2 + i] & 15) - 8);
    y[i + 16] = d * static_cast<float>((p[2 + i] >> 4) - 8);
  }
}
constexpr void q4_1(const uint8_t* p, float* y) {   // d, m, 16 bytes
  const float d = half_at(p), m = half_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(p[4 + i] & 15) + m;
    y[i + 16] = d * static_cast<float>(p[4 + i] >> 4) + m;
  }
}
constexpr void q5_0(const uint8_t* p, float* y) {   // d, 32 fifth bits, 16 bytes
  const float d = half_at(p);
  const uint32_t high = word_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(static_cast<int>((p[6 + i] & 15u) | (high >> i & 1u) << 4) - 16);
    y[i + 16] = d * static_cast<float>(static_cast<int>((p[6 + i] >> 4) | (high >> (i + 16) & 1u) << 4) - 16);
  }
}
constexpr void q5_1(const uint8_t* p, float* y) {   // d, m, 32 fifth bits, 16 bytes
  const float d = half_at(p), m = half_at(p + 2);
  const uint32_t high = word_at(p + 4);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((p[8 + i] & 15u) | (high >> i & 1u) << 4) + m;
    y[i + 16] = d * static_cast<float>((p[8 + i] >> 4) | (high >> (i + 16) & 1u) << 4) + m;
  }
}
constexpr void q8_0(const uint8_t* p, float* y) {   // d, 32 signed bytes
  const float d = half_at(p);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(static_cast<int8_t>(p[2 + i]));
}
constexpr void q2_k(const uint8_t* p, float* y) {   // 16 bytes of scale and min nibbles, 64 bytes of two bits, d, dmin
  const float d = half_at(p + 80), dmin = half_at(p + 82);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(p[j] & 15), min = dmin * static_cast<float>(p[j] >> 4);
    const uint8_t* q = p + 16 + j / 8 * 32 + j % 2 * 16;
    const int shift = j % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) y[16 * j + i] = scale * static_cast<float>(q[i] >> shift & 3) - min;
  }
}
constexpr void q3_k(const uint8_t* p, float* y) {   // 32 bytes of third bits, 64 of two bits, 12 of six-bit scales, d
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
constexpr void q4_k(const uint8_t* p, float* y) {   // d, dmin, 12 bytes of scales and mins, 128 bytes of nibbles
  const float d = half_at(p), dmin = half_at(p + 2);
  uint8_t scales[8], mins[8];
  unpack_scales_k4(p + 4, scales, mins);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(scales[j]), min = dmin * static_cast<float>(mins[j]);
    const uint8_t* q = p + 16 + j / 2 * 32;
    for (int i = 0; i < 32; ++i) y[32 * j + i] = scale * static_cast<float>(q[i] >> (j % 2 * 4) & 15) - min;
  }
}
constexpr void q5_k(const uint8_t* p, float* y) {   // d, dmin, 12 bytes of scales and mins, 32 of fifth bits, 128 of nibbles
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
constexpr void q6_k(const uint8_t* p, float* y) {   // 128 bytes of nibbles, 64 of upper two bits, 16 signed scales, d
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
constexpr void iq4_nl(const uint8_t* p, float* y) {   // d, 16 bytes of indices
  const float d = half_at(p);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(iq4_value(p[2 + i] & 15));
    y[i + 16] = d * static_cast<float>(iq4_value(p[2 + i] >> 4));
  }
}
constexpr void iq4_xs(const uint8_t* p, float* y) {   // d, 16 bits of upper scale bits, 4 bytes of lower ones, 128 of indices
  const float d = half_at(p);
  const uint32_t high = word_at(p) >> 16;
  for (int j = 0; j < 8; ++j) {
    const int low = p[4 + j / 2] >> (j % 2 * 4) & 15, scale6 = low | static_cast<int>(high >> (2 * j) & 3) << 4;
    const float scale = d * static_cast<float>(scale6 - 32);
    const uint8_t* q = p + 8 + 16 * j;
    for (int i = 0; i < 16; ++i) {
      y[32 * j + i] = scale * static_cast<float>(iq4_value(q[i] & 15));
      y[32 * j + 16 + i] = scale * static_cast<float>(iq4_value(q[i] >> 4));
    }
  }
}

}  // namespace headrace::block_formats
