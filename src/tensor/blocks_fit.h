// Least-squares fits for the block formats: scales (and minima) for a short run of values under weights w.
//
// Given levels q, the best d of sum w (x - d q)^2 is (w x q) / (w q q), and leaves an error of (w x x) - (w x q)^2 / (w q q);
// with a minimum it is a 2 x 2 system. Given d, the best levels are the nearest ones. Both fits start from scales that
// put the largest value a little inside or outside of the range, keep the best, and then alternate the two steps.
#pragma once
#include <cmath>
#include <cstdint>

#include "tensor/half.h"

namespace headrace::fit {

constexpr int lanes = 8;                           // sums run in this many lanes; runs are multiples of it

inline float nearest(float v) { return (v + 12582912.f) - 12582912.f; }   // for |v| < 2^22
inline float clamped(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

// A scale as the file will hold it: an f16 that is finite.
inline float as_half(float d) { return f16_to_f32(f32_to_f16(clamped(d, -65504.f, 65504.f))); }

template <int Low, int High>
struct Uniform {                                   // levels Low..High
  static constexpr float low = Low, high = High, step = 0.125f;
  static float level(float v) { return nearest(clamped(v, low, high)); }
};

struct Sums { float xq, qq; };
template <class Grid>
Sums sums(const float* x, const float* w, int n, float inverse) {
  float xq[lanes] = {}, qq[lanes] = {};
  for (int i = 0; i < n; i += lanes)
    for (int l = 0; l < lanes; ++l) {
      const float q = Grid::level(x[i + l] * inverse), wq = w[i + l] * q;
      xq[l] += wq * x[i + l];
      qq[l] += wq * q;
    }
  Sums s{0, 0};
  for (int l = 0; l < lanes; ++l) s.xq += xq[l], s.qq += qq[l];
  return s;
}

// sum w (x + min - d q)^2 with the levels nearest to x + min
template <class Grid>
float error(const float* x, const float* w, int n, float d, float min = 0) {
  const float inverse = d != 0 ? 1 / d : 0;
  float e[lanes] = {};
  for (int i = 0; i < n; i += lanes)
    for (int l = 0; l < lanes; ++l) {
      const float v = x[i + l] + min, r = v - d * Grid::level(v * inverse);
      e[l] += w[i + l] * r * r;
    }
  float sum = 0;
  for (float v : e) sum += v;
  return sum;
}

inline float peak(const float* x, int n) {         // the value of the largest magnitude, with its sign
  float p = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(p)) p = x[i];
  return p;
}

// x ~ d q. The sign of d is free: a format with one more level below zero uses it for the larger side.
template <class Grid>
float scale(const float* x, const float* w, int n) {
  const float p = peak(x, n);
  if (std::fabs(p) < 1e-30f) return 0;
  float best = 0, d = p / Grid::low;
  auto consider = [&](float inverse) {
    const Sums s = sums<Grid>(x, w, n, inverse);
    if (s.qq <= 0 || s.xq * s.xq <= best * s.qq) return false;
    best = s.xq * s.xq / s.qq;
    d = s.xq / s.qq;
    return true;
  };
  for (int i = -8; i <= 8; ++i) consider((Grid::low - static_cast<float>(i) * Grid::step) / p);
  if (Grid::low != -Grid::high)
    for (int i = -4; i <= 6; ++i) consider((Grid::high + static_cast<float>(i) * Grid::step) / p);
  for (int i = 0; i < 4 && d != 0 && consider(1 / d); ++i) {}
  return d;
}

struct Affine { float scale, min; };               // x ~ scale q - min, q in 0..High

// `above_zero` asks for min >= 0, as the K formats store it.
template <int High>
Affine affine(const float* x, const float* w, int n, bool above_zero) {
  float low = x[0], high = x[0], sw = 0, sx = 0, sxx = 0;
  for (int i = 0; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
    sw += w[i];
    sx += w[i] * x[i];
    sxx += w[i] * x[i] * x[i];
  }
  if (above_zero && low > 0) low = 0;
  if (above_zero && high < 0) high = 0;
  if (high - low < 1e-30f) return {0, -low};
  Affine best{(high - low) / High, -low};
  float least = error<Uniform<0, High>>(x, w, n, best.scale, best.min);
  auto consider = [&](float inverse, float min) {
    float q1[lanes] = {}, q2[lanes] = {}, xq[lanes] = {};
    for (int i = 0; i < n; i += lanes)
      for (int l = 0; l < lanes; ++l) {
        const float q = Uniform<0, High>::level((x[i + l] + min) * inverse), wq = w[i + l] * q;
        q1[l] += wq;
        q2[l] += wq * q;
        xq[l] += wq * x[i + l];
      }
    float sq = 0, sqq = 0, sxq = 0;
    for (int l = 0; l < lanes; ++l) sq += q1[l], sqq += q2[l], sxq += xq[l];
    const float determinant = sw * sqq - sq * sq;
    if (determinant <= 0) return false;
    Affine a{(sw * sxq - sx * sq) / determinant, (sq * sxq - sqq * sx) / determinant};
    if (above_zero && a.min < 0) a = {sxq / sqq, 0};
    if (!(a.scale > 0)) return false;
    const float e = sxx + a.scale * a.scale * sqq + sw * a.min * a.min - 2 * a.scale * sxq + 2 * a.min * sx - 2 * a.scale * a.min * sq;
    if (!(e < least * 0.9999f)) return false;
    least = e;
    best = a;
    return true;
  };
  for (int i = -9; i <= 8; ++i) consider((High + 0.125f * static_cast<float>(i)) / (high - low), -low);
  for (int i = 0; i < 4 && consider(1 / best.scale, best.min); ++i) {}
  return best;
}

}  // namespace headrace::fit
