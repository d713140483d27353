// Modal scans: channels along the lanes, some modes at a time in registers over a tile of tokens. Backward computes the states of a tile
// again from the one that it began with. Coupled modes need the sum of all before the next token: a token goes through all of them, with what
// makes them side by side in the first-level cache.
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

// Coupled modes of a strip: parts [N,10,L], the state [2 N,L].
constexpr int64_t coupled_tile = 32;
struct Parts {
  const float* f;
  HWY_INLINE Number pole() const { return {at(f, 0), at(f, 1)}; }
  HWY_INLINE Number residue() const { return {at(f, 2), at(f, 3)}; }
  HWY_INLINE Number input() const { return {at(f, 4), at(f, 5)}; }
  HWY_INLINE Number column() const { return {at(f, 6), at(f, 7)}; }
  HWY_INLINE Number row() const { return {at(f, 8), at(f, 9)}; }
};
struct Coupled {
  int64_t N;
  const float* parts;

  HWY_INLINE Parts operator[](int64_t n) const { return {parts + n * 10 * L}; }
  // Re sum row x.
  HWY_INLINE V low(const float* x) const {
    V sum = set(0), more = set(0);
    for (int64_t n = 0; n < N; ++n) {
      const Number r = (*this)[n].row();
      sum = hn::MulAdd(r.re, at(x, n), sum), more = hn::NegMulAdd(r.im, at(x, N + n), more);
    }
    return hn::Add(sum, more);
  }
  // The state after a token, from x into `to`, which may be x; low is that of x and becomes that of the next. Gives y.
  HWY_INLINE V advance(const float* x, float* to, V u, V& low) const {
    V y = set(0), y_more = set(0), sum = set(0), more = set(0);
    for (int64_t n = 0; n < N; ++n) {
      const Parts f = (*this)[n];
      const Number b = f.input(), q = f.column(), R = f.residue(), r = f.row();
      Number v = product(f.pole(), {at(x, n), at(x, N + n)});
      v.re = hn::MulAdd(b.re, u, hn::NegMulAdd(q.re, low, v.re)), v.im = hn::MulAdd(b.im, u, hn::NegMulAdd(q.im, low, v.im));
      put(v.re, to, n), put(v.im, to, N + n);
      y = hn::MulAdd(R.re, v.re, y), y_more = hn::NegMulAdd(R.im, v.im, y_more);
      sum = hn::MulAdd(r.re, v.re, sum), more = hn::NegMulAdd(r.im, v.im, more);
    }
    low = hn::Add(sum, more);
    return hn::Add(y, y_more);
  }
};
template <class S>
Coupled coupled(const ModalScanArgs& a, const S& s, int64_t first, std::vector<float>& parts) {
  const int64_t N = a.pole.rows / 2;
  parts.resize(static_cast<size_t>(10 * N * L));
  const Rows all[] = {a.pole, a.residue, a.input, a.column, a.row};
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < 5; ++i)
      put(s.load(all[i][n] + first), parts.data(), 10 * n + 2 * i), put(s.load(all[i][N + n] + first), parts.data(), 10 * n + 2 * i + 1);
  return {N, parts.data()};
}

// A few tokens, which read what makes the modes once each: row after row, as it lies.
constexpr int64_t few = 4;
void coupled_steps(const ModalScanArgs& a, const ChannelTask& task, int64_t begin, int64_t end, float* state) {
  const int64_t N = a.pole.rows / 2, stride = state ? a.u.cols : task.channels, first = task.first;
  static thread_local std::vector<float> zeros, low;
  if (state) state += first;
  else zeros.assign(static_cast<size_t>(2 * N * stride), 0.f), state = zeros.data();
  for (int64_t t = begin; t < end; ++t) {
    low.assign(static_cast<size_t>(task.channels), 0.f);
    for (int64_t n = 0; n < N; ++n)
      strips(task.channels, [&](auto s) {
        const V sum = hn::MulAdd(s.load(a.row[n] + first), s.load(state + n * stride), s.load(low.data()));
        s.store(hn::NegMulAdd(s.load(a.row[N + n] + first), s.load(state + (N + n) * stride), sum), low.data());
      });
    for (int64_t n = 0; n < N; ++n)
      strips(task.channels, [&](auto s) {
        auto number = [&](const Rows& x) { return Number{s.load(x[n] + first), s.load(x[N + n] + first)}; };
        const Number b = number(a.input), q = number(a.column), R = number(a.residue);
        const V u = s.load(a.u[t] + first), l = s.load(low.data());
        Number v = product(number(a.pole), {s.load(state + n * stride), s.load(state + (N + n) * stride)});
        v.re = hn::MulAdd(b.re, u, hn::NegMulAdd(q.re, l, v.re)), v.im = hn::MulAdd(b.im, u, hn::NegMulAdd(q.im, l, v.im));
        s.store(v.re, state + n * stride), s.store(v.im, state + (N + n) * stride);
        const V y = n == 0 ? set(0) : s.load(a.y[t] + first);
        s.store(hn::NegMulAdd(R.im, v.im, hn::MulAdd(R.re, v.re, y)), a.y[t] + first);
      });
  }
}

void CoupledScan(const ModalScanArgs& a, const ChannelTask& task) {
  const int64_t begin = a.sequences.offsets[task.sequence], end = a.sequences.offsets[task.sequence + 1], rows = a.pole.rows, C = a.u.cols;
  if (begin == end) return;
  if (end - begin <= few) return coupled_steps(a, task, begin, end, a.states ? a.states[task.sequence] : nullptr);
  float* state = a.states ? a.states[task.sequence] : nullptr;
  static thread_local std::vector<float> x, parts;
  x.resize(static_cast<size_t>(rows * L));
  strips(task.channels, [&](auto s) {
    const Coupled f = coupled(a, s, task.first, parts);
    load_state(state, s, rows, C, task.first, x.data());
    V low = f.low(x.data());
    for (int64_t t = begin; t < end; ++t) s.store(f.advance(x.data(), x.data(), s.load(a.u[t] + task.first), low), a.y[t] + task.first);
    if (state) store_state(x.data(), s, rows, C, task.first, state);
  });
}

// One token backwards: x before it and after, low of x before. g: the gradient of x after, and then of x before; d [N,10,L] as parts.
HWY_INLINE V retreat_coupled(const Coupled& f, const float* before, const float* after, V low, V u, V dy, float* g, float* d) {
  V du = set(0), du_more = set(0), dlow = set(0), dlow_more = set(0);
  auto add = [](float* to, int64_t row, V x) { put(hn::Add(at(to, row), x), to, row); };
  for (int64_t n = 0; n < f.N; ++n) {
    const Parts p = f[n];
    float* dn = d + n * 10 * L;
    const Number R = p.residue(), b = p.input(), q = p.column();
    const Number now{hn::MulAdd(R.re, dy, at(g, n)), hn::NegMulAdd(R.im, dy, at(g, f.N + n))};
    du = hn::MulAdd(b.re, now.re, du), du_more = hn::MulAdd(b.im, now.im, du_more);
    dlow = hn::NegMulAdd(q.re, now.re, dlow), dlow_more = hn::NegMulAdd(q.im, now.im, dlow_more);
    const Number step = times_conj(now, {at(before, n), at(before, f.N + n)});
    add(dn, 0, step.re), add(dn, 1, step.im);
    add(dn, 2, hn::Mul(dy, at(after, n))), add(dn, 3, hn::Neg(hn::Mul(dy, at(after, f.N + n))));
    add(dn, 4, hn::Mul(now.re, u)), add(dn, 5, hn::Mul(now.im, u));
    add(dn, 6, hn::Neg(hn::Mul(now.re, low))), add(dn, 7, hn::Neg(hn::Mul(now.im, low)));
    const Number back = times_conj(now, p.pole());
    put(back.re, g, n), put(back.im, g, f.N + n);
  }
  dlow = hn::Add(dlow, dlow_more);
  for (int64_t n = 0; n < f.N; ++n) {
    float* dn = d + n * 10 * L;
    const Number r = f[n].row();
    add(dn, 8, hn::Mul(dlow, at(before, n))), add(dn, 9, hn::Neg(hn::Mul(dlow, at(before, f.N + n))));
    add(g, n, hn::Mul(r.re, dlow)), add(g, f.N + n, hn::Neg(hn::Mul(r.im, dlow)));
  }
  return hn::Add(du, du_more);
}

void CoupledScanBackward(const ModalScanBackwardArgs& b, const ChannelTask& task) {
  const ModalScanArgs& a = b.forward;
  const int64_t rows = a.pole.rows, C = a.u.cols, N = rows / 2, first = task.first;
  const size_t floats = static_cast<size_t>(rows * L);
  static thread_local std::vector<float> parts, d, g, entries, seen, lows;
  g.resize(floats), seen.resize((coupled_tile + 1) * floats), lows.resize(static_cast<size_t>(coupled_tile * L));
  strips(task.channels, [&](auto s) {
    const Coupled f = coupled(a, s, first, parts);
    d.assign(static_cast<size_t>(10 * N * L), 0.f);
    for (int q = 0; q < a.sequences.count(); ++q) {
      const int64_t begin = a.sequences.offsets[q], end = a.sequences.offsets[q + 1], tiles = (end - begin + coupled_tile - 1) / coupled_tile;
      entries.resize(static_cast<size_t>(std::max<int64_t>(1, tiles)) * floats);   // the state that each tile begins with
      load_state(b.before ? b.before[q] : nullptr, s, rows, C, first, entries.data());
      V low = f.low(entries.data());
      for (int64_t i = 1; i < tiles; ++i) {
        float* x = entries.data() + static_cast<size_t>(i) * floats;
        std::copy(x - floats, x, x);
        for (int64_t t = begin + (i - 1) * coupled_tile; t < begin + i * coupled_tile; ++t) f.advance(x, x, s.load(a.u[t] + first), low);
      }
      load_state(b.d_after ? b.d_after[q] : nullptr, s, rows, C, first, g.data());
      for (int64_t i = tiles - 1; i >= 0; --i) {
        const int64_t from = begin + i * coupled_tile, to = std::min(end, from + coupled_tile);
        std::copy_n(entries.data() + static_cast<size_t>(i) * floats, floats, seen.data());
        low = f.low(seen.data());
        auto state = [&](int64_t t) { return seen.data() + static_cast<size_t>(t - from) * floats; };   // before token t
        for (int64_t t = from; t < to; ++t) {
          put(low, lows.data(), t - from);
          f.advance(state(t), state(t + 1), s.load(a.u[t] + first), low);
        }
        for (int64_t t = to - 1; t >= from; --t)
          s.store(retreat_coupled(f, state(t), state(t + 1), at(lows.data(), t - from), s.load(a.u[t] + first), s.load(b.dy[t] + first), g.data(),
                                  d.data()), b.du[t] + first);
      }
      if (b.d_before && b.d_before[q]) store_state(g.data(), s, rows, C, first, b.d_before[q]);
    }
    const Rows all[] = {b.dpole, b.dresidue, b.dinput, b.dcolumn, b.drow};
    for (int64_t n = 0; n < N; ++n)
      for (int64_t i = 0; i < 5; ++i)
        s.store(at(d.data(), 10 * n + 2 * i), all[i][n] + first), s.store(at(d.data(), 10 * n + 2 * i + 1), all[i][N + n] + first);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Scan);
HWY_EXPORT(ScanBackward);
HWY_EXPORT(CoupledScan);
HWY_EXPORT(CoupledScanBackward);

constexpr int64_t modal_block = 32, step_block = 256;      // channels of one task; of one whose tokens are few

void modal_scan(const ModalScanArgs& a) {
  const int64_t block = a.coupled() && a.u.rows <= 4 * a.sequences.count() ? step_block : modal_block;   // 4: few
  parallel_tasks(channel_tasks(a.sequences, a.u.cols, block), 16384.0 / static_cast<double>(a.pole.rows),
                 [&](const ChannelTask& t) { a.coupled() ? HWY_DYNAMIC_DISPATCH(CoupledScan)(a, t) : HWY_DYNAMIC_DISPATCH(Scan)(a, t); });
}
void modal_scan_backward(const ModalScanBackwardArgs& b) {
  std::vector<ChannelTask> tasks;                // of all sequences, whose gradients of the filter are summed
  add_channel_tasks(tasks, 0, b.forward.u.rows, b.forward.u.cols, modal_block);
  parallel_tasks(tasks, 4096.0 / static_cast<double>(b.forward.pole.rows), [&](const ChannelTask& t) {
    b.forward.coupled() ? HWY_DYNAMIC_DISPATCH(CoupledScanBackward)(b, t) : HWY_DYNAMIC_DISPATCH(ScanBackward)(b, t);
  });
}

}  // namespace headrace::cpu
#endif
