// memory_scan in blocks of tokens (cpu/memory-inl.h).
#include "cpu/kernels.h"
#include "cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/memory_scan.cc"
#include "hwy/foreach_target.h"
#include "cpu/memory-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// Reads of a block with chunks of one token: each sees the memory after itself.
void read_block(const MemoryScanArgs& a, int h, const HeadMemory& x, MemoryBlock& k) {
  constexpr int64_t C = memory_block;
  const MemoryNet& net = a.net;
  const int64_t n = k.n, K = net.key, W = net.value;
  float *y = a.y + k.t * a.y_stride + h * W, *scaled = k.wide[2];
  const float *q = a.q + k.t * a.q_stride + h * K, *input = q;
  int64_t row = a.q_stride;
  for (int l = 0; l < net.depth; ++l) {
    const bool ends = l + 1 == net.depth;
    const int64_t in = net.in(l), out = net.out(l), u_row = ends ? a.y_stride : out;
    float* u = ends ? y : k.wide[l % 2];
    const auto times = [&](const float* share) {
      for (int64_t i = 0; i < n; ++i) strips(in, [&](auto s) { s.store(hn::Mul(set(share[i]), s.load(input + i * row)), scaled + i * in); });
    };
    times(k.b);
    multiply<false>(n, out, {scaled, in, 1, x.M + net.at(l), out, u, u_row, in});
    if (x.S) times(k.m), multiply<true>(n, out, {scaled, in, 1, x.S + net.at(l), out, u, u_row, in});
    row_products(n, in, input, row, k.z[l], k.score, k.columns);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) k.score[i * C + j] = j <= i ? -k.w[i * C + j] * k.score[i * C + j] : 0;
    multiply<true>(n, out, {k.score, C, 1, k.d[l], out, u, u_row, n});
    if (!ends) gelu_rows(n * out, u, u, nullptr), input = u, row = out;
  }
  if (!net.norm) return;
  float* gamma = k.wide[3];                                  // [n,V]: after each token
  for (int64_t i = 0; i < n; ++i) {
    strips(W, [&](auto s) {
      V g = hn::Mul(set(k.b[i]), s.load(x.M));
      if (x.S) g = hn::MulAdd(set(k.m[i]), s.load(x.S), g);
      s.store(g, gamma + i * W);
    });
    for (int64_t j = 0; j < n; ++j) k.score[i * C + j] = j <= i ? -k.w[i * C + j] : 0;
  }
  multiply<true>(n, W, {k.score, C, 1, k.gamma, W, gamma, W, n});
  for (int64_t i = 0; i < n; ++i) {
    float *to = y + i * a.y_stride, *g = gamma + i * W;
    normalise_row(W, net.eps, to);
    strips(W, [&](auto s) { s.store(hn::Add(s.load(q + i * a.q_stride), hn::MulAdd(s.load(to), s.load(g), s.load(to))), to); });
  }
}

void MemoryScan(const MemoryScanArgs& a, int s, int h) {
  const MemoryNet& net = a.net;
  const int64_t P = net.weights();
  static thread_local std::vector<float> scratch;
  scratch.resize(static_cast<size_t>(MemoryBlock::floats(net) + 5 * P));
  MemoryBlock k;
  k.lay_out(scratch.data() + 5 * P, net);
  float *state = a.states ? a.states[s] + h * a.state() : nullptr, *own = scratch.data(), *zero = own + 4 * P;
  const float* initial = a.initial ? a.initial + h * P : zero;
  std::fill(zero, zero + P, 0.f);
  HeadMemory x{.M = state ? state : own, .S = nullptr, .G = nullptr, .base = initial};
  if (a.has_momentum) x.S = state ? state + a.momentum_at() : own + P;
  if (a.chunk > 1) x.G = state ? state + a.open_at() : own + 2 * P;
  if (a.keeps_base()) x.own_base = state ? state + a.base_at() : own + 3 * P;
  if (!state) {
    std::copy_n(initial, P, x.M);
    for (float* p : {x.S, x.G})
      if (p) std::fill(p, p + P, 0.f);
    if (x.own_base) std::copy_n(initial, P, x.own_base);
  } else if (a.state() > a.place_at()) {
    const float* place = state + a.place_at();
    x.eta = place[0], x.alpha = place[1], x.place = std::llround(place[2]);
  }
  if (a.batch > 0) x.base = x.own_base ? x.own_base : x.M;
  const int64_t end = a.sequences.offsets[s + 1];
  const auto query = [&](int64_t t) { return a.q + t * a.q_stride + h * net.key; };
  const auto answer = [&](int64_t t) { return a.y + t * a.y_stride + h * net.value; };
  for (k.t = a.sequences.offsets[s]; k.t < end; k.t += k.n) {
    if (!a.learns) {
      k.n = std::min(memory_block, end - k.t);
      read_rows(net, x.M, k.n, query(k.t), a.q_stride, answer(k.t), a.y_stride, k);
      continue;
    }
    k.n = block_length(a, x.place, end - k.t);
    make_block(a, h, x, k);
    if (a.chunk == 1) {
      read_block(a, h, x, k);
      move_on(a, x, k);
    } else {
      gather(a, h, x, k);
      read_rows(net, x.M, k.n - k.closes, query(k.t), a.q_stride, answer(k.t), a.y_stride, k);
      if (k.closes) {
        close_chunk(a, x, k);
        read_rows(net, x.M, 1, query(k.t + k.n - 1), a.q_stride, answer(k.t + k.n - 1), a.y_stride, k);
      }
    }
    x.place = (x.place + k.n) % a.period();
    if (a.batch > 0 && x.place == 0 && x.own_base) std::copy_n(x.M, P, x.own_base);
  }
  if (state && a.state() > a.place_at()) {
    float* place = state + a.place_at();
    place[0] = x.eta, place[1] = x.alpha, place[2] = static_cast<float>(x.place);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(MemoryScan);

void memory_scan(const MemoryScanArgs& a) {
  struct Task { int sequence, head; double cost; };
  std::vector<Task> tasks;
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int h = 0; h < a.heads; ++h)
      tasks.push_back({s, h, static_cast<double>((a.sequences.offsets[s + 1] - a.sequences.offsets[s]) * a.net.weights())});
  parallel_tasks(tasks, 50000, [&](const Task& t) { HWY_DYNAMIC_DISPATCH(MemoryScan)(a, t.sequence, t.head); });
}

}  // namespace headrace::cpu
#endif
