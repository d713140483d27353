// log_linear in one pass over the tokens: in chunks as products of matrices (cpu/scan-inl.h), and a Fenwick tree of states.
//
// Before token p there is a state for each bit of p that is 1: bit b's, of the aligned block of 2^b tokens that ends there. A chunk lies
// within 16 aligned tokens. With T = (1 - score_ab)^-1 (without removal 1), of its earlier tokens and of the states it sees
//   O = (lambda * (score_q T)) V + sum_b lambda_b (from_q + score_q T from_a) S_b
//   S_b' = e^(L_last) S_b + to^T T from_a S_b,  and from its own tokens to^T T V, added where they fall
// All states meet the same matrices, so a chunk costs a product or three for each of about log(T) / 2 of them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/log_linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/log_linear.cc"
#include "hwy/foreach_target.h"
#include "cpu/scan-inl.h"

#ifndef HEADRACE_CPU_LOG_LINEAR
#define HEADRACE_CPU_LOG_LINEAR
namespace headrace::cpu {

// The states of one head and sequence, bit by bit of the next token's position.
struct Tree {
  float* at;
  int64_t stride, size;                            // floats between them, in each
  int bits;                                        // there are states for so many
  float* operator[](int b) const { return at + b * stride; }
};
inline int64_t block_of(int64_t position, int bit) { return position >> (bit + 1) << (bit + 1); }   // where the tokens of a 1 begin
inline int level_of(int64_t a, int64_t b) { return std::bit_width(static_cast<uint64_t>(a ^ b)); }

// What a chunk makes of any state. Without removal score, from and to are the chunk's own.
struct Matrices {
  const float *score, *from, *to;                  // [C,C] score_q T; [C,K]: from_q + score_q T from_a, T^T to
  float *inverse, *own_score, *weights;            // [C,C]: T; weights: score times lambda
  float *read, *own_from, *own_to, *shared;        // [C,K]: T from_a; shared: from times lambda
  float* removed;                                  // [C,V]
  static int64_t floats(int64_t K, int64_t V) { return scan_chunk * (3 * scan_chunk + 4 * K + V); }
  void lay_out(float* p, int64_t K, int64_t V) {
    const auto take = [&](int64_t n) { return std::exchange(p, p + scan_chunk * n); };
    for (float** x : {&inverse, &own_score, &weights}) *x = take(scan_chunk);
    for (float** x : {&read, &own_from, &own_to, &shared}) *x = take(K);
    removed = take(V);
  }
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

void make_matrices(const LinearScanArgs& x, const Head& h, const Chunk& c, Matrices& m) {
  constexpr int64_t C = scan_chunk;
  const int64_t K = x.key, n = c.n;
  make_scores(x, h, c, 0);
  m.score = c.score[0][0], m.from = c.from[0], m.to = c.to[0];
  if (!h.beta) return;
  make_scores(x, h, c, 1);
  std::fill(m.inverse, m.inverse + n * C, 0.f);
  for (int64_t i = 0; i < n; ++i) m.inverse[i * C + i] = 1;
  solve(c.score[1][0], n, C, m.inverse);
  product<false>(n, C, {m.score, C, 1, m.inverse, C, m.own_score, C, n});
  product<false>(n, K, {m.inverse, C, 1, c.from[1], K, m.read, K, n});
  std::copy_n(m.from, n * K, m.own_from);
  product<true>(n, K, {m.score, C, 1, m.read, K, m.own_from, K, n});
  product<false>(n, K, {m.inverse, 1, C, m.to, K, m.own_to, K, n});
  m.score = m.own_score, m.from = m.own_from, m.to = m.own_to;
}

// Answers of the chunk's tokens, the first of which stands at `position`.
void answer(const LogLinearArgs& a, int head, const Chunk& c, const Matrices& m, const Tree& tree, int64_t position, const float* v, float* y) {
  constexpr int64_t C = scan_chunk;
  const LinearScanArgs& x = a.scan;
  const int64_t K = x.key, W = x.value, n = c.n;
  const auto share = [&](int64_t i, int level) { return x.scale * a.levels[(c.t + i) * a.levels_stride + int64_t{head} * a.count + level]; };
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) m.weights[i * C + j] = j > i ? 0 : m.score[i * C + j] * share(i, level_of(position + i, position + j));
  product<false>(n, W, {m.weights, C, 1, v, x.v_stride, y, x.y_stride, n});
  for (int b = 0; b < tree.bits; ++b) {
    if (!(position >> b & 1)) continue;
    each_row(n, K, [&](int64_t i, auto s) {
      s.store(hn::Mul(s.load(m.from + i * K), set(share(i, level_of(position + i, block_of(position, b))))), m.shared + i * K);
    });
    product<true>(n, W, {m.shared, K, 1, tree[b], W, y, x.y_stride, K});
  }
}

// The states move on, and what has become one block becomes one state: of earlier states and of tokens of the chunk.
void move_on(const LinearScanArgs& x, const Head& h, const Chunk& c, const Matrices& m, const Tree& tree, int64_t position, const float* v) {
  const int64_t K = x.key, W = x.value, n = c.n, next = position + n;
  for (int b = 0; b < tree.bits; ++b) {
    if (!(position >> b & 1)) continue;
    float* S = tree[b];
    if (h.beta) product<false>(n, W, {m.read, K, 1, S, W, m.removed, W, K});
    if (h.decay) each_row(K, W, [&](int64_t d, auto s) { s.store(hn::Mul(s.load(S + d * W), set(c.all[d])), S + d * W); });
    if (h.beta) product<true>(K, W, {c.to[0], 1, K, m.removed, W, S, W, n});
  }
  for (int b = tree.bits; b-- > 0;) {              // from above: a block is made of those below
    const int64_t begin = block_of(next, b), end = begin + (int64_t{1} << b);
    if (!(next >> b & 1) || end <= position) continue;
    float* S = tree[b];
    const int64_t from = std::max<int64_t>(begin - position, 0);
    product<false>(K, W, {m.to + from * K, 1, K, v + from * x.v_stride, x.v_stride, S, W, end - position - from});
    for (int lower = 0; lower < b; ++lower)
      if ((position >> lower & 1) && block_of(position, lower) >= begin)
        strips(K * W, [&](auto s) { s.store(hn::Add(s.load(S), s.load(tree[lower])), S); });
  }
}

// As the state keeps it: a level whose left half is not full holds what there is of it, the sum of all below.
void fill_levels(const Tree& tree, int64_t position) {
  for (int b = 0; b < tree.bits; ++b) {
    if (position >> b & 1) continue;
    float* S = tree[b];
    std::fill(S, S + tree.size, 0.f);
    for (int lower = b - 1; lower >= 0; --lower) {
      strips(tree.size, [&](auto s) { s.store(hn::Add(s.load(S), s.load(tree[lower])), S); });
      if (!(position >> lower & 1)) break;         // holds all below it
    }
  }
}

void LogLinear(const LogLinearArgs& a, const ScanTask& task) {
  constexpr int64_t C = scan_chunk;
  const LinearScanArgs& x = a.scan;
  const int64_t K = x.key, W = x.value, size = K * W;
  int64_t t = x.sequences.offsets[task.sequence];
  const int64_t end = x.sequences.offsets[task.sequence + 1];
  if (t == end) return;
  float* state = x.states ? x.states[task.sequence] : nullptr;
  const int64_t first = a.positions[static_cast<size_t>(t)];
  const int bits = state ? a.count - 1 : std::min(a.count - 1, static_cast<int>(std::bit_width(static_cast<uint64_t>(first + end - t - 1))));
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(Chunk::floats(K) + Matrices::floats(K, W) + (state ? 0 : bits * size)));
  Tree tree{scratch.data(), size, size, bits};
  float* rest = scratch.data() + (state ? 0 : bits * size);
  if (state) tree.at = state + task.head * size, tree.stride = x.heads * size;
  else std::fill(tree.at, tree.at + bits * size, 0.f);
  const Head h = head_of(x, task.head);
  Chunk c;
  c.lay_out(rest, K);
  Matrices m;
  m.lay_out(rest + Chunk::floats(K), K, W);
  for (int64_t position = first; t < end; t += c.n, position += c.n) {
    make_chunk(x, h, t, std::min(C - position % C, end - t), c);
    make_matrices(x, h, c, m);
    const float* v = h.v + t * x.v_stride;
    answer(a, task.head, c, m, tree, position, v, h.y + t * x.y_stride);
    move_on(x, h, c, m, tree, position, v);
  }
  if (state) fill_levels(tree, first + end - x.sequences.offsets[task.sequence]);
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(LogLinear);

void log_linear(const LogLinearArgs& a) {
  const LinearScanArgs& x = a.scan;
  std::vector<ScanTask> tasks;
  for (int s = 0; s < x.sequences.count(); ++s)
    for (int h = 0; h < x.heads; ++h)
      tasks.push_back({s, h, static_cast<double>((x.sequences.offsets[s + 1] - x.sequences.offsets[s]) * x.key * x.value)});
  parallel_tasks(tasks, 50000, [&](const ScanTask& t) { HWY_DYNAMIC_DISPATCH(LogLinear)(a, t); });
}

}  // namespace headrace::cpu
#endif
