// The gradients of linear_scan, chunk by chunk from the last to the first (letters and arrays: cpu/scan-inl.h). A first pass keeps the
// state at every 16th token and what removal added to each; the rest of a chunk is computed again from them. With D the gradient of the
// state after the chunk, dO that of the scaled answers, g the gradient at what a reader took (dO; dP):
//   written   dX_w = to_w D + score_qw^T dO;   dP = (I - score_ab)^-T dX of P;   dv: what of dX and score_ak^T dP reaches v
//   scores    d_rw = g_r X_w^T, of the pairs that there are
//   readers   dr_i = e^(L_i) S g_i + sum_j d_ij e^(L_i - L_j) w_j
//   writers   dw_j = e^(L_last - L_j) D X_j + sum_i d_ij e^(L_i - L_j) r_i
//   state     D' = e^(L_last) D + sum_r from_r^T g_r
//   decays    those of the first token: e^(L_last) rowsum(S * D) + sum_i from_i * (S g_i); from there to the next token what reads
//             at this one falls away, - r * dr, and what it wrote comes in, + w * dw.
// That sum keeps an error of the size of its terms; at the first token all are times its decay. So where a head's decays are all strong, or
// 0, which is none, a chunk ends before each strong one.
#include <algorithm>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/linear_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/scan_backward.cc"
#include "hwy/foreach_target.h"
#include "cpu/scan-inl.h"

#ifndef HEADRACE_CPU_SCAN_BACKWARD
#define HEADRACE_CPU_SCAN_BACKWARD
namespace headrace::cpu {

// Which tokens must be the first of their chunk.
struct Cuts {
  const LinearScanArgs& x;
  const Head& h;
  bool any;
  Cuts(const LinearScanArgs& x, const Head& h, int64_t begin, int64_t end) : x(x), h(h), any(h.decay) {
    const int64_t n = x.decay_stride ? end : std::min(begin + 1, end);
    for (int64_t t = begin; any && t < n; ++t) any = strong(t) || all(t, [](float g) { return g == 0; });
  }
  template <class F>
  bool all(int64_t t, F&& f) const {
    const float* g = h.decay + t * x.decay_stride;
    return std::all_of(g, g + (x.decay_per_key ? x.key : 1), f);
  }
  bool strong(int64_t t) const {
    return all(t, [](float g) { return g < -5; });
  }
  int64_t tokens(int64_t t, int64_t end) const {           // of a chunk from t on, at most
    if (!any) return end - t;
    const int64_t from = t++;
    while (t < end && !strong(t)) ++t;
    return t - from;
  }
};

struct OutRows {
  float* at; int64_t stride;
  float* operator[](int64_t i) const { return at + i * stride; }
};
// What the backward of a chunk works with besides the chunk.
struct Backward {
  const LinearScanBackward& b;
  const LinearScanArgs& x;
  const Head& h;
  int64_t head, sequence;
  float *D, *D_columns, *S_columns;                // [K,V], [V,K], [V,K]
  float *d_out;                                    // [C,V]: scaled
  float *values[2];                                // [V,C]: X transposed
  float *d_score[2][2];                            // [C,C]
  float *d_removed;                                // [C,V]
  float *far;                                      // [C,K]: what came through the state
  float *d_read, *d_write;                         // [C,K]: delta's, of -k and beta k
  float* run;                                      // [K]: gradient of the decay by key
  Ahead* ahead = nullptr;                          // the chunk before
  static int64_t floats(int64_t K, int64_t V) {
    constexpr int64_t C = scan_chunk;
    return 2 * K * V + 4 * C * V + 4 * C * C + 3 * C * K + K;
  }
  void lay_out(float* p) {
    const int64_t C = scan_chunk, K = x.key, V = x.value;
    const auto take = [&](int64_t n) { return std::exchange(p, p + n); };
    D_columns = take(K * V), S_columns = take(K * V), d_out = take(C * V), d_removed = take(C * V);
    for (float*& v : values) v = take(V * C);
    for (auto& row : d_score)
      for (float*& s : row) s = take(C * C);
    far = take(C * K), d_read = take(C * K), d_write = take(C * K), run = take(K);
  }
  // Rows of an output [N,H,D] from token t on.
  OutRows rows(float* all, int64_t t, int64_t width) const { return {all + (t * x.heads + head) * width, x.heads * width}; }
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// dr of one reader; g [n,V]. Adds from_i * (S g_i) to the decay's gradient at the chunk's first token.
void reader(const Backward& o, const Chunk& c, int r, OutRows g, OutRows to) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = o.x.key, n = c.n;
  product<false>(n, K, {g.at, g.stride, 1, o.S_columns, K, o.far, K, o.x.value, nullptr, o.ahead});
  for (int w = 0; w < c.writers; ++w) {
    const Product p{o.d_score[r][w], C, 1, c.scaled_writes[w].at, c.scaled_writes[w].stride, to.at, to.stride, n};
    w == 0 ? product<false>(n, K, p) : product<true>(n, K, p);
  }
  each_row(n, K, [&](int64_t i, auto s) {
    const V far = s.load(o.far + i * K);
    const V near = s.load(to[i]);
    if (c.by_key) s.store(hn::Mul(s.load(grow_row(c, r, i, K)), hn::MulAdd(far, s.load(enter_row(c, r, i)), near)), to[i]);
    else s.store(hn::MulAdd(far, set(c.in[c.before[r] ? i : i + 1]), near), to[i]);
    if (o.h.decay && !(c.before[r] && i == 0)) s.store(hn::MulAdd(s.load(c.from[r] + i * K), far, s.load(o.run)), o.run);
  });
}
// dw of one writer; X [n,V] what it writes.
void writer(const Backward& o, const Chunk& c, int w, ScanRows X, OutRows to) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = o.x.key, n = c.n;
  product<false>(n, K, {X.at, X.stride, 1, o.D_columns, K, o.far, K, o.x.value, nullptr, o.ahead});
  for (int r = 0; r < c.readers; ++r) {
    const Product p{o.d_score[r][w], 1, C, c.scaled_reads[r].at, c.scaled_reads[r].stride, to.at, to.stride, n};
    r == 0 ? product<false>(n, K, p) : product<true>(n, K, p);
  }
  each_row(n, K, [&](int64_t i, auto s) {
    const V far = s.load(o.far + i * K), near = s.load(to[i]);
    if (c.by_key) s.store(hn::Mul(s.load(c.shrink + i * K), hn::MulAdd(far, s.load(c.leave), near)), to[i]);
    else s.store(hn::MulAdd(far, set(c.out[i]), near), to[i]);
  });
}

// dP from dX of P, in place: row by row from the last, four at once as far as later ones read them.
void solve_back(const float* A, int64_t n, int64_t W, OutRows d) {
  constexpr int64_t C = scan_chunk;
  for (int64_t i = (n - 1) / 4 * 4; i >= 0; i -= 4) {
    const int64_t end = std::min(i + 4, n);
    product<true>(end - i, W, {A + end * C + i, 1, C, d[end], d.stride, d[i], d.stride, n - end});
    for (int64_t j = end - 1; j-- > i;) product<true>(1, W, {A + (j + 1) * C + j, 1, C, d[j + 1], d.stride, d[j], d.stride, end - 1 - j});
  }
}

// S: the state before the chunk; removed [n,V] as pass_chunk left it.
void chunk_backward(const Backward& o, const Chunk& c, const float* S, const float* removed) {
  constexpr int64_t C = scan_chunk;
  const LinearScanArgs& x = o.x;
  const Head& h = o.h;
  const int64_t K = x.key, W = x.value, n = c.n, t = c.t;
  const bool delta = h.beta;
  const ScanRows values[2] = {delta ? ScanRows{removed, W} : ScanRows{h.v + t * x.v_stride, x.v_stride}, {removed, W}};
  const OutRows dv = o.rows(o.b.dv, t, W), d_values[2] = {dv, {o.d_removed, W}}, dP = delta ? dv : d_values[1];
  const OutRows g[2] = {{o.d_out, W}, dP};
  const ScanRows dy{o.b.dy + (t * x.heads + o.head) * W, int64_t{x.heads} * W};
  each_row(n, W, [&](int64_t i, auto s) { s.store(hn::Mul(s.load(dy[i]), set(x.scale)), o.d_out + i * W); });
  for (int r = 0; r < c.readers; ++r) make_scores(x, h, c, r);
  transpose(S, W, K, W, o.S_columns, K, K);
  if (h.decay)
    strips(K, [&](auto s) {
      V sum = set(0);
      for (int64_t j = 0; j < W; ++j) sum = hn::MulAdd(s.load(o.S_columns + j * K), s.load(o.D_columns + j * K), sum);
      s.store(hn::Mul(sum, s.load(c.all)), o.run);
    });

  for (int w = 0; w < c.writers; ++w) {
    product<false>(n, W, {c.to[w], K, 1, o.D, W, d_values[w].at, d_values[w].stride, K, nullptr, o.ahead});
    product<true>(n, W, {c.score[0][w], 1, C, o.d_out, W, d_values[w].at, d_values[w].stride, n});
    transpose(values[w].at, values[w].stride, n, W, o.values[w], C, C);
  }
  if (c.readers == 2) solve_back(c.score[1][c.writers - 1], n, W, dP);
  if (h.a) product<true>(n, W, {c.score[1][0], 1, C, dP.at, dP.stride, dv.at, dv.stride, n});
  for (int r = 0; r < c.readers; ++r)
    for (int w = 0; w < c.writers; ++w) {
      product<false>(n, C, {g[r].at, g[r].stride, 1, o.values[w], C, o.d_score[r][w], C, W});
      keep_past(c, h.decay, r, o.d_score[r][w]);
    }

  const OutRows dq = o.rows(o.b.dq, t, K), dk = o.rows(o.b.dk, t, K);
  const OutRows d_reads[2] = {dq, h.a ? o.rows(o.b.da, t, K) : OutRows{o.d_read, K}};
  const OutRows d_writes[2] = {delta ? OutRows{o.d_write, K} : dk, h.a ? o.rows(o.b.db, t, K) : OutRows{}};
  for (int r = 0; r < c.readers; ++r) reader(o, c, r, g[r], d_reads[r]);
  for (int w = 0; w < c.writers; ++w) writer(o, c, w, values[w], d_writes[w]);

  for (int64_t i = 0; h.decay && i < n; ++i) {
    V sum = set(0);
    strips(K, [&](auto s) {
      V d = s.load(o.run);
      if (c.by_key) s.store(d, o.b.d_decay + ((t + i) * x.heads + o.head) * K);
      else sum = hn::Add(sum, s.only(d));
      for (int r = 0; r < c.readers; ++r)
        if (const int64_t j = c.before[r] ? i + 1 : i; j < n) d = hn::NegMulAdd(s.load(c.reads[r][j]), s.load(d_reads[r][j]), d);
      for (int w = 0; w < c.writers; ++w) d = hn::MulAdd(s.load(c.writes[w][i]), s.load(d_writes[w][i]), d);
      s.store(d, o.run);
    });
    if (!c.by_key) o.b.d_decay[(t + i) * x.heads + o.head] = sum_of(sum);
  }
  if (h.bonus)
    for (int64_t i = 0; i < n; ++i) {
      const float *q = c.reads[0][i], *k = c.writes[0][i];
      const V d = set(dot(o.d_out + i * W, values[0][i], W));
      strips(K, [&](auto s) {
        const V dqk = hn::Mul(d, s.load(q)), uk = hn::Mul(s.load(h.bonus), s.load(k));
        float* du = o.b.d_bonus + (o.sequence * x.heads + o.head) * K;
        s.store(hn::MulAdd(d, uk, s.load(dq[i])), dq[i]);
        s.store(hn::MulAdd(dqk, s.load(h.bonus), s.load(dk[i])), dk[i]);
        s.store(hn::MulAdd(dqk, s.load(k), s.load(du)), du);
      });
    }
  if (delta)
    for (int64_t i = 0; i < n; ++i) {
      const float *k = h.k + (t + i) * x.k_stride, *d = d_writes[0][i], *d_minus = d_reads[1][i];
      const V beta = set(h.beta[(t + i) * x.beta_stride]);
      o.b.d_beta[(t + i) * x.heads + o.head] = dot(d, k, K);
      strips(K, [&](auto s) { s.store(hn::MulSub(beta, s.load(d), s.load(d_minus)), dk[i]); });
    }

  if (h.decay) each_row(K, W, [&](int64_t d, auto s) { s.store(hn::Mul(s.load(o.D + d * W), set(c.all[d])), o.D + d * W); });
  for (int r = 0; r < c.readers; ++r) product<true>(K, W, {c.from[r], 1, K, g[r].at, g[r].stride, o.D, W, n, nullptr, o.ahead});
  transpose(o.D, W, K, W, o.D_columns, K, K);
}

// What chunk_backward will read and write of the tokens [t, t + n).
Ahead backward_ahead(const Backward& o, int64_t t, int64_t n) {
  const LinearScanBackward& b = o.b;
  const int64_t K = o.x.key, W = o.x.value;
  Ahead ahead = chunk_ahead(o.x, o.h, t, n);
  const auto add = [&](const float* all, int64_t width) {
    if (all) ahead.add(all + (t * o.x.heads + o.head) * width, o.x.heads * width, width);
  };
  add(b.dy, W), add(b.dq, K), add(b.dk, K), add(b.dv, W), add(b.da, K), add(b.db, K);
  if (o.x.decay_per_key) add(b.d_decay, K);
  return ahead;
}

void LinearScanBack(const LinearScanBackward& b, const ScanTask& task) {
  constexpr int64_t C = scan_chunk;
  const LinearScanArgs& x = b.forward;
  const int64_t K = x.key, W = x.value, state = K * W;
  const int64_t begin = x.sequences.offsets[task.sequence], end = x.sequences.offsets[task.sequence + 1], T = end - begin, blocks = (T + C - 1) / C;
  const Head h = head_of(x, task.head);
  const bool removes = h.a || h.beta;
  static thread_local std::vector<float> scratch;
  const Cuts cuts(x, h, begin, end);
  const int64_t inner = (h.decay && x.decay_per_key) || cuts.any ? C : 0;  // states within a block where it falls into several chunks
  scratch.resize(static_cast<size_t>(Chunk::floats(K) + Backward::floats(K, W) + (blocks + inner + 2) * state + (removes ? T : 0) * W));
  float *entries = scratch.data(), *within = entries + blocks * state, *S = within + inner * state, *own_D = S + state, *rest = own_D + state;
  float* removed = rest + Chunk::floats(K) + Backward::floats(K, W);
  Chunk c;
  c.lay_out(rest, K);
  Backward o{.b = b, .x = x, .h = h, .head = task.head, .sequence = task.sequence};
  o.lay_out(rest + Chunk::floats(K));
  o.D = b.d_states && b.d_states[task.sequence] ? b.d_states[task.sequence] + task.head * state : own_D;
  if (o.D == own_D) std::fill(o.D, o.D + state, 0.f);
  if (h.bonus) std::fill_n(b.d_bonus + (task.sequence * x.heads + task.head) * K, K, 0.f);
  const float* first = b.first ? b.first[task.sequence] : nullptr;
  if (first) std::copy_n(first + task.head * state, state, S);
  else std::fill(S, S + state, 0.f);
  const auto removed_at = [&](int64_t t) { return removes ? removed + (t - begin) * W : nullptr; };
  for (int64_t block = 0; block < blocks; ++block) {
    std::copy_n(S, state, entries + block * state);
    const int64_t to = std::min(end, begin + (block + 1) * C);
    for (int64_t t = begin + block * C; t < to; t += c.n) {
      make_chunk(x, h, t, cuts.tokens(t, to), c);
      Ahead ahead = chunk_ahead(x, h, t + c.n, std::min(C, end - t - c.n));
      ahead.spread(pass_calls(c, K, W, false));
      pass_chunk(x, h, c, S, removed_at(t), nullptr, ahead);
    }
  }
  transpose(o.D, W, K, W, o.D_columns, K, K);
  for (int64_t block = blocks; block-- > 0;) {
    const int64_t from = begin + block * C, to = std::min(end, from + C);
    const float* entry = entries + block * state;
    make_chunk(x, h, from, cuts.tokens(from, to), c);
    Ahead ahead = backward_ahead(o, std::max(begin, from - C), block > 0 ? C : 0);
    ahead.spread((c.readers + 2 * c.writers) * Product::calls(c.n, K, W) + c.readers * Product::calls(K, W, c.n));
    o.ahead = &ahead;
    if (c.n == to - from) {
      chunk_backward(o, c, entry, removed_at(from));
      continue;
    }
    int64_t starts[C], count = 0;
    std::copy_n(entry, state, S);
    for (int64_t t = from; t < to; t += c.n) {
      if (t != from) make_chunk(x, h, t, cuts.tokens(t, to), c);
      starts[count] = t;
      std::copy_n(S, state, within + count++ * state);
      pass_chunk(x, h, c, S, removed_at(t), nullptr, ahead);
    }
    for (int64_t upto = to; count-- > 0; upto = starts[count]) {
      make_chunk(x, h, starts[count], upto - starts[count], c);
      chunk_backward(o, c, within + count * state, removed_at(starts[count]));
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(LinearScanBack);

void linear_scan_backward(const LinearScanBackward& b) {
  const LinearScanArgs& x = b.forward;
  std::vector<ScanTask> tasks;
  for (int s = 0; s < x.sequences.count(); ++s)
    for (int h = 0; h < x.heads; ++h)
      tasks.push_back({s, h, static_cast<double>((x.sequences.offsets[s + 1] - x.sequences.offsets[s]) * x.key * x.value)});
  parallel_tasks(tasks, 100000, [&](const ScanTask& t) { HWY_DYNAMIC_DISPATCH(LinearScanBack)(b, t); });
}

}  // namespace headrace::cpu
#endif
