// linear_scan: token by token where there are few, else in chunks of 16 tokens as products of matrices.
//
// Within a chunk, L_i is the sum of the log decays of its first i + 1 tokens (bonus: of its first i, for reads):
//   o_i = scale (e^{L_i} q_i S + sum_{j <= i} (q_i e^{L_i - L_j} k_j) v_j),   S' = e^{L_last} S + sum_j (e^{L_last - L_j} k_j) v_j^T
// A decay per head multiplies the scores, where every exponent is negative. A decay per key goes to the factors, q e^{L_i - R}
// and k e^{R - L_j} with R = L of the middle: a chunk that decays by more than e^80 on either side of it goes token by token.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "ops/kernels/linear_scan.h"
#include "cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/scan.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

#ifndef HEADRACE_CPU_SCAN_TASK
#define HEADRACE_CPU_SCAN_TASK
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
          x.log_decay ? x.log_decay + (x.decay_per_key ? h * K : h) : nullptr, x.bonus ? x.bonus + h * K : nullptr, x.y + h * V};
}

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// One token on columns of the state: what is read before, the update, the read-out.
template <bool removes, bool pre, class... Strips>
HWY_INLINE void step_columns(int64_t K, int64_t W, float* S, const float* w, const float* q, const float* k, const float* v, const float* read,
                             const float* write, float self, float scale, float* y, Strips... s) {
  constexpr int n = sizeof...(Strips);
  V out[n], value[n], removed[n];
  int at = 0;
  ((out[at] = set(0), value[at] = s.load(v), removed[at] = set(0), ++at), ...);
  if constexpr (removes)
    for (int64_t i = 0; i < K; ++i) {
      V r = set(read[i]);
      at = 0;
      ((removed[at] = hn::MulAdd(r, s.load(S + i * W), removed[at]), ++at), ...);
    }
  for (int64_t i = 0; i < K; ++i) {
    V decay = set(w[i]), key = set(k[i]), query = set(q[i]);
    at = 0;
    ([&](auto t, int c) {
      V x = t.load(S + i * W);
      if constexpr (pre) out[c] = hn::MulAdd(query, x, out[c]);
      x = hn::MulAdd(decay, x, hn::Mul(key, value[c]));
      if constexpr (removes) x = hn::MulAdd(set(write[i]), removed[c], x);
      if constexpr (!pre) out[c] = hn::MulAdd(query, x, out[c]);
      t.store(x, S + i * W);
    }(s, at++), ...);
  }
  at = 0;
  ((s.store(hn::Mul(set(scale), pre ? hn::MulAdd(set(self), value[at], out[at]) : out[at]), y), ++at), ...);
}
template <bool removes, bool pre>
HWY_INLINE void step_token(int64_t K, int64_t W, float* S, const float* w, const float* q, const float* k, const float* v, const float* read,
                           const float* write, float self, float scale, float* y) {
  const int64_t L = lanes();
  int64_t j = 0;
  for (; j + 4 * L <= W; j += 4 * L)
    step_columns<removes, pre>(K, W, S, w, q, k, v, read, write, self, scale, y, Full{j}, Full{j + L}, Full{j + 2 * L}, Full{j + 3 * L});
  for (; j + L <= W; j += L) step_columns<removes, pre>(K, W, S, w, q, k, v, read, write, self, scale, y, Full{j});
  if (j < W) step_columns<removes, pre>(K, W, S, w, q, k, v, read, write, self, scale, y, Tail{j, hn::FirstN(D(), static_cast<size_t>(W - j))});
}

// The constants of a decay that is the same for all tokens are computed once; `w` holds them.
void decays(const LinearScanArgs& x, const Head& h, int64_t t, float* w) {
  const int64_t K = x.key;
  if (!h.decay) return std::fill(w, w + K, 1.f);
  const float* g = h.decay + t * x.decay_stride;
  if (!x.decay_per_key) return std::fill(w, w + K, std::exp(*g));
  strips(K, [&](auto s) { s.store(hn::Exp(D(), s.load(g)), w); });
}

void step(const LinearScanArgs& x, const Head& h, int64_t begin, int64_t end, float* S, float* scratch) {
  const int64_t K = x.key, W = x.value;
  float *w = scratch, *read = w + K, *write = read + K;
  for (int64_t t = begin; t < end; ++t) {
    if (t == begin || x.decay_stride) decays(x, h, t, w);
    const float *q = h.q + t * x.q_stride, *k = h.k + t * x.k_stride, *v = h.v + t * x.v_stride;
    float* y = h.y + t * x.y_stride;
    if (h.beta) {                        // S = w S + beta k (v - (w k)^T S)^T: the removal and the write share a row
      const float beta = h.beta[t * x.beta_stride];
      strips(K, [&](auto s) {
        s.store(hn::Neg(hn::Mul(s.load(w), s.load(k))), read);
        s.store(hn::Mul(set(beta), s.load(k)), write);
      });
      step_token<true, false>(K, W, S, w, q, write, v, read, write, 0, x.scale, y);
    } else if (h.a) {
      step_token<true, false>(K, W, S, w, q, k, v, h.a + t * x.a_stride, h.b + t * x.b_stride, 0, x.scale, y);
    } else if (h.bonus) {
      V self = set(0);
      strips(K, [&](auto s) { self = hn::MulAdd(hn::Mul(s.load(q), s.load(h.bonus)), s.load(k), self); });
      step_token<false, true>(K, W, S, w, q, k, v, nullptr, nullptr, sum_of(self), x.scale, y);
    } else {
      step_token<false, false>(K, W, S, w, q, k, v, nullptr, nullptr, 0, x.scale, y);
    }
  }
}

// Tokens [t, t + n), n <= 16, as products. False where the decay per key is too strong for the factors.
bool chunk(const LinearScanArgs& x, const Head& h, int64_t t, int64_t n, float* S, float* scratch) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = x.key, W = x.value;
  const bool pre = h.bonus != nullptr;
  float *from_state = scratch, *query = from_state + C * K, *key = query + C * K, *to_state = key + K * C, *all = to_state + C * K;
  float *score = all + K, *sum = score + C * C, *middle = sum + (C + 1) * K;
  const int64_t g_step = x.decay_stride;
  if (x.decay_per_key && h.decay) {
    std::fill(sum, sum + K, 0.f);        // sum[i]: of the first i tokens
    for (int64_t i = 0; i < n; ++i) {
      const float* g = h.decay + (t + i) * g_step;
      strips(K, [&](auto s) { s.store(hn::Add(s.load(sum + i * K), s.load(g)), sum + (i + 1) * K); });
    }
    const float* R = sum + (n + 1) / 2 * K;
    V most = set(0);
    strips(K, [&](auto s) {
      V r = s.load(R);
      most = hn::Max(most, s.only(hn::Max(hn::Abs(hn::Sub(s.load(sum + n * K), r)), hn::Abs(r))));   // -inf - -inf gives way to inf
    });
    if (!(max_of(most) < 80)) return false;
    strips(K, [&](auto s) { s.store(hn::Exp(D(), s.load(R)), middle); });
    strips(K, [&](auto s) { s.store(hn::Exp(D(), s.load(sum + n * K)), all); });
    for (int64_t i = 0; i < n; ++i) {
      const float *q = h.q + (t + i) * x.q_stride, *k = h.k + (t + i) * x.k_stride, *read = sum + (pre ? i : i + 1) * K, *wrote = sum + (i + 1) * K;
      alignas(64) float column[256];
      for (int64_t d0 = 0; d0 < K; d0 += 256) {              // keys go to columns
        const int64_t m = std::min<int64_t>(256, K - d0);
        strips(m, [&](auto s) {
          V r = s.load(R + d0);
          V scaled = hn::Mul(s.load(q + d0), hn::Exp(D(), hn::Sub(s.load(read + d0), r)));
          s.store(scaled, query + i * K + d0);
          s.store(hn::Mul(scaled, s.load(middle + d0)), from_state + i * K + d0);
          V back = hn::Exp(D(), hn::Sub(r, s.load(wrote + d0)));
          s.store(hn::Mul(s.load(k + d0), back), column);
          s.store(hn::Mul(s.load(k + d0), hn::Exp(D(), hn::Sub(s.load(sum + n * K + d0), s.load(wrote + d0)))), to_state + i * K + d0);
        });
        for (int64_t d = 0; d < m; ++d) key[(d0 + d) * C + i] = column[d];
      }
    }
    for (int64_t d = 0; d < K; ++d)
      for (int64_t i = n; i < C; ++i) key[d * C + i] = 0;
    product<false>(n, C, {query, K, 1, key, C, score, C, K});
  } else {
    // Products of the decays themselves: exact where a gate is closed, and no sum of logs that a strong one makes coarse.
    float w[C], before[C + 1], after[C + 1];                 // of tokens < i; of tokens >= i
    for (int64_t i = 0; i < n; ++i) w[i] = h.decay ? std::exp(h.decay[(t + i) * g_step]) : 1.f;
    before[0] = after[n] = 1;
    for (int64_t i = 0; i < n; ++i) before[i + 1] = before[i] * w[i];
    for (int64_t i = n; i-- > 0;) after[i] = after[i + 1] * w[i];
    for (int64_t i = 0; i < n; ++i) {
      const float *q = h.q + (t + i) * x.q_stride, *k = h.k + (t + i) * x.k_stride;
      const V in = set(before[pre ? i : i + 1]), out = set(after[i + 1]);
      strips(K, [&](auto s) { s.store(hn::Mul(s.load(q), in), from_state + i * K); });
      strips(K, [&](auto s) { s.store(hn::Mul(s.load(k), out), to_state + i * K); });
      for (int64_t d = 0; d < K; ++d) key[d * C + i] = k[d];
    }
    for (int64_t d = 0; d < K; ++d)
      for (int64_t i = n; i < C; ++i) key[d * C + i] = 0;
    std::fill(all, all + K, before[n]);
    product<false>(n, C, {h.q + t * x.q_stride, x.q_stride, 1, key, C, score, C, K});
    for (int64_t j = 0; j < n; ++j) {
      float decay = 1;                                       // of the tokens after j, up to the one that reads
      for (int64_t i = j + 1; i < n; ++i) {
        if (!pre) decay *= w[i];
        score[i * C + j] *= decay;
        if (pre) decay *= w[i];
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    if (pre) {
      const float *q = h.q + (t + i) * x.q_stride, *k = h.k + (t + i) * x.k_stride;
      V self = set(0);
      strips(K, [&](auto s) { self = hn::MulAdd(hn::Mul(s.load(q), s.load(h.bonus)), s.load(k), self); });
      score[i * C + i] = sum_of(self);
    }
    for (int64_t j = i + 1; j < C; ++j) score[i * C + j] = 0;
  }
  float* y = h.y + t * x.y_stride;
  const float* v = h.v + t * x.v_stride;
  product<false>(n, W, {from_state, K, 1, S, W, y, x.y_stride, K});
  product<true>(n, W, {score, C, 1, v, x.v_stride, y, x.y_stride, n});
  if (x.scale != 1)
    for (int64_t i = 0; i < n; ++i) strips(W, [&](auto s) { s.store(hn::Mul(s.load(y + i * x.y_stride), set(x.scale)), y + i * x.y_stride); });
  if (h.decay)
    for (int64_t d = 0; d < K; ++d) strips(W, [&](auto s) { s.store(hn::Mul(s.load(S + d * W), set(all[d])), S + d * W); });
  product<true>(K, W, {to_state, 1, K, v, x.v_stride, S, W, n});
  return true;
}

void LinearScan(const LinearScanArgs& x, const ScanTask& task) {
  constexpr int64_t C = scan_chunk, few = 8;
  const int64_t K = x.key, W = x.value;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(4 * C * K + 2 * K + C * C + (C + 1) * K + K * W));
  float* S = x.states ? x.states[task.sequence] + int64_t{task.head} * K * W : scratch.data() + scratch.size() - K * W;
  if (!x.states) std::fill(S, S + K * W, 0.f);
  const Head h = head_of(x, task.head);
  int64_t t = x.sequences.offsets[task.sequence];
  const int64_t end = x.sequences.offsets[task.sequence + 1];
  if (end - t < few || h.a || h.beta) return step(x, h, t, end, S, scratch.data());
  for (; t < end; t += C) {
    const int64_t n = std::min(C, end - t);
    if (!chunk(x, h, t, n, S, scratch.data())) step(x, h, t, t + n, S, scratch.data());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(LinearScan);

void linear_scan(const LinearScanArgs& x) {
  std::vector<ScanTask> tasks;
  for (int s = 0; s < x.sequences.count(); ++s)
    for (int h = 0; h < x.heads; ++h)
      tasks.push_back({s, h, static_cast<double>((x.sequences.offsets[s + 1] - x.sequences.offsets[s]) * x.key * x.value)});
  parallel_tasks(tasks, 100000, [&](const ScanTask& t) { HWY_DYNAMIC_DISPATCH(LinearScan)(x, t); });
}

}  // namespace headrace::cpu
#endif
