// Cells with a recurrent product (ops/kernels/cell_scan.h). All sequences go through a token together: the product of their hidden
// states and W runs in panels, so that W, packed once, is read from the cache once a token, and each thread keeps to its panels.
// A panel holds one gate after the other of a vector of channels, so that the cell follows at once. A sum runs over its terms in their
// order whatever else is summed beside it: a sequence gets the same bits alone and in a batch.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"
#include "ops/kernels/cell_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/cell_scan.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

#ifndef HEADRACE_CPU_CELL_PLAN
#define HEADRACE_CPU_CELL_PLAN
namespace headrace::cpu {

// A panel: `vectors` vectors of sums over `length` terms. Forward: the gates of channels [first, first + count) of a head; backward:
// that many adjacent vectors of channels.
struct Panel {
  int64_t head, first, count;                      // channels of all heads
  int vectors;
  size_t offset;                                   // of its weights, [terms][vectors][lanes]
};
struct CellPlan {
  std::vector<Panel> panels;
  size_t terms = 0;                                // floats of all panels
  std::vector<float> weights;
  std::vector<int> order;                          // sequences from the longest to the shortest
  int64_t longest = 0;
  const Sequences* sequences;
  bool direct = false;                             // of few tokens: rows of W as they lie, not packed
  int64_t length(int s) const { return sequences->offsets[s + 1] - sequences->offsets[s]; }
  int64_t active(int64_t t) const {                // how many of `order` have a token t
    int64_t n = static_cast<int64_t>(order.size());
    while (n > 0 && length(order[static_cast<size_t>(n - 1)]) <= t) --n;
    return n;
  }
};
// The panels of a step, shared among the threads; backwards every other step, so that what was read last is read first.
template <class F>
void step_panels(const CellPlan& plan, int64_t work, bool turned, F&& f) {
  const int64_t n = static_cast<int64_t>(plan.panels.size());
  parallel(n, std::max<int64_t>(1, 32768 * n / std::max<int64_t>(work, 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) f(plan.panels[static_cast<size_t>(turned ? begin + end - 1 - i : i)]);
  });
}

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t max_lanes = HWY_TARGET == HWY_AVX2 ? 8 : 16;
constexpr int most_rows = HWY_TARGET == HWY_AVX2 ? 4 : 8;    // sequences of one pass over a panel

// sums [M][vectors of the panel][lanes] of rows times a panel. Terms are `segments` pieces of `length`, `apart` in a row.
struct Terms { int64_t segments, apart, length; };
template <int M, int W>
HWY_INLINE void panel_sums(const float* panel, int64_t stride, const float* const* rows, const Terms& k, float* sums, int64_t sums_row) {
  const D d;
  V sum[M][W];
  for (auto& row : sum)
    for (V& v : row) v = hn::Zero(d);
  for (int64_t s = 0; s < k.segments; ++s)
    for (int64_t i = s * k.apart; i < s * k.apart + k.length; ++i, panel += stride) {
      V w[W];
      for (int j = 0; j < W; ++j) w[j] = hn::LoadU(d, panel + j * max_lanes);
      for (int m = 0; m < M; ++m) {
        const V x = hn::Set(d, rows[m][i]);
        for (int j = 0; j < W; ++j) sum[m][j] = hn::MulAdd(x, w[j], sum[m][j]);
      }
    }
  for (int m = 0; m < M; ++m)
    for (int j = 0; j < W; ++j) hn::StoreU(sum[m][j], d, sums + m * sums_row + j * max_lanes);
}
template <int M>
HWY_INLINE void panel_width(const float* panel, int vectors, const float* const* rows, const Terms& k, float* sums) {
  const int64_t stride = vectors * max_lanes;
  constexpr int most = M * 4 > 24 ? (M * 3 > 24 ? 2 : 3) : 4;      // vectors whose sums fit in the registers
  constexpr int W = HWY_TARGET == HWY_AVX2 ? (M > 2 ? 2 : 4) : most;
  auto pass = [&]<int w>(int j) { panel_sums<M, w>(panel + j * max_lanes, stride, rows, k, sums + j * max_lanes, stride); };
  int j = 0;
  const int wide = W == 3 && vectors == 4 ? 2 : W;                 // 4 as 2 and 2
  while (j < vectors) {
    const int n = std::min(wide, vectors - j);
    if (W >= 4 && n == 4) pass.template operator()<W >= 4 ? 4 : 1>(j);
    else if (W >= 3 && n == 3) pass.template operator()<W >= 3 ? 3 : 1>(j);
    else if (n >= 2) pass.template operator()<2>(j);
    else pass.template operator()<1>(j);
    j += n;
  }
}
// sums [count][vectors][lanes]
void PanelProduct(const float* panel, int vectors, const float* const* rows, int64_t count, const Terms& k, float* sums) {
  const int64_t row = vectors * max_lanes;
  int64_t m = 0;
  for (; m + most_rows <= count; m += most_rows) panel_width<most_rows>(panel, vectors, rows + m, k, sums + m * row);
  if constexpr (most_rows > 4)
    if (m + 4 <= count) panel_width<4>(panel, vectors, rows + m, k, sums + m * row), m += 4;
  if (m + 2 <= count) panel_width<2>(panel, vectors, rows + m, k, sums + m * row), m += 2;
  if (m < count) panel_width<1>(panel, vectors, rows + m, k, sums + m * row);
}

HWY_INLINE V one_minus(V x) { return hn::Sub(set(1), x); }
HWY_INLINE V sigmoid_slope(V x) { return hn::Mul(x, one_minus(x)); }

// One strip of one token of one sequence. All pointers stand at the panel's first channel; rows of gates and of kept values are C apart.
struct CellPlace {
  int64_t C;
  const float *x, *bias;                           // [G,C]
  const float* product;                            // [G,lanes]: of a whole panel
  const float* h;                                  // the hidden state before
  float* state;                                    // [states - 1, C]: c and what follows it, in place
  float *y, *saved;
};
template <Cell kind, class S>
HWY_INLINE void cell(const S& s, const CellPlace& p) {
  auto product = [&](int g) {
    const V v = s.load(p.product + g * max_lanes);
    return p.bias ? hn::Add(v, s.load(p.bias + g * p.C)) : v;
  };
  auto in = [&](int g) { return s.load(p.x + g * p.C); };
  auto gate = [&](int g) { return hn::Add(in(g), product(g)); };
  auto keep = [&](int k, V v) { if (p.saved) s.store(v, p.saved + k * p.C); };
  if constexpr (kind == Cell::lstm) {
    const V i = sigmoid_of(gate(0)), f = sigmoid_of(gate(1)), g = tanh_of(gate(2)), o = sigmoid_of(gate(3));
    const V c = hn::MulAdd(f, s.load(p.state), hn::Mul(i, g));
    s.store(c, p.state), s.store(hn::Mul(o, tanh_of(c)), p.y);
    keep(0, i), keep(1, f), keep(2, g), keep(3, o), keep(4, c);
  } else if constexpr (kind == Cell::gru) {
    const V r = sigmoid_of(gate(0)), z = sigmoid_of(gate(1)), w = product(2), n = tanh_of(hn::MulAdd(r, w, in(2)));
    s.store(hn::MulAdd(z, hn::Sub(s.load(p.h), n), n), p.y);
    keep(0, r), keep(1, z), keep(2, n), keep(3, w);
  } else {
    float *c_at = p.state, *n_at = p.state + p.C, *m_at = p.state + 2 * p.C;
    const V forget = gate(1), admit = gate(0), decayed = hn::Sub(s.load(m_at), softplus_of(hn::Neg(forget))), m = hn::Max(admit, decayed);
    const V i = exp_through(hn::Sub(admit, m)), f = exp_through(hn::Sub(decayed, m)), z = tanh_of(gate(2)), o = sigmoid_of(gate(3));
    const V c = hn::MulAdd(f, s.load(c_at), hn::Mul(i, z)), n = hn::MulAdd(f, s.load(n_at), i);
    s.store(c, c_at), s.store(n, n_at), s.store(m, m_at), s.store(hn::Mul(o, hn::Div(c, n)), p.y);
    keep(0, i), keep(1, f), keep(2, z), keep(3, o), keep(4, sigmoid_of(hn::Neg(forget))), keep(5, c), keep(6, n);
  }
}

template <Cell kind>
void ForwardPanel(const CellScanArgs& a, const CellPlan& plan, const Panel& panel, int64_t t, const float* const* hidden, float* state) {
  constexpr int G = gates_of(kind), kept = saved_of(kind), S = states_of(kind);
  const int64_t C = a.channels, P = C / a.heads, count = plan.active(t);
  static thread_local std::vector<float> sums;
  static thread_local std::vector<const float*> rows;
  sums.resize(static_cast<size_t>(count * G * max_lanes)), rows.resize(static_cast<size_t>(count));
  for (int64_t m = 0; m < count; ++m) {
    rows[static_cast<size_t>(m)] = hidden[m] + panel.head * P;
    const float* x = a.x + (a.sequences.offsets[plan.order[static_cast<size_t>(m)]] + t) * a.x_stride + panel.first;
    for (int g = 0; g < G; ++g) __builtin_prefetch(x + g * C);                 // while the product runs
  }
  if (plan.direct) {
    for (int64_t row = 0; row < G * panel.count; ++row) {
      const int64_t g = row / panel.count, c = row % panel.count;
      const float* w = a.recurrent + (g * C + panel.first + c) * P;
      for (int64_t m = 0; m < count; ++m) sums[static_cast<size_t>((m * G + g) * max_lanes + c)] = dot(w, rows[static_cast<size_t>(m)], P);
    }
  } else {
    PanelProduct(plan.weights.data() + panel.offset, G, rows.data(), count, {1, 0, P}, sums.data());
  }
  for (int64_t m = 0; m < count; ++m) {
    const int64_t token = a.sequences.offsets[plan.order[static_cast<size_t>(m)]] + t;
    const CellPlace p{.C = C, .x = a.x + token * a.x_stride + panel.first, .bias = a.bias ? a.bias + panel.first : nullptr,
                      .product = sums.data() + m * G * max_lanes, .h = hidden[m] + panel.first,
                      .state = state + m * (S - 1) * C + panel.first, .y = a.y + token * C + panel.first,
                      .saved = a.saved ? a.saved + token * kept * C + panel.first : nullptr};
    strips(panel.count, [&](auto s) { cell<kind>(s, p); });
  }
}

// The same place, going back: d_h comes in with what later tokens send; `carried` are the gradients of c and what follows it (slstm:
// the last one is what is left of that of m, see naive_cell_scan.cc); direct is what goes to h around the product.
struct BackPlace {
  int64_t C;
  const float *saved, *saved_before, *before;      // of the token; of the one before, or null; the state before the first, or null
  const float *h;                                  // hidden state before (gru), or null: zero
  const float *dy, *product;                       // null: zero
  float *carried, *direct;
  float *dx, *d_product;
};
template <Cell kind, class S>
HWY_INLINE void cell_backward(const S& s, const BackPlace& p) {
  auto saved = [&](int k) { return s.load(p.saved + k * p.C); };
  auto old = [&](int state, int k) {
    return p.saved_before ? s.load(p.saved_before + k * p.C) : p.before ? s.load(p.before + state * p.C) : set(0);
  };
  auto give = [&](int g, V v) { s.store(v, p.dx + g * p.C); };
  V dh = p.direct ? s.load(p.direct) : set(0);
  if (p.product) dh = hn::Add(dh, s.load(p.product));
  if (p.dy) dh = hn::Add(dh, s.load(p.dy));
  if constexpr (kind == Cell::lstm) {
    const V i = saved(0), f = saved(1), g = saved(2), o = saved(3), e = tanh_of(saved(4));
    const V dc = hn::MulAdd(hn::Mul(dh, o), hn::NegMulAdd(e, e, set(1)), s.load(p.carried));
    give(0, hn::Mul(hn::Mul(dc, g), sigmoid_slope(i)));
    give(1, hn::Mul(hn::Mul(dc, old(1, 4)), sigmoid_slope(f)));
    give(2, hn::Mul(hn::Mul(dc, i), hn::NegMulAdd(g, g, set(1))));
    give(3, hn::Mul(hn::Mul(dh, e), sigmoid_slope(o)));
    s.store(hn::Mul(dc, f), p.carried);
  } else if constexpr (kind == Cell::gru) {
    const V r = saved(0), z = saved(1), n = saved(2), w = saved(3), h = p.h ? s.load(p.h) : set(0);
    const V dn = hn::Mul(hn::Mul(dh, one_minus(z)), hn::NegMulAdd(n, n, set(1))), dr = hn::Mul(hn::Mul(dn, w), sigmoid_slope(r));
    const V dz = hn::Mul(hn::Mul(dh, hn::Sub(h, n)), sigmoid_slope(z));
    give(0, dr), give(1, dz), give(2, dn);
    s.store(dr, p.d_product), s.store(dz, p.d_product + p.C), s.store(hn::Mul(dn, r), p.d_product + 2 * p.C);
    s.store(hn::Mul(dh, z), p.direct);
  } else {
    const V i = saved(0), f = saved(1), z = saved(2), o = saved(3), n = saved(6);
    const V ratio = hn::Div(saved(5), n), by_n = hn::Div(hn::Mul(dh, o), n);
    float *dc_at = p.carried, *dn_at = p.carried + p.C, *high_at = p.carried + 2 * p.C;
    const V dc = hn::Add(s.load(dc_at), by_n), dn = hn::NegMulAdd(by_n, ratio, s.load(dn_at)), high = s.load(high_at);
    const auto admitted = hn::Ge(i, set(1));
    const V di = hn::MulAdd(i, hn::MulAdd(dc, z, dn), hn::IfThenElseZero(admitted, high)), rest = hn::IfThenZeroElse(admitted, high);
    const V df = hn::MulAdd(f, hn::MulAdd(dc, old(1, 5), hn::Mul(dn, old(2, 6))), rest);
    give(0, di), give(1, hn::Mul(df, saved(4)));
    give(2, hn::Mul(hn::Mul(dc, i), hn::NegMulAdd(z, z, set(1))));
    give(3, hn::Mul(hn::Mul(dh, ratio), sigmoid_slope(o)));
    s.store(hn::Mul(dc, f), dc_at), s.store(hn::Mul(dn, f), dn_at), s.store(rest, high_at);
  }
}

// The product of what token t + 1 gave, where there is one, and the cell of token t; t = -1: the product alone, into `direct`.
template <Cell kind>
void BackwardPanel(const CellScanBackwardArgs& a, const CellPlan& plan, const Panel& panel, int64_t t, float* carried, float* direct) {
  constexpr int G = gates_of(kind), kept = saved_of(kind), S = states_of(kind);
  const int64_t C = a.channels, P = C / a.heads, later = plan.active(t + 1), count = plan.active(std::max<int64_t>(t, 0));
  const int64_t wide = panel.vectors * max_lanes;
  static thread_local std::vector<float> sums;
  static thread_local std::vector<const float*> rows;
  sums.resize(static_cast<size_t>(later * wide)), rows.resize(static_cast<size_t>(later));
  auto token = [&](int64_t m) { return a.sequences.offsets[plan.order[static_cast<size_t>(m)]] + t; };
  for (int64_t m = 0; m < later; ++m) rows[static_cast<size_t>(m)] = a.d_product + (token(m) + 1) * G * C + panel.head * P;
  PanelProduct(plan.weights.data() + panel.offset, panel.vectors, rows.data(), later, {G, C, P}, sums.data());
  for (int64_t m = 0; m < count; ++m) {
    const int s = plan.order[static_cast<size_t>(m)];
    const float *product = m < later ? sums.data() + m * wide : nullptr, *before = a.before ? a.before[s] : nullptr;
    float* to = direct + m * C + panel.first;
    if (t < 0) {
      strips(panel.count, [&](auto v) { v.store(hn::Add(v.load(to), v.load(product)), to); });
      continue;
    }
    const int64_t row = token(m);
    const BackPlace p{.C = C, .saved = a.saved + row * kept * C + panel.first,
                      .saved_before = t > 0 ? a.saved + (row - 1) * kept * C + panel.first : nullptr,
                      .before = before ? before + panel.first : nullptr,
                      .h = t > 0 ? a.y + (row - 1) * C + panel.first : before ? before + panel.first : nullptr,
                      .dy = a.dy ? a.dy + row * C + panel.first : nullptr, .product = product,
                      .carried = carried + m * (S - 1) * C + panel.first, .direct = to, .dx = a.dx + row * G * C + panel.first,
                      .d_product = a.d_product + row * G * C + panel.first};
    strips(panel.count, [&](auto v) {
      cell_backward<kind>(v, p);
      if constexpr (kind != Cell::gru) v.store(set(0), to);      // it was the gradient of the last state
    });
  }
}

void Forward(const CellScanArgs& a, const CellPlan& plan, const Panel& panel, int64_t t, const float* const* hidden, float* state) {
  switch (a.kind) {
    case Cell::lstm: return ForwardPanel<Cell::lstm>(a, plan, panel, t, hidden, state);
    case Cell::gru: return ForwardPanel<Cell::gru>(a, plan, panel, t, hidden, state);
    case Cell::slstm: return ForwardPanel<Cell::slstm>(a, plan, panel, t, hidden, state);
  }
}
void Backward(const CellScanBackwardArgs& a, const CellPlan& plan, const Panel& panel, int64_t t, float* carried, float* direct) {
  switch (a.kind) {
    case Cell::lstm: return BackwardPanel<Cell::lstm>(a, plan, panel, t, carried, direct);
    case Cell::gru: return BackwardPanel<Cell::gru>(a, plan, panel, t, carried, direct);
    case Cell::slstm: return BackwardPanel<Cell::slstm>(a, plan, panel, t, carried, direct);
  }
}
int64_t CellLanes() { return max_lanes; }

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Forward);
HWY_EXPORT(Backward);
HWY_EXPORT(CellLanes);

namespace {

// Of the sequences that have from `least` to `most` tokens.
CellPlan plan_of(const Sequences& sequences, int64_t least = 0, int64_t most = INT64_MAX) {
  CellPlan plan{.sequences = &sequences};
  for (int s = 0; s < sequences.count(); ++s)
    if (plan.length(s) >= least && plan.length(s) <= most) plan.order.push_back(s);
  std::stable_sort(plan.order.begin(), plan.order.end(), [&](int a, int b) { return plan.length(a) > plan.length(b); });
  plan.longest = plan.order.empty() ? 0 : plan.length(plan.order[0]);
  return plan;
}
// Panels of up to `vectors` vectors of channels, each of them `per` vectors wide.
void cut(CellPlan& plan, int64_t channels, int heads, int64_t vectors, int per, int64_t terms) {
  const int64_t L = HWY_DYNAMIC_DISPATCH(CellLanes)(), P = channels / heads;
  size_t offset = 0;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t c = 0; c < P; c += vectors * L) {
      const int64_t n = std::min(vectors * L, P - c);
      const int width = static_cast<int>((n + L - 1) / L) * per;
      plan.panels.push_back({h, h * P + c, n, width, offset});
      offset += static_cast<size_t>(terms * width * L);
    }
  plan.terms = offset;
}

void pack_gates(const CellScanArgs& a, CellPlan& plan) {
  const int64_t C = a.channels, P = C / a.heads, L = HWY_DYNAMIC_DISPATCH(CellLanes)();
  const int G = gates_of(a.kind);
  parallel(static_cast<int64_t>(plan.panels.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Panel& p = plan.panels[static_cast<size_t>(i)];
      for (int g = 0; g < G; ++g) {
        const float* from = a.recurrent + (g * C + p.first) * P;
        float* to = plan.weights.data() + p.offset + static_cast<size_t>(g * L);
        for (int64_t k = 0; k < P; ++k, to += G * L)
          for (int64_t c = 0; c < p.count; ++c) to[c] = from[c * P + k];
      }
    }
  });
}

void forward(const CellScanArgs& a, CellPlan& plan) {
  const int64_t C = a.channels, P = C / a.heads, S = states_of(a.kind);
  const int G = gates_of(a.kind);
  cut(plan, C, a.heads, 1, G, P);
  if (!plan.direct) plan.weights.resize(plan.terms), pack_gates(a, plan);
  const int64_t sequences = static_cast<int64_t>(plan.order.size());
  std::vector<float> state(static_cast<size_t>(sequences * (S - 1) * C)), zero(static_cast<size_t>(C));
  std::vector<const float*> hidden(static_cast<size_t>(sequences));
  for (int64_t m = 0; m < sequences; ++m) {
    float* to = state.data() + m * (S - 1) * C;
    const float* from = a.states ? a.states[plan.order[static_cast<size_t>(m)]] : nullptr;
    hidden[static_cast<size_t>(m)] = from ? from : zero.data();
    if (from) std::copy_n(from + C, (S - 1) * C, to);
    else if (a.kind == Cell::slstm) std::fill_n(to + 2 * C, C, slstm_lowest);
  }
  for (int64_t t = 0; t < plan.longest; ++t) {
    const int64_t count = plan.active(t);
    step_panels(plan, count * G * C * P, t % 2, [&](const Panel& p) { HWY_DYNAMIC_DISPATCH(Forward)(a, plan, p, t, hidden.data(), state.data()); });
    for (int64_t m = 0; m < count; ++m) hidden[static_cast<size_t>(m)] = a.y + (a.sequences.offsets[plan.order[static_cast<size_t>(m)]] + t) * C;
  }
  for (int64_t m = 0; m < sequences && a.states; ++m) {
    float* to = a.states[plan.order[static_cast<size_t>(m)]];
    if (plan.length(plan.order[static_cast<size_t>(m)]) == 0) continue;
    std::copy_n(hidden[static_cast<size_t>(m)], C, to), std::copy_n(state.data() + m * (S - 1) * C, (S - 1) * C, to + C);
  }
}

}  // namespace

// Packing W costs what a few products do. Which form a sequence takes depends on its own length alone, so that it gets the same bits in
// any batch.
void cell_scan(const CellScanArgs& a) {
  constexpr int64_t few = 3;
  CellPlan shorts = plan_of(a.sequences, 0, few), longs = plan_of(a.sequences, few + 1);
  shorts.direct = true;
  if (!shorts.order.empty()) forward(a, shorts);
  if (!longs.order.empty()) forward(a, longs);
}

void cell_scan_backward(const CellScanBackwardArgs& a) {
  const int64_t C = a.channels, P = C / a.heads, S = states_of(a.kind), L = HWY_DYNAMIC_DISPATCH(CellLanes)(), kept = saved_of(a.kind);
  const int G = gates_of(a.kind);
  CellPlan plan = plan_of(a.sequences);
  cut(plan, C, a.heads, 4, 1, G * P);
  plan.weights.resize(plan.terms);
  parallel(static_cast<int64_t>(plan.panels.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Panel& p = plan.panels[static_cast<size_t>(i)];
      for (int64_t g = 0; g < G; ++g)
        for (int64_t out = 0; out < P; ++out)
          std::copy_n(a.recurrent + (g * C + p.head * P + out) * P + p.first - p.head * P, p.count,
                      plan.weights.data() + p.offset + static_cast<size_t>((g * P + out) * p.vectors * L));
    }
  });
  const int64_t sequences = static_cast<int64_t>(plan.order.size());
  std::vector<float> carried(static_cast<size_t>(sequences * (S - 1) * C)), direct(static_cast<size_t>(sequences * C));
  for (int64_t m = 0; m < sequences; ++m) {
    const int s = plan.order[static_cast<size_t>(m)];
    const float* from = a.d_after ? a.d_after[s] : nullptr;
    if (!from) continue;
    float* to = carried.data() + m * (S - 1) * C;
    std::copy_n(from, C, direct.data() + m * C), std::copy_n(from + C, (S - 1) * C, to);
    if (a.kind != Cell::slstm || plan.length(s) == 0) continue;
    const float* last = a.saved + (a.sequences.offsets[s + 1] - 1) * kept * C;
    for (int64_t c = 0; c < C; ++c) to[2 * C + c] -= to[c] * last[5 * C + c] + to[C + c] * last[6 * C + c];
  }
  for (int64_t t = plan.longest - 1; t >= -1; --t)
    step_panels(plan, plan.active(t + 1) * G * C * P, t % 2, [&](const Panel& p) {
      HWY_DYNAMIC_DISPATCH(Backward)(a, plan, p, t, carried.data(), direct.data());
    });
  for (int64_t m = 0; m < sequences; ++m) {
    const int s = plan.order[static_cast<size_t>(m)];
    float *to = a.d_before ? a.d_before[s] : nullptr, *from = carried.data() + m * (S - 1) * C;
    if (!to) continue;
    const float* before = a.before ? a.before[s] : nullptr;
    if (a.kind == Cell::slstm && before && plan.length(s) > 0)
      for (int64_t c = 0; c < C; ++c) from[2 * C + c] += from[c] * before[C + c] + from[C + c] * before[2 * C + c];
    std::copy_n(direct.data() + m * C, C, to), std::copy_n(from, (S - 1) * C, to + C);
  }
}

}  // namespace headrace::cpu
#endif
