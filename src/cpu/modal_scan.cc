// Modal scans: channels along the lanes, some modes at a time in registers over a tile of tokens. Backward computes the states of a tile
// again from the one that it began with.
#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/modal_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/modal_scan.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t L = HWY_TARGET == HWY_AVX2 ? 8 : 16, tile = 128;
constexpr int forward_modes = HWY_TARGET == HWY_AVX2 ? 2 : 4, backward_modes = HWY_TARGET == HWY_AVX2 ? 1 : 2;

HWY_INLINE V at(const float* scratch, int64_t row) { return hn::LoadU(D(), scratch + row * L); }
HWY_INLINE void put(V v, float* scratch, int64_t row) { hn::StoreU(v, D(), scratch + row * L); }

struct Number { V re, im; };
HWY_INLINE Number product(Number a, Number b) {
  return {hn::NegMulAdd(a.im, b.im, hn::Mul(a.re, b.re)), hn::MulAdd(a.im, b.re, hn::Mul(a.re, b.im))};
}
HWY_INLINE Number times_conj(Number a, Number b) {           // a conj(b)
  return {hn::MulAdd(a.im, b.im, hn::Mul(a.re, b.re)), hn::NegMulAdd(a.re, b.im, hn::Mul(a.im, b.re))};
}

// f(n, integral_constant M): the modes [n, n + M), M at a time, then one by one.
template <int M, class F>
HWY_INLINE void each_modes(int64_t N, F&& f) {
  int64_t n = 0;
  for (; n + M <= N; n += M) f(n, std::integral_constant<int, M>());
  if constexpr (M > 1)
    for (; n < N; ++n) f(n, std::integral_constant<int, 1>());
}

// A strip's rows of [2 N,C], and the state after tokens [begin, end) in x [2 N,L]; y where it is wanted, the modes before n in it already.
template <int M, class S>
HWY_INLINE void advance(const ModalScanArgs& a, const S& s, int64_t first, int64_t n, int64_t begin, int64_t end, float* state, bool wants_y) {
  const int64_t N = a.pole.rows / 2;
  Number p[M], r[M], x[M];
  for (int m = 0; m < M; ++m) {
    p[m] = {s.load(a.pole[n + m] + first), s.load(a.pole[N + n + m] + first)};
    r[m] = {s.load(a.residue[n + m] + first), s.load(a.residue[N + n + m] + first)};
    x[m] = {at(state, n + m), at(state, N + n + m)};
  }
  for (int64_t t = begin; t < end; ++t) {
    const V u = s.load(a.u[t] + first);
    V y = set(0), more = set(0);
    for (int m = 0; m < M; ++m) {
      const V re = hn::MulAdd(p[m].re, x[m].re, hn::NegMulAdd(p[m].im, x[m].im, u));
      x[m].im = hn::MulAdd(p[m].re, x[m].im, hn::Mul(p[m].im, x[m].re)), x[m].re = re;
      y = hn::MulAdd(r[m].re, x[m].re, y), more = hn::NegMulAdd(r[m].im, x[m].im, more);
    }
    if (wants_y) s.store(hn::Add(hn::Add(y, more), n == 0 ? set(0) : s.load(a.y[t] + first)), a.y[t] + first);
  }
  for (int m = 0; m < M; ++m) put(x[m].re, state, n + m), put(x[m].im, state, N + n + m);
}

template <class S>
void load_state(const float* from, const S& s, int64_t rows, int64_t C, int64_t first, float* x) {
  for (int64_t n = 0; n < rows; ++n) put(from ? s.load(from + n * C + first) : set(0), x, n);
}
template <class S>
void store_state(const float* x, const S& s, int64_t rows, int64_t C, int64_t first, float* to) {
  for (int64_t n = 0; n < rows; ++n) s.store(at(x, n), to + n * C + first);
}

void Scan(const ModalScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], rows = a.pole.rows, C = a.u.cols;
  if (begin == end) return;
  float* state = a.states ? a.states[task.sequence] : nullptr;
  static thread_local std::vector<float> x;
  x.resize(static_cast<size_t>(rows * L));
  strips(task.channels, [&](auto s) {
    load_state(state, s, rows, C, task.first, x.data());
    for (int64_t t = begin; t < end; t += tile)
      each_modes<forward_modes>(rows / 2, [&](int64_t n, auto M) { advance<M>(a, s, task.first, n, t, std::min(end, t + tile), x.data(), true); });
    if (state) store_state(x.data(), s, rows, C, task.first, state);
  });
}

// Tokens [begin, end) from their last to their first. state: before them; g becomes the gradient of it.
template <int M, class S>
HWY_INLINE void retreat(const ModalScanBackwardArgs& b, const S& s, int64_t first, int64_t n, int64_t begin, int64_t end, const float* state,
                        float* g_rows, float* dpole, float* dresidue, float* seen) {
  const ModalScanArgs& a = b.forward;
  const int64_t N = a.pole.rows / 2;
  Number p[M], r[M], g[M], dp[M], dr[M];
  for (int m = 0; m < M; ++m) {
    p[m] = {s.load(a.pole[n + m] + first), s.load(a.pole[N + n + m] + first)};
    r[m] = {s.load(a.residue[n + m] + first), s.load(a.residue[N + n + m] + first)};
    g[m] = {at(g_rows, n + m), at(g_rows, N + n + m)}, dp[m] = {at(dpole, n + m), at(dpole, N + n + m)};
    dr[m] = {at(dresidue, n + m), at(dresidue, N + n + m)};
    Number x{at(state, n + m), at(state, N + n + m)};
    put(x.re, seen, 2 * m), put(x.im, seen, 2 * m + 1);
    for (int64_t t = begin; t < end; ++t) {
      x = product(p[m], x), x.re = hn::Add(x.re, s.load(a.u[t] + first));
      put(x.re, seen, (t - begin + 1) * 2 * M + 2 * m), put(x.im, seen, (t - begin + 1) * 2 * M + 2 * m + 1);
    }
  }
  for (int64_t t = end - 1; t >= begin; --t) {
    const V dy = s.load(b.dy[t] + first);
    V du = n == 0 ? set(0) : s.load(b.du[t] + first);
    for (int m = 0; m < M; ++m) {
      const float *now = seen + (t - begin + 1) * 2 * M * L, *before = now - 2 * M * L;
      g[m].re = hn::MulAdd(r[m].re, dy, g[m].re), g[m].im = hn::NegMulAdd(r[m].im, dy, g[m].im);
      du = hn::Add(du, g[m].re);
      const Number step = times_conj(g[m], {at(before, 2 * m), at(before, 2 * m + 1)});
      dp[m].re = hn::Add(dp[m].re, step.re), dp[m].im = hn::Add(dp[m].im, step.im);
      dr[m].re = hn::MulAdd(dy, at(now, 2 * m), dr[m].re), dr[m].im = hn::NegMulAdd(dy, at(now, 2 * m + 1), dr[m].im);
      g[m] = times_conj(g[m], p[m]);
    }
    s.store(du, b.du[t] + first);
  }
  for (int m = 0; m < M; ++m) {
    put(g[m].re, g_rows, n + m), put(g[m].im, g_rows, N + n + m), put(dp[m].re, dpole, n + m), put(dp[m].im, dpole, N + n + m);
    put(dr[m].re, dresidue, n + m), put(dr[m].im, dresidue, N + n + m);
  }
}

void ScanBackward(const ModalScanBackwardArgs& b, const ChannelTask& task) {
  const ModalScanArgs& a = b.forward;
  const int64_t rows = a.pole.rows, C = a.u.cols, N = rows / 2;
  const size_t floats = static_cast<size_t>(rows * L);
  static thread_local std::vector<float> sums, entries, seen;
  sums.resize(3 * floats), seen.resize(static_cast<size_t>((tile + 1) * 2 * backward_modes * L));
  float *g = sums.data(), *dpole = g + floats, *dresidue = dpole + floats;
  strips(task.channels, [&](auto s) {
    std::fill(sums.begin(), sums.end(), 0.f);
    for (int q = 0; q < a.sequences.count(); ++q) {
      const int64_t begin = a.sequences.offsets[q], end = a.sequences.offsets[q + 1], tiles = (end - begin + tile - 1) / tile;
      entries.resize(static_cast<size_t>(std::max<int64_t>(1, tiles)) * floats);   // the state that each tile begins with
      load_state(b.before ? b.before[q] : nullptr, s, rows, C, task.first, entries.data());
      for (int64_t i = 1; i < tiles; ++i) {
        float* x = entries.data() + static_cast<size_t>(i) * floats;
        std::copy(x - floats, x, x);
        each_modes<forward_modes>(N, [&](int64_t n, auto M) {
          advance<M>(a, s, task.first, n, begin + (i - 1) * tile, begin + i * tile, x, false);
        });
      }
      load_state(b.d_after ? b.d_after[q] : nullptr, s, rows, C, task.first, g);
      for (int64_t i = tiles - 1; i >= 0; --i) {
        const int64_t from = begin + i * tile, to = std::min(end, from + tile);
        const float* state = entries.data() + static_cast<size_t>(i) * floats;
        each_modes<backward_modes>(N, [&](int64_t n, auto M) { retreat<M>(b, s, task.first, n, from, to, state, g, dpole, dresidue, seen.data()); });
      }
      if (b.d_before && b.d_before[q]) store_state(g, s, rows, C, task.first, b.d_before[q]);
    }
    for (int64_t n = 0; n < rows; ++n) s.store(at(dpole, n), b.dpole[n] + task.first), s.store(at(dresidue, n), b.dresidue[n] + task.first);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Scan);
HWY_EXPORT(ScanBackward);

constexpr int64_t modal_block = 32;      // channels of one task

void modal_scan(const ModalScanArgs& a) {
  parallel_tasks(channel_tasks(a.sequences, a.u.cols, modal_block), 16384.0 / static_cast<double>(a.pole.rows),
                 [&](const ChannelTask& t) { HWY_DYNAMIC_DISPATCH(Scan)(a, t); });
}
void modal_scan_backward(const ModalScanBackwardArgs& b) {
  std::vector<ChannelTask> tasks;                // of all sequences, whose gradients of the filter are summed
  add_channel_tasks(tasks, 0, b.forward.u.rows, b.forward.u.cols, modal_block);
  parallel_tasks(tasks, 4096.0 / static_cast<double>(b.forward.pole.rows), [&](const ChannelTask& t) { HWY_DYNAMIC_DISPATCH(ScanBackward)(b, t); });
}

}  // namespace headrace::cpu
#endif
