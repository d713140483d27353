// Scans and convolutions whose channels do not meet: channels lie along the lanes, each thread takes a range of them.
#include <algorithm>
#include <type_traits>
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

// Where states are small, all channels of a task take a token before any takes the next: rows are read and written once, whole and in
// order, and what is kept between tokens stays in the first-level cache.

// h_{t-1} is the row of y before.
void Real(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1];
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  const float* before = state;
  for (int64_t t = begin; t < end; ++t) {
    const float *decay = a.log_decay + t * a.decay_stride + task.first, *x = a.x + t * a.x_stride + task.first;
    float* y = a.y + t * a.y_stride + task.first;
    strips(task.channels, [&](auto s) {
      s.store(before ? hn::MulAdd(exp_through(s.load(decay)), s.load(before), s.load(x)) : s.load(x), y);
    });
    before = y;
  }
  if (state && before != state) std::copy_n(before, task.channels, state);
}

void ComplexScan(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], C = a.channels;
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  const float* before = state;
  for (int64_t t = begin; t < end; ++t) {
    const float *w = a.log_decay + t * a.decay_stride + task.first, *x = a.x + t * a.x_stride + task.first;
    float* y = a.y + t * a.y_stride + task.first;
    strips(task.channels, [&](auto s) {
      V re = s.load(x), im = s.load(x + C);
      if (before) {
        const V w_re = s.load(w), w_im = s.load(w + C), h_re = s.load(before), h_im = s.load(before + C);
        re = hn::MulAdd(w_re, h_re, hn::NegMulAdd(w_im, h_im, re)), im = hn::MulAdd(w_re, h_im, hn::MulAdd(w_im, h_re, im));
      }
      s.store(re, y), s.store(im, y + C);
    });
    before = y;
  }
  if (state && before != state) std::copy_n(before, task.channels, state), std::copy_n(before + C, task.channels, state + C);
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
        h = hn::MulAdd(exp_through(hn::Mul(set(dt), s.load(A))), s.load(state), h);
        s.store(h, state);
      }
      out = hn::MulAdd(s.load(C), h, out);
    });
    a.y[t * a.y_stride + c] = sum_of(out);
  }
}

// Several tokens: channels along the lanes, so that the sum over the state needs no lanes to meet. A token's row is a page or half of one
// away from the next, further than the processor fetches ahead by itself.
void Selective(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], N = a.state;
  if (end - begin == 1) return SelectiveStep(a, task, begin);
  constexpr int64_t L = HWY_TARGET == HWY_AVX2 ? 8 : 16, ahead = 12;
  constexpr float log2_e = 1.44269504f;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(2 * N * L));
  float *A = scratch.data(), *H = A + N * L;                 // A log2(e)
  float* states = a.states ? a.states[task.sequence] : nullptr;
  strips(task.channels, [&](auto s) {
    const int64_t first = task.first + s.i, m = std::min(L, task.channels - s.i);
    std::fill(scratch.begin(), scratch.end(), 0.f);
    for (int64_t c = 0; c < m; ++c)
      for (int64_t n = 0; n < N; ++n) {
        A[n * L + c] = log2_e * a.log_decay[(first + c) * N + n];
        if (states) H[n * L + c] = states[(first + c) * N + n];
      }
    for (int64_t t = begin; t < end; ++t) {
      const float *dt_row = a.dt + t * a.dt_stride + first, *x_row = a.x + t * a.x_stride + first;
      float* y_row = a.y + t * a.y_stride + first;
      if (t + ahead < end) {
        __builtin_prefetch(dt_row + ahead * a.dt_stride), __builtin_prefetch(x_row + ahead * a.x_stride);
        __builtin_prefetch(y_row + ahead * a.y_stride, 1);
      }
      const V dt = s.load(dt_row - s.i), in = hn::Mul(dt, s.load(x_row - s.i));
      const float *B = a.B + t * a.B_stride, *C = a.C + t * a.C_stride;
      V out = set(0);
      for (int64_t n = 0; n < N; ++n) {
        const V decay = exp2_of(hn::Mul(dt, hn::LoadU(D(), A + n * L)));
        const V h = hn::MulAdd(decay, hn::LoadU(D(), H + n * L), hn::Mul(in, set(B[n])));
        hn::StoreU(h, D(), H + n * L);
        out = hn::MulAdd(set(C[n]), h, out);
      }
      s.store(out, y_row - s.i);
    }
    if (states)
      for (int64_t c = 0; c < m; ++c)
        for (int64_t n = 0; n < N; ++n) states[(first + c) * N + n] = H[n * L + c];
  });
}

// e^(x - m) and e^(y - m), m the larger of both: one of them is 1.
struct Weights { V x, y; };
HWY_INLINE Weights weights_of(V x, V y) {
  const V less = exp_through(hn::Neg(hn::AbsDiff(x, y)));
  const auto first = hn::Ge(x, y);
  return {hn::IfThenElse(first, set(1), less), hn::IfThenElse(first, less, set(1))};
}

// Weighted sums in log space with their running maximum (Peng et al. 2023, RWKV-4).
void Rwkv4(const DiagScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], C = a.channels;
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(3 * task.channels));
  float *num = scratch.data(), *den = num + task.channels, *top = den + task.channels;
  strips(task.channels, [&](auto s) {
    s.store(state ? s.load(state) : set(0), num), s.store(state ? s.load(state + C) : set(0), den);
    s.store(state ? s.load(state + 2 * C) : set(-1e38f), top);
  });
  for (int64_t t = begin; t < end; ++t) {
    const float *keys = a.dt + t * a.dt_stride + task.first, *values = a.x + t * a.x_stride + task.first;
    float* y = a.y + t * a.y_stride + task.first;
    strips(task.channels, [&](auto s) {
      const V k = s.load(keys), v = s.load(values), n = s.load(num), d = s.load(den), high = s.load(top);
      const V bonus = hn::Add(s.load(a.B + task.first), k), decayed = hn::Add(high, s.load(a.log_decay + task.first));
      const auto [old, now] = weights_of(high, bonus);
      s.store(hn::Div(hn::MulAdd(old, n, hn::Mul(now, v)), hn::MulAdd(old, d, now)), y);
      const auto [past, own] = weights_of(decayed, k);
      s.store(hn::MulAdd(past, n, hn::Mul(own, v)), num), s.store(hn::MulAdd(past, d, own), den), s.store(hn::Max(decayed, k), top);
    });
  }
  if (state) std::copy_n(num, task.channels, state), std::copy_n(den, task.channels, state + C), std::copy_n(top, task.channels, state + 2 * C);
}

void Diag(const DiagScanArgs& a, const ChannelTask& task) {
  if (a.kind == DiagScan::real) Real(a, task);
  else if (a.kind == DiagScan::complex) ComplexScan(a, task);
  else if (a.kind == DiagScan::selective) Selective(a, task);
  else Rwkv4(a, task);
}

void Conv(const ShortConvArgs& a, const ChannelTask& task) {
  constexpr int64_t ahead = 4;                               // tokens whose sums are under way at once
  const int64_t begin = a.sequences.offsets[task.sequence], n = a.sequences.offsets[task.sequence + 1] - begin, C = a.x.cols, M = task.channels;
  const int taps = a.taps, kept = taps - 1;
  if (n == 0) return;
  float* state = a.states ? a.states[task.sequence] + task.first : nullptr;
  static thread_local std::vector<float> scratch;
  static thread_local std::vector<const float*> rows;        // what the tokens under way read, oldest first
  scratch.resize(static_cast<size_t>((taps + kept) * M)), rows.resize(static_cast<size_t>(kept + ahead));
  float *w = scratch.data(), *past = w + taps * M;           // past[i]: the token i - kept from the first
  for (int i = 0; i < kept; ++i)
    if (state) std::copy_n(state + i * C, M, past + i * M);
    else std::fill_n(past + i * M, M, 0.f);
  if (a.weight)
    for (int64_t c = 0; c < M; ++c)
      for (int i = 0; i < taps; ++i) w[i * M + c] = a.weight[(task.first + c) * taps + i];
  const auto input = [&](int64_t t) { return t >= 0 ? a.x[begin + t] + task.first : past + (t + kept) * M; };
  const auto tokens = [&]<int count>(int64_t t, std::integral_constant<int, count>) {
    for (int64_t i = 0; i < kept + count; ++i) rows[static_cast<size_t>(i)] = input(t - kept + i);
    strips(M, [&](auto s) {
      V y[count];
      for (int j = 0; j < count; ++j) y[j] = a.bias ? s.load(a.bias + task.first) : set(0);
      for (int i = 0; i < taps; ++i) {
        const V tap = s.load(w + i * M);
        for (int j = 0; j < count; ++j) y[j] = hn::MulAdd(tap, s.load(rows[static_cast<size_t>(i + j)]), y[j]);
      }
      for (int j = 0; j < count; ++j) s.store(a.silu ? hn::Mul(y[j], sigmoid_of(y[j])) : y[j], a.y[begin + t + j] + task.first);
    });
  };
  int64_t t = 0;
  if (!a.weight)
    for (; t < n; ++t) std::copy_n(input(t - 1), M, a.y[begin + t] + task.first);
  for (; t + ahead <= n; t += ahead) tokens(t, std::integral_constant<int, ahead>());
  for (; t < n; ++t) tokens(t, std::integral_constant<int, 1>());
  if (state)
    for (int i = 0; i < kept; ++i) std::copy_n(input(n - kept + i), M, state + i * C);
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Diag);
HWY_EXPORT(Conv);

// Channels of one task: as many as leave each thread one of every sequence.
static int64_t channel_block(int64_t channels) {
  constexpr int64_t least = 64;
  return std::max(least, (channels + thread_count() - 1) / thread_count());
}

void diag_scan(const DiagScanArgs& a) {
  parallel_tasks(channel_tasks(a.sequences, a.channels, channel_block(a.channels)), 8192.0 / a.state,
                 [&](const ChannelTask& t) { HWY_DYNAMIC_DISPATCH(Diag)(a, t); });
}
void short_conv(const ShortConvArgs& a) {
  parallel_tasks(channel_tasks(a.sequences, a.x.cols, channel_block(a.x.cols)), 8192,
                 [&](const ChannelTask& t) { HWY_DYNAMIC_DISPATCH(Conv)(a, t); });
}

}  // namespace headrace::cpu
#endif
