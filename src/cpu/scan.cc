// linear_scan: token by token where there are few, else in chunks as products of matrices (cpu/scan-inl.h).
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/linear_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/scan.cc"
#include "hwy/foreach_target.h"
#include "cpu/scan-inl.h"

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
  strips(K, [&](auto s) { s.store(exp_through(s.load(g)), w); });
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

void LinearScan(const LinearScanArgs& x, const ScanTask& task) {
  constexpr int64_t C = scan_chunk, few = 8;
  const int64_t K = x.key, W = x.value;
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(3 * K + K * W + C * W + Chunk::floats(K)));
  float *w = scratch.data(), *removed = w + 3 * K, *S = removed + C * W;
  if (x.states && x.states[task.sequence]) S = x.states[task.sequence] + int64_t{task.head} * K * W;
  else std::fill(S, S + K * W, 0.f);
  const Head h = head_of(x, task.head);
  int64_t t = x.sequences.offsets[task.sequence];
  const int64_t end = x.sequences.offsets[task.sequence + 1];
  if (end - t < few) return step(x, h, t, end, S, w);
  Chunk c;
  c.lay_out(removed + C * W + K * W, K);
  for (; t < end; t += c.n) {
    make_chunk(x, h, t, std::min(C, end - t), c);
    if (c.n < 4) {
      step(x, h, t, t + c.n, S, w);
    } else {
      Ahead ahead = chunk_ahead(x, h, t + c.n, std::min(C, end - t - c.n));
      ahead.add(h.y + (t + c.n) * x.y_stride, x.y_stride, W);
      ahead.spread(pass_calls(c, K, W, true));
      pass_chunk(x, h, c, S, removed, h.y + t * x.y_stride, ahead);
    }
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
