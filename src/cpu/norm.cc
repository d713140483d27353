// Norms of rows or of groups within rows, and the rotation of positions (RoPE).
#include <cmath>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/norm.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

template <class F>
void rows_in_groups(Rows x, int groups, F f) {
  const int64_t n = x.cols / groups;
  parallel(x.rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(x.cols, 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t g = 0; g < groups; ++g) f(i, g * n, n);
  });
}

void RmsNorm(Rows x, const float* w, float offset, float eps, int groups, Rows y) {
  rows_in_groups(x, groups, [&](int64_t i, int64_t at, int64_t n) {
    const float* p = x[i] + at;
    V r = set(1 / std::sqrt(dot(p, p, n) / static_cast<float>(n) + eps));
    if (w) strips(n, [&](auto s) { s.store(hn::Mul(hn::Mul(s.load(p), r), hn::Add(s.load(w + at), set(offset))), y[i] + at); });
    else strips(n, [&](auto s) { s.store(hn::Mul(s.load(p), r), y[i] + at); });
  });
}

void LayerNorm(Rows x, const float* w, const float* b, float eps, int groups, Rows y) {
  rows_in_groups(x, groups, [&](int64_t i, int64_t at, int64_t n) {
    const float* p = x[i] + at;
    V sum = set(0), square = set(0);
    strips(n, [&](auto s) { sum = hn::Add(sum, s.load(p)); });
    V mean = set(sum_of(sum) / static_cast<float>(n));
    strips(n, [&](auto s) {
      V d = s.only(hn::Sub(s.load(p), mean));
      square = hn::MulAdd(d, d, square);
    });
    V r = set(1 / std::sqrt(sum_of(square) / static_cast<float>(n) + eps));
    strips(n, [&](auto s) {
      V v = hn::Mul(hn::Sub(s.load(p), mean), r);
      if (w) v = hn::Mul(v, s.load(w + at));
      if (b) v = hn::Add(v, s.load(b + at));
      s.store(v, y[i] + at);
    });
  });
}

void L2Norm(Rows x, float eps, bool clamp, int groups, Rows y) {
  rows_in_groups(x, groups, [&](int64_t i, int64_t at, int64_t n) {
    const float* p = x[i] + at;
    float square = dot(p, p, n);
    V r = set(clamp ? 1 / std::max(std::sqrt(square), eps) : 1 / std::sqrt(square + eps));
    strips(n, [&](auto s) { s.store(hn::Mul(s.load(p), r), y[i] + at); });
  });
}

void NormBackward(const headrace::NormBackward& a) {
  const bool layer = a.kind == NormKind::layer, l2 = a.kind == NormKind::l2 || a.kind == NormKind::l2_clamped;
  rows_in_groups(a.x, a.groups, [&](int64_t i, int64_t at, int64_t n) {
    const float *x = a.x[i] + at, *dy = a.dy[i] + at, *w = a.w ? a.w + at : nullptr;
    const V one_over = set(1 / static_cast<float>(n)), offset = set(a.offset);
    V sum = set(0), square = set(0), g_sum = set(0), g_xhat = set(0);
    if (layer) strips(n, [&](auto s) { sum = hn::Add(sum, s.load(x)); });
    const V mean = hn::Mul(set(sum_of(sum)), one_over);
    auto g = [&](auto s) { V d = s.load(dy); return w ? hn::Mul(d, hn::Add(s.load(w), offset)) : d; };
    auto centred = [&](auto s) { return s.only(hn::Sub(s.load(x), mean)); };
    strips(n, [&](auto s) {
      V d = centred(s), v = s.only(g(s));
      square = hn::MulAdd(d, d, square), g_xhat = hn::MulAdd(v, d, g_xhat), g_sum = hn::Add(g_sum, v);
    });
    const float total = sum_of(square);
    const bool clamped = a.kind == NormKind::l2_clamped && std::sqrt(total) < a.eps;
    const float r = clamped ? 1 / a.eps
                  : a.kind == NormKind::l2_clamped ? 1 / std::sqrt(total) : 1 / std::sqrt((l2 ? total : total / static_cast<float>(n)) + a.eps);
    const V R = set(r), mean_g = layer ? hn::Mul(set(sum_of(g_sum)), one_over) : set(0);
    const V along = clamped ? set(0) : set(sum_of(g_xhat) * r / (l2 ? 1.f : static_cast<float>(n)));
    strips(n, [&](auto s) {
      const V xhat = hn::Mul(centred(s), R);
      if (a.dy_xhat.data) s.store(hn::Mul(s.load(dy), xhat), a.dy_xhat[i] + at);
      s.store(hn::Mul(R, hn::NegMulAdd(xhat, along, hn::Sub(g(s), mean_g))), a.dx[i] + at);
    });
  });
}

// cos and sin lie per token: [N][rotary/2] each.
void Turn(const RopeArgs& a, const float* cosine, const float* sine) {
  const int64_t half = a.rotary / 2, N = static_cast<int64_t>(a.positions.size());
  parallel(N, std::max<int64_t>(1, 16384 / std::max(1, a.heads * a.width)), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const float *c = cosine + n * half, *s = sine + n * half;
      for (int h = 0; h < a.heads; ++h) {
        const float* x = a.x + n * a.x_stride + int64_t{h} * a.width;
        float* y = a.y + n * a.y_stride + int64_t{h} * a.width;
        if (a.interleaved) {
          for (int64_t i = 0; i < half; ++i) {
            float p = x[2 * i], q = x[2 * i + 1];
            y[2 * i] = p * c[i] - q * s[i], y[2 * i + 1] = q * c[i] + p * s[i];
          }
        } else {
          strips(half, [&](auto t) {
            V p = t.load(x), q = t.load(x + half), C = t.load(c), S = t.load(s);
            t.store(hn::NegMulAdd(q, S, hn::Mul(p, C)), y);
            t.store(hn::MulAdd(p, S, hn::Mul(q, C)), y + half);
          });
        }
        std::memcpy(y + a.rotary, x + a.rotary, static_cast<size_t>(a.width - a.rotary) * sizeof(float));
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(RmsNorm);
HWY_EXPORT(LayerNorm);
HWY_EXPORT(L2Norm);
HWY_EXPORT(NormBackward);
HWY_EXPORT(Turn);

void rms_norm(Rows x, const float* w, float offset, float eps, int groups, Rows y) { HWY_DYNAMIC_DISPATCH(RmsNorm)(x, w, offset, eps, groups, y); }
void layer_norm(Rows x, const float* w, const float* b, float eps, int groups, Rows y) {
  HWY_DYNAMIC_DISPATCH(LayerNorm)(x, w, b, eps, groups, y);
}
void norm_backward(const headrace::NormBackward& a) { HWY_DYNAMIC_DISPATCH(NormBackward)(a); }
void l2_norm(Rows x, float eps, bool clamp, int groups, Rows y) { HWY_DYNAMIC_DISPATCH(L2Norm)(x, eps, clamp, groups, y); }

namespace {

// Angles are the same for queries, keys and all layers of a kind: the last few tables are kept.
struct Angles {
  std::vector<float> frequency, cosine, sine;
  std::vector<int32_t> positions;
  float factor = 0;
};

const Angles& angles_for(const RopeArgs& a) {
  static thread_local Angles kept[4];
  static thread_local int oldest = 0;
  const size_t half = static_cast<size_t>(a.rotary / 2);
  for (const Angles& k : kept)
    if (k.factor == a.factor && k.frequency.size() == half && k.positions.size() == a.positions.size() &&
        std::memcmp(k.frequency.data(), a.inverse_frequency, half * sizeof(float)) == 0 &&
        std::memcmp(k.positions.data(), a.positions.data(), a.positions.size_bytes()) == 0)
      return k;
  Angles& k = kept[oldest];
  oldest = (oldest + 1) % 4;
  k.factor = a.factor;
  k.frequency.assign(a.inverse_frequency, a.inverse_frequency + half);
  k.positions.assign(a.positions.begin(), a.positions.end());
  k.cosine.resize(half * a.positions.size());
  k.sine.resize(k.cosine.size());
  Angles* out = &k;
  parallel(static_cast<int64_t>(a.positions.size()), 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n)
      for (size_t i = 0; i < half; ++i) {
        double angle = double{a.inverse_frequency[i]} * a.positions[static_cast<size_t>(n)];
        out->cosine[static_cast<size_t>(n) * half + i] = static_cast<float>(std::cos(angle) * a.factor);
        out->sine[static_cast<size_t>(n) * half + i] = static_cast<float>(std::sin(angle) * a.factor);
      }
  });
  return k;
}

}  // namespace

void rope(const RopeArgs& a) {
  if (a.positions.empty()) return;
  const Angles& k = angles_for(a);
  HWY_DYNAMIC_DISPATCH(Turn)(a, k.cosine.data(), k.sine.data());
}

}  // namespace headrace::cpu
#endif
