// Gradients of short_conv: channels lie along the lanes, each thread takes a range of them with all their tokens, so that the
// sums over tokens repeat on any number of threads.
#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"
#include "ops/kernels/short_conv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/short_conv_backward.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// dp, the gradient before the activation, is written where dx will lie: dx_t = sum_i w[taps-1-i] dp_{t+i} reads rows from t on.
void ConvBackward(const ShortConvBackward& b, int64_t first, int64_t channels) {
  constexpr int64_t L = HWY_TARGET == HWY_AVX2 ? 8 : 16;
  const ShortConvArgs& a = b.forward;
  const int taps = a.taps, kept = taps - 1;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(3 * taps) * L);
  float *w = scratch.data(), *past = w + taps * L, *dw = past + taps * L;   // past[i]: the token i - kept before the first
  strips(channels, [&](auto s) {
    const int64_t at = first + s.i, m = std::min(L, channels - s.i);
    std::fill(dw, dw + taps * L, 0.f);
    for (int64_t c = 0; c < L; ++c)
      for (int i = 0; i < taps; ++i) w[i * L + c] = !a.weight ? i == 0 : c < m ? a.weight[(at + c) * taps + i] : 0;
    const V bias = a.bias ? s.load(a.bias + first) : set(0);
    V db = set(0);
    for (int q = 0; q < a.sequences.count(); ++q) {
      const int64_t begin = a.sequences.offsets[q], n = a.sequences.offsets[q + 1] - begin;
      const float* state = a.states ? a.states[q] + first : nullptr;
      for (int i = 0; i < kept; ++i) hn::StoreU(state ? s.load(state + i * a.x.cols) : set(0), D(), past + i * L);
      auto input = [&](int64_t t) { return t >= 0 ? s.load(a.x[begin + t] + first) : hn::LoadU(D(), past + (t + kept) * L); };
      for (int64_t t = 0; t < n; ++t) {
        V dp = s.load(b.dy[begin + t] + first);
        if (a.silu) {
          V p = bias;
          for (int i = 0; i < taps; ++i) p = hn::MulAdd(hn::LoadU(D(), w + i * L), input(t - kept + i), p);
          const V gate = sigmoid_of(p);
          dp = hn::Mul(dp, hn::Mul(gate, hn::MulAdd(p, hn::Sub(set(1), gate), set(1))));
        }
        db = hn::Add(db, dp);
        if (b.dweight)
          for (int i = 0; i < taps; ++i) hn::StoreU(hn::MulAdd(dp, input(t - kept + i), hn::LoadU(D(), dw + i * L)), D(), dw + i * L);
        s.store(dp, b.dx[begin + t] + first);
      }
      // What reaches the inputs at t (before the first: those of the state), the new states' own gradient included.
      auto gradient = [&](int64_t t) {
        V d = set(0);
        for (int64_t i = std::max<int64_t>(0, -t); i <= kept && t + i < n; ++i)
          d = hn::MulAdd(hn::LoadU(D(), w + (kept - i) * L), s.load(b.dx[begin + t + i] + first), d);
        if (b.d_after && t >= n - kept) d = hn::Add(d, s.load(b.d_after[q] + (t - n + kept) * a.x.cols + first));
        return d;
      };
      for (int64_t i = 0; b.d_before && i < kept; ++i) s.store(gradient(i - kept), b.d_before[q] + i * a.x.cols + first);
      for (int64_t t = 0; t < n; ++t) s.store(gradient(t), b.dx[begin + t] + first);
    }
    if (b.dbias) s.store(db, b.dbias + first);
    for (int64_t c = 0; b.dweight && c < m; ++c)
      for (int i = 0; i < taps; ++i) b.dweight[(at + c) * taps + i] = dw[i * L + c];
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(ConvBackward);

void short_conv_backward(const ShortConvBackward& b) {
  constexpr int64_t block = 16;                              // channels that share cache lines stay together
  const int64_t C = b.forward.x.cols, tokens = std::max<int64_t>(1, b.forward.sequences.tokens());
  parallel((C + block - 1) / block, std::max<int64_t>(1, 4096 / (tokens * block)), [&](int64_t from, int64_t to, int) {
    HWY_DYNAMIC_DISPATCH(ConvBackward)(b, from * block, std::min(C, to * block) - from * block);
  });
}

}  // namespace headrace::cpu
#endif
