// Quantisation: scales by fit.h, then for the K formats the small integer scales of the sub-blocks are searched against
// the f16 scale of the block, and the block's scale is fitted again to what they became.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensor/blocks.h"
#include "tensor/blocks_fit.h"

namespace headrace {
namespace {

using fit::Uniform;

struct Table {                                     // the levels of iq4_nl and iq4_xs
  static constexpr float low = -127, high = 113, step = 2.f;
  static constexpr float values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  static float level(float v) {
    float q = values[0];
    for (int k = 1; k < 16; ++k) q = v > (values[k - 1] + values[k]) / 2 ? values[k] : q;
    return q;
  }
  static int index(float level) { return static_cast<int>(std::lower_bound(values, values + 16, level) - values); }
};

void put_half(uint8_t* p, float v) {
  const uint16_t h = f32_to_f16(v);
  std::memcpy(p, &h, 2);
}
uint8_t byte(int v) { return static_cast<uint8_t>(v); }

// x ~ d q with d an f16; of the fitted scale and the plain one (the largest value on the last level) the better.
template <class Grid>
float block_scale(const float* x, const float* w, int n) {
  const float fitted = fit::as_half(fit::scale<Grid>(x, w, n)), plain = fit::as_half(fit::peak(x, n) / Grid::low);
  return fit::error<Grid>(x, w, n, plain) < fit::error<Grid>(x, w, n, fitted) ? plain : fitted;
}
template <class Grid>
void levels(const float* x, int n, float d, float min, int* q, int zero = 0) {
  const float inverse = d != 0 ? 1 / d : 0;
  for (int i = 0; i < n; ++i) q[i] = static_cast<int>(Grid::level((x[i] + min) * inverse)) + zero;
}

void pack_nibbles(uint8_t* p, const int* q) {      // 32 values: low nibbles first
  for (int i = 0; i < 16; ++i) p[i] = byte((q[i] & 15) | (q[i + 16] & 15) << 4);
}
void pack_fifth(uint8_t* p, const int* q) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(q[i] >> 4 & 1) << i;
  std::memcpy(p, &bits, 4);
}
void q4_0(const float* x, const float* w, uint8_t* p) {
  int q[32];
  const float d = block_scale<Uniform<-8, 7>>(x, w, 32);
  levels<Uniform<-8, 7>>(x, 32, d, 0, q, 8);
  put_half(p, d);
  pack_nibbles(p + 2, q);
}
void q5_0(const float* x, const float* w, uint8_t* p) {
  int q[32];
  const float d = block_scale<Uniform<-16, 15>>(x, w, 32);
  levels<Uniform<-16, 15>>(x, 32, d, 0, q, 16);
  put_half(p, d);
  pack_fifth(p + 2, q);
  pack_nibbles(p + 6, q);
}
void q8_0(const float* x, const float* w, uint8_t* p) {
  int q[32];
  const float d = block_scale<Uniform<-127, 127>>(x, w, 32);
  levels<Uniform<-127, 127>>(x, 32, d, 0, q);
  put_half(p, d);
  for (int i = 0; i < 32; ++i) p[2 + i] = byte(q[i]);
}
void iq4_nl(const float* x, const float* w, uint8_t* p) {
  int q[32];
  const float d = block_scale<Table>(x, w, 32);
  levels<Table>(x, 32, d, 0, q);
  for (int& v : q) v = Table::index(static_cast<float>(v));
  put_half(p, d);
  pack_nibbles(p + 2, q);
}
template <int High>
void affine_block(const float* x, const float* w, uint8_t* p, int* q) {   // q4_1 and q5_1: d, m
  fit::Affine a = fit::affine<High>(x, w, 32, false);
  a = {fit::as_half(a.scale), fit::as_half(a.min)};
  levels<Uniform<0, High>>(x, 32, a.scale, a.min, q);
  put_half(p, a.scale);
  put_half(p + 2, -a.min);
}
void q4_1(const float* x, const float* w, uint8_t* p) {
  int q[32];
  affine_block<15>(x, w, p, q);
  pack_nibbles(p + 4, q);
}
void q5_1(const float* x, const float* w, uint8_t* p) {
  int q[32];
  affine_block<31>(x, w, p, q);
  pack_fifth(p + 4, q);
  pack_nibbles(p + 8, q);
}

// x ~ d s_j q over a block of 256 in sub-blocks of N values, s_j in Least..Most.
template <class Grid, int N, int Least, int Most>
struct Scaled {
  static constexpr int count = 256 / N;
  float d = 0;
  int s[count] = {}, q[256] = {};

  Scaled(const float* x, const float* w) {
    float fitted[count];
    for (int j = 0; j < count; ++j) fitted[j] = fit::scale<Grid>(x + j * N, w + j * N, N);
    d = fit::as_half(fit::peak(fitted, count) / Least);
    if (d == 0) return;
    for (int j = 0; j < count; ++j) s[j] = rounded(fitted[j] / d);
    for (int pass = 0; pass < 3; ++pass) {
      for (int j = 0; j < count; ++j) improve(x + j * N, w + j * N, s[j]);
      if (!refit(x, w)) break;
    }
    level(x);
  }
  static int rounded(float v) { return std::clamp(static_cast<int>(std::lrint(v)), Least, Most); }
  void improve(const float* x, const float* w, int& best) const {
    float least = fit::error<Grid>(x, w, N, d * static_cast<float>(best));
    const int centre = best;
    for (int step : {-1, 1}) {
      const int s = centre + step;
      if (s < Least || s > Most) continue;
      const float e = fit::error<Grid>(x, w, N, d * static_cast<float>(s));
      if (e < least) least = e, best = s;
    }
  }
  float total(const float* x, const float* w, float d) const {
    float e = 0;
    for (int j = 0; j < count; ++j) e += fit::error<Grid>(x + j * N, w + j * N, N, d * static_cast<float>(s[j]));
    return e;
  }
  bool refit(const float* x, const float* w) {
    float xq = 0, qq = 0;
    for (int j = 0; j < count; ++j) {
      const auto sj = static_cast<float>(s[j]);
      if (sj == 0) continue;
      const fit::Sums sums = fit::sums<Grid>(x + j * N, w + j * N, N, 1 / (d * sj));
      xq += sj * sums.xq;
      qq += sj * sj * sums.qq;
    }
    const float better = qq > 0 ? fit::as_half(xq / qq) : d;
    if (better == d || !(total(x, w, better) < total(x, w, d))) return false;
    d = better;
    return true;
  }
  void level(const float* x) {
    for (int j = 0; j < count; ++j) levels<Grid>(x + j * N, N, d * static_cast<float>(s[j]), 0, q + j * N);
  }
};

// x ~ d s_j q - dmin m_j, q in 0..High, s_j and m_j in 0..Most.
template <int High, int N, int Most>
struct ScaledMin {
  using Grid = Uniform<0, High>;
  static constexpr int count = 256 / N;
  float d = 0, dmin = 0;
  int s[count] = {}, m[count] = {}, q[256] = {};

  ScaledMin(const float* x, const float* w) {
    fit::Affine a[count];
    float most_scale = 0, most_min = 0;
    for (int j = 0; j < count; ++j) {
      a[j] = fit::affine<High>(x + j * N, w + j * N, N, true);
      most_scale = std::max(most_scale, a[j].scale);
      most_min = std::max(most_min, a[j].min);
    }
    d = fit::as_half(most_scale / Most);
    dmin = fit::as_half(most_min / Most);
    for (int j = 0; j < count; ++j) {
      s[j] = d > 0 ? rounded(a[j].scale / d) : 0;
      m[j] = dmin > 0 ? rounded(a[j].min / dmin) : 0;
    }
    for (int pass = 0; pass < 3; ++pass) {
      for (int j = 0; j < count; ++j) improve(x + j * N, w + j * N, s[j], m[j]);
      if (!refit(x, w)) break;
    }
    for (int j = 0; j < count; ++j) levels<Grid>(x + j * N, N, d * static_cast<float>(s[j]), dmin * static_cast<float>(m[j]), q + j * N);
  }
  static int rounded(float v) { return std::clamp(static_cast<int>(std::lrint(v)), 0, Most); }
  float error(const float* x, const float* w, int s, int m) const {
    return fit::error<Grid>(x, w, N, d * static_cast<float>(s), dmin * static_cast<float>(m));
  }
  void improve(const float* x, const float* w, int& best_s, int& best_m) const {
    const int s0 = best_s, m0 = best_m;
    float least = error(x, w, s0, m0);
    for (int s = std::max(0, s0 - 1); s <= std::min(Most, s0 + 1); ++s)
      for (int m = std::max(0, m0 - 1); m <= std::min(Most, m0 + 1); ++m) {
        const float e = error(x, w, s, m);
        if (e < least) least = e, best_s = s, best_m = m;
      }
  }
  float total(const float* x, const float* w) const {
    float e = 0;
    for (int j = 0; j < count; ++j) e += error(x + j * N, w + j * N, s[j], m[j]);
    return e;
  }
  bool refit(const float* x, const float* w) {     // least squares of x over the columns s q and -m
    float aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int j = 0; j < count; ++j) {
      int level[N];
      levels<Grid>(x + j * N, N, d * static_cast<float>(s[j]), dmin * static_cast<float>(m[j]), level);
      for (int i = 0; i < N; ++i) {
        const float wi = w[j * N + i], a = static_cast<float>(s[j] * level[i]), b = static_cast<float>(-m[j]), xi = x[j * N + i];
        aa += wi * a * a, ab += wi * a * b, bb += wi * b * b, ax += wi * a * xi, bx += wi * b * xi;
      }
    }
    const float determinant = aa * bb - ab * ab, before = total(x, w), old_d = d, old_dmin = dmin;
    if (determinant > 1e-6f * aa * bb) {
      d = fit::as_half((ax * bb - bx * ab) / determinant);
      dmin = fit::as_half((aa * bx - ab * ax) / determinant);
    } else if (aa > 0) {
      d = fit::as_half((ax - ab * dmin) / aa);
    }
    if (d > 0 && dmin >= 0 && total(x, w) < before) return true;
    d = old_d, dmin = old_dmin;
    return false;
  }
};

void q2_k(const float* x, const float* w, uint8_t* p) {
  const ScaledMin<3, 16, 15> b(x, w);
  for (int j = 0; j < 16; ++j) {
    p[j] = byte(b.s[j] | b.m[j] << 4);
    uint8_t* q = p + 16 + j / 8 * 32 + j % 2 * 16;
    for (int i = 0; i < 16; ++i) q[i] |= byte(b.q[16 * j + i] << (j % 8 / 2 * 2));
  }
  put_half(p + 80, b.d);
  put_half(p + 82, b.dmin);
}
void q3_k(const float* x, const float* w, uint8_t* p) {
  const Scaled<Uniform<-4, 3>, 16, -32, 31> b(x, w);
  for (int j = 0; j < 16; ++j) {
    const int s = b.s[j] + 32;
    p[96 + j % 8] |= byte((s & 15) << (j / 8 * 4));
    p[104 + j % 4] |= byte((s >> 4) << (j / 4 * 2));
    uint8_t *q = p + 32 + j / 8 * 32 + j % 2 * 16, *h = p + j % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int v = b.q[16 * j + i] + 4;
      q[i] |= byte((v & 3) << (j % 8 / 2 * 2));
      h[i] |= byte((v >> 2) << (j / 2));
    }
  }
  put_half(p + 108, b.d);
}
void pack_scales_k4(uint8_t* p, const int* s, const int* m) {
  for (int j = 0; j < 4; ++j) {
    p[j] = byte(s[j] | (s[j + 4] >> 4) << 6);
    p[j + 4] = byte(m[j] | (m[j + 4] >> 4) << 6);
    p[j + 8] = byte((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
  }
}
void q4_k(const float* x, const float* w, uint8_t* p) {
  const ScaledMin<15, 32, 63> b(x, w);
  put_half(p, b.d);
  put_half(p + 2, b.dmin);
  pack_scales_k4(p + 4, b.s, b.m);
  for (int j = 0; j < 8; ++j)
    for (int i = 0; i < 32; ++i) p[16 + j / 2 * 32 + i] |= byte(b.q[32 * j + i] << (j % 2 * 4));
}
void q5_k(const float* x, const float* w, uint8_t* p) {
  const ScaledMin<31, 32, 63> b(x, w);
  put_half(p, b.d);
  put_half(p + 2, b.dmin);
  pack_scales_k4(p + 4, b.s, b.m);
  for (int j = 0; j < 8; ++j)
    for (int i = 0; i < 32; ++i) {
      p[48 + j / 2 * 32 + i] |= byte((b.q[32 * j + i] & 15) << (j % 2 * 4));
      p[16 + i] |= byte((b.q[32 * j + i] >> 4) << j);
    }
}
void q6_k(const float* x, const float* w, uint8_t* p) {
  const Scaled<Uniform<-32, 31>, 16, -128, 127> b(x, w);
  for (int j = 0; j < 16; ++j) {
    p[192 + j] = byte(b.s[j]);
    const int part = j % 8 / 2;
    uint8_t *q = p + j / 8 * 64 + part % 2 * 32 + j % 2 * 16, *h = p + 128 + j / 8 * 32 + j % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int v = b.q[16 * j + i] + 32;
      q[i] |= byte((v & 15) << (part / 2 * 4));
      h[i] |= byte((v >> 4) << (part * 2));
    }
  }
  put_half(p + 208, b.d);
}
void iq4_xs(const float* x, const float* w, uint8_t* p) {
  const Scaled<Table, 32, -32, 31> b(x, w);
  int high = 0;
  for (int j = 0; j < 8; ++j) {
    const int s = b.s[j] + 32;
    p[4 + j / 2] |= byte((s & 15) << (j % 2 * 4));
    high |= (s >> 4) << (2 * j);
    int index[32];
    for (int i = 0; i < 32; ++i) index[i] = Table::index(static_cast<float>(b.q[32 * j + i]));
    pack_nibbles(p + 8 + 16 * j, index);
  }
  put_half(p, b.d);
  p[2] = byte(high & 255);
  p[3] = byte(high >> 8);
}

void blocks(void (*block)(const float*, const float*, uint8_t*), DType t, const float* from, void* to, int64_t n, const float* importance) {
  const int size = info(t).block, bytes = info(t).block_bytes;
  auto* p = static_cast<uint8_t*>(to);
  std::memset(p, 0, bytes_of(t, n));
  float w[256];
  std::fill(w, w + 256, 1.f);
  for (int64_t at = 0; at < n; at += size, p += bytes) {
    bool finite = true;
    for (int i = 0; i < size; ++i) finite &= std::isfinite(from[at + i]);
    expect(finite, "quantise: a value that is not finite among values ", at, " to ", at + size - 1);
    if (importance) {                              // scaled to a mean of one, so that no weight vanishes in the sums
      float sum = 0;
      for (int i = 0; i < size; ++i) sum += importance[at + i];
      for (int i = 0; i < size; ++i) w[i] = sum > 0 ? importance[at + i] * static_cast<float>(size) / sum + 1e-6f : 1.f;
    }
    block(from + at, w, p);
  }
}

}  // namespace

void quantise_row(DType t, const float* from, void* to, int64_t n, const float* importance) {
  expect(n >= 0 && n % info(t).block == 0, "quantise: ", n, " values are not whole blocks of ", info(t).block, " (", t, ")");
  auto each = [&](auto convert) {
    auto* p = static_cast<decltype(convert(0.f))*>(to);
    for (int64_t i = 0; i < n; ++i) p[i] = convert(from[i]);
  };
  switch (t) {
    case DType::f32: if (n) std::memcpy(to, from, static_cast<size_t>(n) * 4); return;
    case DType::f16: return each(f32_to_f16);
    case DType::bf16: return each(f32_to_bf16);
    case DType::f64: return each([](float v) { return static_cast<double>(v); });
    case DType::q4_0: return blocks(q4_0, t, from, to, n, importance);
    case DType::q4_1: return blocks(q4_1, t, from, to, n, importance);
    case DType::q5_0: return blocks(q5_0, t, from, to, n, importance);
    case DType::q5_1: return blocks(q5_1, t, from, to, n, importance);
    case DType::q8_0: return blocks(q8_0, t, from, to, n, importance);
    case DType::q2_k: return blocks(q2_k, t, from, to, n, importance);
    case DType::q3_k: return blocks(q3_k, t, from, to, n, importance);
    case DType::q4_k: return blocks(q4_k, t, from, to, n, importance);
    case DType::q5_k: return blocks(q5_k, t, from, to, n, importance);
    case DType::q6_k: return blocks(q6_k, t, from, to, n, importance);
    case DType::iq4_nl: return blocks(iq4_nl, t, from, to, n, importance);
    case DType::iq4_xs: return blocks(iq4_xs, t, from, to, n, importance);
    default: fail("quantise: ", t, " is not a float type");
  }
}

}  // namespace headrace
