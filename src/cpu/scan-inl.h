// linear_scan in chunks of at most 16 tokens as products of matrices: what the forward and the backward share. Rows are tokens.
//
// Readers take from the state and from what the chunk's earlier tokens wrote: the query, and with removal a (delta: -k). Writers add
// to it: k, and with removal b (delta: beta k alone). With L_i the sum of the log decays up to token i, itself included,
//   score_ij = r_i . w_j e^(L_i - L_j), from_i = r_i e^(L_i), to_j = w_j e^(L_last - L_j)
//   removed  P = from_a S + score_ak V + score_ab P           row by row; delta: U = V + from_a S + score_ab U, and U is what is written
//   answers  O = from_q S + sum_w score_qw X_w                X: V and P; delta: U
//   state    S' = e^(L_last) S + sum_w to_w^T X_w
// A reader that sees the state before the token's decay (a; the query where there is a bonus) has L_(i-1) for L_i and j < i.
//
// A decay per head multiplies the scores, as products of decays: exact where a gate is closed. A decay per key goes to the
// factors, r_i e^(L_i - R) and w_j e^(R - L_j) with L from the chunk's second token on and R half of its last: a chunk ends before a token
// with which any L would pass 120, so the factors stay below e^60 and a gate may be closed at any token.
#if defined(HEADRACE_CPU_SCAN_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_CPU_SCAN_INL
#undef HEADRACE_CPU_SCAN_INL
#else
#define HEADRACE_CPU_SCAN_INL
#endif

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cpu/simd-inl.h"
#include "ops/kernels/linear_scan.h"

#ifndef HEADRACE_CPU_SCAN_HEAD
#define HEADRACE_CPU_SCAN_HEAD
namespace headrace::cpu {

constexpr int64_t scan_chunk = 16;

struct ScanTask {
  int sequence, head;
  double cost;
};

// The arrays of one head: rows are tokens.
struct Head {
  const float *q, *k, *v, *a, *b, *beta, *decay, *bonus;
  float* y;
};
inline Head head_of(const LinearScanArgs& x, int h) {
  const int64_t K = x.key, V = x.value;
  return {x.q + h / (x.heads / x.q_heads) * K, x.k + h / (x.heads / x.k_heads) * K, x.v + h / (x.heads / x.v_heads) * V,
          x.a ? x.a + h * K : nullptr, x.b ? x.b + h * K : nullptr, x.beta ? x.beta + h : nullptr,
          x.log_decay ? x.log_decay + (x.decay_per_key ? h * K : h) : nullptr, x.bonus ? x.bonus + h * K : nullptr, x.y ? x.y + h * V : nullptr};
}

struct ScanRows {
  const float* at; int64_t stride;
  const float* operator[](int64_t i) const { return at + i * stride; }
};

// A chunk and the arrays made of it.
struct Chunk {
  int64_t t, n;                                    // tokens [t, t + n)
  int readers, writers;
  bool by_key, before[2];                          // before[r]: reader r sees the state before the token's decay
  ScanRows reads[2], writes[2];                    // [n,K] as they came; delta: own[0] = -k, own[1] = beta k
  ScanRows scaled_reads[2], scaled_writes[2];      // by key: times e^(L - R), e^(R - L)
  float *own[2], *scaled[4];                       // [C,K]
  float *from[2], *to[2];                          // [C,K]
  float* write_columns[2];                         // [K,C]: scaled_writes transposed, zero beyond n
  float* score[2][2];                              // [C,C]
  float *all;                                      // [K]: e^(L_last)
  float *in, *out;                                 // by head [C + 1], [C]: e^(L_(i-1)) at i; e^(L_last - L_j)
  float *grow, *shrink, *enter, *leave, *ones;     // by key [C + 1,K] (row i + 1: e^(L_i - R)), [C,K] e^(R - L_j), [K] each
  float* between;                                  // by head [C + 1,C]: row i + 1: e^(L_i - L_j)

  static int64_t floats(int64_t K) {
    constexpr int64_t C = scan_chunk;
    return (2 + 4 + 2 + 2 + 2) * C * K + 4 * C * C + K + 2 * C + 1 + (2 * C + 1) * K + 3 * K + (C + 1) * C;
  }
  void lay_out(float* p, int64_t K) {
    constexpr int64_t C = scan_chunk;
    const auto take = [&](int64_t n) { return std::exchange(p, p + n); };
    for (float** a : {&own[0], &own[1], &scaled[0], &scaled[1], &scaled[2], &scaled[3], &from[0], &from[1], &to[0], &to[1], &write_columns[0],
                      &write_columns[1], &shrink})
      *a = take(C * K);
    for (auto& row : score)
      for (float*& s : row) s = take(C * C);
    grow = take((C + 1) * K), between = take((C + 1) * C);
    for (float** a : {&all, &enter, &leave, &ones}) *a = take(K);
    in = take(C + 1), out = take(C);
    std::fill(ones, ones + K, 1.f), std::fill(grow, grow + K, 1.f);
  }
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

HWY_INLINE V inverse(V x) {                                  // of what is far from 0 and infinity
  const V y = hn::ApproximateReciprocal(x);
  return hn::Mul(y, hn::NegMulAdd(x, y, set(2)));
}
template <class F>
HWY_INLINE void each_row(int64_t n, int64_t K, F&& f) {
  for (int64_t i = 0; i < n; ++i) strips(K, [&](auto s) { f(i, s); });
}

// e^(L_i - R) for each reader's row i, and what the state is multiplied with on its way there.
HWY_INLINE const float* grow_row(const Chunk& c, int r, int64_t i, int64_t K) { return c.grow + (c.before[r] ? i : i + 1) * K; }
HWY_INLINE const float* enter_row(const Chunk& c, int r, int64_t i) { return c.before[r] && i == 0 ? c.ones : c.enter; }

// Decays of a chunk from token t on; sets n.
HWY_INLINE void chunk_decays(const LinearScanArgs& x, const Head& h, int64_t most, Chunk& c) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = x.key;
  c.by_key = h.decay && x.decay_per_key;
  c.n = most;
  if (!c.by_key) {
    float w[C];
    for (int64_t i = 0; i < c.n; ++i) w[i] = h.decay ? std::exp(h.decay[(c.t + i) * x.decay_stride]) : 1.f;
    c.in[0] = c.out[c.n - 1] = 1;
    for (int64_t i = 0; i < c.n; ++i) c.in[i + 1] = c.in[i] * w[i];
    for (int64_t i = c.n - 1; i-- > 0;) c.out[i] = c.out[i + 1] * w[i + 1];
    std::fill(c.all, c.all + K, c.in[c.n]);
    if (!h.decay) return;
    std::fill(c.between, c.between + C, 0.f);
    for (int64_t i = 0; i < c.n; ++i) {
      float *row = c.between + (i + 1) * C, *above = row - C;
      for (int64_t j = 0; j < C; ++j) row[j] = j == i ? 1.f : above[j] * w[i];
    }
    return;
  }
  float* sum = c.grow + K;                                   // [n,K]: L
  std::fill(sum, sum + K, 0.f);
  for (int64_t i = 1; i < most; ++i) {
    const float* g = h.decay + (c.t + i) * x.decay_stride;
    V largest = set(0);
    strips(K, [&](auto s) {
      const V next = hn::Add(s.load(sum + (i - 1) * K), s.load(g));
      s.store(next, sum + i * K);
      largest = hn::Max(largest, s.only(hn::Abs(next)));
    });
    if (!(max_of(largest) < 120)) {
      c.n = i;
      break;
    }
  }
  const float *first = h.decay + c.t * x.decay_stride, *last = sum + (c.n - 1) * K;
  strips(K, [&](auto s) {
    const V R = hn::Mul(set(0.5f), s.load(last)), leave = exp_through(R), enter = hn::Mul(leave, exp_through(s.load(first)));
    s.store(leave, c.leave), s.store(enter, c.enter), s.store(hn::Mul(enter, leave), c.all);
    for (int64_t i = 0; i < c.n; ++i) {
      const V e = exp_through(hn::Sub(s.load(sum + i * K), R));
      s.store(e, sum + i * K), s.store(s.only(inverse(s.only(e, 1))), c.shrink + i * K);
    }
  });
}

// Tokens from t on, `most` of them or fewer, and all arrays but the scores.
HWY_INLINE void make_chunk(const LinearScanArgs& x, const Head& h, int64_t t, int64_t most, Chunk& c) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = x.key;
  c.t = t;
  chunk_decays(x, h, most, c);
  const bool removes = h.a || h.beta;
  c.readers = removes ? 2 : 1, c.writers = h.a ? 2 : 1;
  c.before[0] = h.bonus, c.before[1] = h.a;
  c.reads[0] = {h.q + t * x.q_stride, x.q_stride}, c.writes[0] = {h.k + t * x.k_stride, x.k_stride};
  if (h.a) c.reads[1] = {h.a + t * x.a_stride, x.a_stride}, c.writes[1] = {h.b + t * x.b_stride, x.b_stride};
  if (h.beta) {
    each_row(c.n, K, [&](int64_t i, auto s) {
      const V k = s.load(c.writes[0][i]);
      s.store(hn::Neg(k), c.own[0] + i * K), s.store(hn::Mul(k, set(h.beta[(t + i) * x.beta_stride])), c.own[1] + i * K);
    });
    c.reads[1] = {c.own[0], K}, c.writes[0] = {c.own[1], K};
  }
  for (int r = 0; r < c.readers; ++r) {
    c.scaled_reads[r] = c.by_key ? ScanRows{c.scaled[r], K} : c.reads[r];
    each_row(c.n, K, [&](int64_t i, auto s) {
      const V read = s.load(c.reads[r][i]);
      if (!c.by_key) return s.store(hn::Mul(read, set(c.in[c.before[r] ? i : i + 1])), c.from[r] + i * K);
      const V scaled = hn::Mul(read, s.load(grow_row(c, r, i, K)));
      s.store(scaled, c.scaled[r] + i * K), s.store(hn::Mul(scaled, s.load(enter_row(c, r, i))), c.from[r] + i * K);
    });
  }
  for (int w = 0; w < c.writers; ++w) {
    c.scaled_writes[w] = c.by_key ? ScanRows{c.scaled[2 + w], K} : c.writes[w];
    each_row(c.n, K, [&](int64_t i, auto s) {
      const V write = s.load(c.writes[w][i]);
      if (!c.by_key) return s.store(hn::Mul(write, set(c.out[i])), c.to[w] + i * K);
      const V scaled = hn::Mul(write, s.load(c.shrink + i * K));
      s.store(scaled, c.scaled[2 + w] + i * K), s.store(hn::Mul(scaled, s.load(c.leave)), c.to[w] + i * K);
    });
    transpose(c.scaled_writes[w].at, c.scaled_writes[w].stride, c.n, K, c.write_columns[w], C, C);
  }
}

// Row i of a: of the tokens that reader r sees, times the decay between (by head), zero elsewhere.
HWY_INLINE void keep_past(const Chunk& c, bool decays, int r, float* a) {
  constexpr int64_t C = scan_chunk;
  for (int64_t i = 0; i < c.n; ++i) {
    const int64_t count = r == 0 && !c.before[0] ? i + 1 : i;
    const float* w = decays && !c.by_key ? c.between + (c.before[r] ? i : i + 1) * C : nullptr;
    for (int64_t j = 0; j < C; j += lanes()) {
      V x = hn::LoadU(D(), a + i * C + j);
      if (w) x = hn::Mul(x, hn::LoadU(D(), w + j));
      hn::StoreU(hn::IfThenElseZero(hn::FirstN(D(), static_cast<size_t>(std::max<int64_t>(0, count - j))), x), D(), a + i * C + j);
    }
  }
}
HWY_INLINE void make_scores(const LinearScanArgs& x, const Head& h, const Chunk& c, int r) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = x.key;
  for (int w = 0; w < c.writers; ++w) {
    product<false>(c.n, C, {c.scaled_reads[r].at, c.scaled_reads[r].stride, 1, c.write_columns[w], C, c.score[r][w], C, K});
    keep_past(c, h.decay, r, c.score[r][w]);
  }
  if (r == 0 && h.bonus)
    for (int64_t i = 0; i < c.n; ++i) {
      V self = set(0);
      strips(K, [&](auto s) { self = hn::MulAdd(hn::Mul(s.load(c.reads[0][i]), s.load(h.bonus)), s.load(c.writes[0][i]), self); });
      c.score[0][0][i * C + i] = sum_of(self);
    }
}

// x [n,W] becomes (1 - A)^-1 x, A [n,C] strictly below the diagonal: of rows four at once, as far as they read earlier ones.
HWY_INLINE void solve(const float* A, int64_t n, int64_t W, float* x) {
  constexpr int64_t C = scan_chunk;
  for (int64_t i = 0; i < n; i += 4) {
    const int64_t m = std::min<int64_t>(4, n - i);
    product<true>(m, W, {A + i * C, C, 1, x, W, x + i * W, W, i});
    for (int64_t j = 1; j < m; ++j) product<true>(1, W, {A + (i + j) * C + i, C, 1, x + i * W, W, x + (i + j) * W, W, j});
  }
}

// What the chunk of tokens [t, t + n) will read.
HWY_INLINE Ahead chunk_ahead(const LinearScanArgs& x, const Head& h, int64_t t, int64_t n) {
  Ahead ahead(n);
  const auto add = [&](const float* at, int64_t stride, int64_t columns) { ahead.add(at ? at + t * stride : nullptr, stride, columns); };
  add(h.q, x.q_stride, x.key), add(h.k, x.k_stride, x.key), add(h.v, x.v_stride, x.value);
  add(h.a, x.a_stride, x.key), add(h.b, x.b_stride, x.key);
  if (x.decay_per_key) add(h.decay, x.decay_stride, x.key);
  return ahead;
}
// How often pass_chunk asks for some of it.
HWY_INLINE int64_t pass_calls(const Chunk& c, int64_t K, int64_t W, bool y) {
  return (c.readers - !y) * Product::calls(c.n, W, K) + c.writers * Product::calls(K, W, c.n);
}

// The chunk's tokens: the state becomes what it is after them. removed [n,V]: P, or U of the delta rule. y null: not wanted.
HWY_INLINE void pass_chunk(const LinearScanArgs& x, const Head& h, const Chunk& c, float* S, float* removed, float* y, Ahead& ahead) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = x.key, W = x.value, n = c.n;
  const float* v = h.v + c.t * x.v_stride;
  const ScanRows values[2] = {h.beta ? ScanRows{removed, W} : ScanRows{v, x.v_stride}, {removed, W}};
  if (c.readers == 2) {
    make_scores(x, h, c, 1);
    product<false>(n, W, {c.from[1], K, 1, S, W, removed, W, K, nullptr, &ahead});
    if (h.a) product<true>(n, W, {c.score[1][0], C, 1, v, x.v_stride, removed, W, n});
    else each_row(n, W, [&](int64_t i, auto s) { s.store(hn::Add(s.load(removed + i * W), s.load(v + i * x.v_stride)), removed + i * W); });
    solve(c.score[1][c.writers - 1], n, W, removed);
  }
  if (y) {
    make_scores(x, h, c, 0);
    product<false>(n, W, {c.from[0], K, 1, S, W, y, x.y_stride, K, nullptr, &ahead});
    for (int w = 0; w < c.writers; ++w) product<true>(n, W, {c.score[0][w], C, 1, values[w].at, values[w].stride, y, x.y_stride, n});
    if (x.scale != 1) each_row(n, W, [&](int64_t i, auto s) { s.store(hn::Mul(s.load(y + i * x.y_stride), set(x.scale)), y + i * x.y_stride); });
  }
  if (h.decay) each_row(K, W, [&](int64_t d, auto s) { s.store(hn::Mul(s.load(S + d * W), set(c.all[d])), S + d * W); });
  for (int w = 0; w < c.writers; ++w) product<true>(K, W, {c.to[w], 1, K, values[w].at, values[w].stride, S, W, n, nullptr, &ahead});
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();
#endif
