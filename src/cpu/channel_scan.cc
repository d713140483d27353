// Scans and convolutions whose channels do not meet: channels lie along the lanes, each thread takes a range of them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "cpu/kernels.h"
#include "ops/kernels/diag_scan.h"
#include "ops/kernels/short_conv.h"
#include "cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/channel_scan.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// Four strips go through time together where there are as many: a row gives four cache lines at a time, and four chains hide the
// latency of each other.
template <class F>
HWY_INLINE void wide_strips(int64_t n, F&& f) {
  const int64_t L = lanes(), wide = n / (4 * L) * 4 * L;
  for (int64_t i = 0; i < wide; i += 4 * L) f(std::array{Full{i}, Full{i + L}, Full{i + 2 * L}, Full{i + 3 * L}});
  strips(n - wide, [&](auto s) {
    s.i += wide;
    f(std::array{s});
  });
}
template <class Strips>
constexpr int count_of = std::tuple_size_v<std::decay_t<Strips>>;

void Real(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1];
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  wide_strips(task.channels, [&](const auto& s) {
    constexpr int W = count_of<decltype(s)>;
    V h[W];
    for (int j = 0; j < W; ++j) h[j] = state ? s[j].load(state) : set(0);
    for (int64_t t = begin; t < end; ++t) {
      const float *decay = a.log_decay + t * a.decay_stride + task.first, *x = a.x + t * a.x_stride + task.first;
      float* y = a.y + t * a.y_stride + task.first;
      for (int j = 0; j < W; ++j) h[j] = hn::MulAdd(hn::Exp(D(), s[j].load(decay)), h[j], s[j].load(x)), s[j].store(h[j], y);
    }
    for (int j = 0; state && j < W; ++j) s[j].store(h[j], state);
  });
}

void ComplexScan(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], C = a.channels;
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  wide_strips(task.channels, [&](const auto& s) {
    constexpr int W = count_of<decltype(s)>;
    V re[W], im[W];
    for (int j = 0; j < W; ++j) re[j] = state ? s[j].load(state) : set(0), im[j] = state ? s[j].load(state + C) : set(0);
    for (int64_t t = begin; t < end; ++t) {
      const float *w = a.log_decay + t * a.decay_stride + task.first, *x = a.x + t * a.x_stride + task.first;
      float* y = a.y + t * a.y_stride + task.first;
      for (int j = 0; j < W; ++j) {
        const V w_re = s[j].load(w), w_im = s[j].load(w + C), next = hn::MulAdd(w_re, re[j], hn::NegMulAdd(w_im, im[j], s[j].load(x)));
        im[j] = hn::MulAdd(w_re, im[j], hn::MulAdd(w_im, re[j], s[j].load(x + C))), re[j] = next;
        s[j].store(re[j], y), s[j].store(im[j], y + C);
      }
    }
    for (int j = 0; state && j < W; ++j) s[j].store(re[j], state), s[j].store(im[j], state + C);
  });
}

// One token: the state of a channel lies along the lanes.
void SelectiveStep(const DiagScanArgs& a, const ChannelTask& task, int64_t t) {
  const int64_t N = a.state;
  const float *B = a.B + t * a.B_stride, *C = a.C + t * a.C_stride;
  float* states = a.states ? a.states[task.sequence] : nullptr;
  for (int64_t c = task.first; c < task.first + task.channels; ++c) {
    const float dt = a.dt[t * a.dt_stride + c], in = dt * a.x[t * a.x_stride + c];
    const float* A = a.log_decay + c * N;
    float* state = states ? states + c * N : nullptr;
    V out = set(0);
    strips(N, [&](auto s) {
      V h = hn::Mul(set(in), s.load(B));
      if (state) {
        h = hn::MulAdd(hn::Exp(D(), hn::Mul(set(dt), s.load(A))), s.load(state), h);
        s.store(h, state);
      }
      out = hn::MulAdd(s.load(C), h, out);
    });
    a.y[t * a.y_stride + c] = sum_of(out);
  }
}

// Several tokens: channels along the lanes, so that the sum over the state needs no lanes to meet.
void Selective(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], N = a.state;
  if (end - begin == 1) return SelectiveStep(a, task, begin);
  constexpr int64_t L = HWY_TARGET == HWY_AVX2 ? 8 : 16;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(2 * N * L));
  float *A = scratch.data(), *H = A + N * L;
  float* states = a.states ? a.states[task.sequence] : nullptr;
  strips(task.channels, [&](auto s) {
    const int64_t first = task.first + s.i, m = std::min(L, task.channels - s.i);
    std::fill(scratch.begin(), scratch.end(), 0.f);
    for (int64_t c = 0; c < m; ++c)
      for (int64_t n = 0; n < N; ++n) {
        A[n * L + c] = a.log_decay[(first + c) * N + n];
        if (states) H[n * L + c] = states[(first + c) * N + n];
      }
    for (int64_t t = begin; t < end; ++t) {
      V dt = s.load(a.dt + t * a.dt_stride + task.first), in = hn::Mul(dt, s.load(a.x + t * a.x_stride + task.first)), out = set(0);
      const float *B = a.B + t * a.B_stride, *C = a.C + t * a.C_stride;
      for (int64_t n = 0; n < N; ++n) {
        V h = hn::MulAdd(hn::Exp(D(), hn::Mul(dt, hn::LoadU(D(), A + n * L))), hn::LoadU(D(), H + n * L), hn::Mul(in, set(B[n])));
        hn::StoreU(h, D(), H + n * L);
        out = hn::MulAdd(set(C[n]), h, out);
      }
      s.store(out, a.y + t * a.y_stride + task.first);
    }
    if (states)
      for (int64_t c = 0; c < m; ++c)
        for (int64_t n = 0; n < N; ++n) states[(first + c) * N + n] = H[n * L + c];
  });
}

// Weighted sums in log space with their running maximum (Peng et al. 2023, RWKV-4).
void Rwkv4(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], C = a.channels;
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  auto e = [](V x) { return hn::Exp(D(), x); };
  strips(task.channels, [&](auto s) {
    V num = state ? s.load(state) : set(0), den = state ? s.load(state + C) : set(0), top = state ? s.load(state + 2 * C) : set(-1e38f);
    const V w = s.load(a.log_decay + task.first), u = s.load(a.B + task.first);
    for (int64_t t = begin; t < end; ++t) {
      V k = s.load(a.dt + t * a.dt_stride + task.first), v = s.load(a.x + t * a.x_stride + task.first);
      V bonus = hn::Add(u, k), high = hn::Max(top, bonus), old = e(hn::Sub(top, high)), now = e(hn::Sub(bonus, high));
      s.store(hn::Div(hn::MulAdd(old, num, hn::Mul(now, v)), hn::MulAdd(old, den, now)), a.y + t * a.y_stride + task.first);
      V decayed = hn::Add(top, w);
      high = hn::Max(decayed, k), old = e(hn::Sub(decayed, high)), now = e(hn::Sub(k, high));
      num = hn::MulAdd(old, num, hn::Mul(now, v)), den = hn::MulAdd(old, den, now), top = high;
    }
    if (state) s.store(num, state), s.store(den, state + C), s.store(top, state + 2 * C);
  });
}

void Diag(const DiagScanArgs& a, const ChannelTask& task) {
  if (a.kind == DiagScan::real) Real(a, task);
  else if (a.kind == DiagScan::complex) ComplexScan(a, task);
  else if (a.kind == DiagScan::selective) Selective(a, task);
  else Rwkv4(a, task);
}

void Conv(const ShortConvArgs& a, const ChannelTask& task) {
  constexpr int64_t L = HWY_TARGET == HWY_AVX2 ? 8 : 16;
  const int64_t begin = a.sequences.offsets[task.sequence], n = a.sequences.offsets[task.sequence + 1] - begin, C = a.x.cols;
  const int taps = a.taps, kept = taps - 1;
  if (n == 0) return;
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(2 * taps) * L);
  float *w = scratch.data(), *past = w + taps * L;           // past[i]: the token i + 1 - taps before the first
  strips(task.channels, [&](auto s) {
    const int64_t first = task.first + s.i, m = std::min(L, task.channels - s.i);
    for (int i = 0; i < kept; ++i) hn::StoreU(state ? s.load(state + i * C) : set(0), D(), past + i * L);
    if (a.weight)
      for (int64_t c = 0; c < m; ++c)
        for (int i = 0; i < taps; ++i) w[i * L + c] = a.weight[(first + c) * taps + i];
    const V bias = a.bias ? s.load(a.bias + task.first) : set(0);
    auto input = [&](int64_t t) { return t >= 0 ? s.load(a.x[begin + t] + task.first) : hn::LoadU(D(), past + (t + kept) * L); };
    for (int64_t t = 0; t < n; ++t) {
      V y;
      if (!a.weight) {
        y = input(t - 1);
      } else {
        y = bias;
        for (int i = 0; i < taps; ++i) y = hn::MulAdd(hn::LoadU(D(), w + i * L), input(t - kept + i), y);
        if (a.silu) y = hn::Mul(y, sigmoid_of(y));
      }
      s.store(y, a.y[begin + t] + task.first);
    }
    if (state)
      for (int i = 0; i < kept; ++i) s.store(input(n - kept + i), state + i * C);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Diag);
HWY_EXPORT(Conv);

constexpr int64_t channel_block = 64;    // channels of one task

void diag_scan(const DiagScanArgs& a) {
  parallel_tasks(channel_tasks(a.sequences, a.channels, channel_block), 8192.0 / a.state,
                 [&](const ChannelTask& t) { HWY_DYNAMIC_DISPATCH(Diag)(a, t); });
}
void short_conv(const ShortConvArgs& a) {
  parallel_tasks(channel_tasks(a.sequences, a.x.cols, channel_block), 8192, [&](const ChannelTask& t) { HWY_DYNAMIC_DISPATCH(Conv)(a, t); });
}

}  // namespace headrace::cpu
#endif
