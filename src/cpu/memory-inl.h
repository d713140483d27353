// memory_scan in blocks of tokens as products of matrices (docs/math/titans.md, "Chunk form"): what the forward and the backward
// share. Rows are tokens. A block lies within one batch; with one plain matrix it may span several, row by row. With chunks of one token
//   M_i = b_i M + m_i S - sum_{j<=i} w_ij z_j^T d_j        a layer after token i, M and S where the block begins
// z_j goes into the layer, d_j is rate_j times the inner gradient at what comes out. With longer chunks M stays within a block.
// A clip is a factor of the rate ("Clip"): the gradient's norm is that of factors, |z_j| |d_j|.
#if defined(HEADRACE_CPU_MEMORY_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_CPU_MEMORY_INL
#undef HEADRACE_CPU_MEMORY_INL
#else
#define HEADRACE_CPU_MEMORY_INL
#endif

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cpu/scan-inl.h"
#include "ops/kernels/memory_scan.h"

#ifndef HEADRACE_CPU_MEMORY_BLOCK
#define HEADRACE_CPU_MEMORY_BLOCK
namespace headrace::cpu {

constexpr int64_t memory_block = 32;
constexpr int most_layers_of_memory = 64;

// A block of tokens [t, t + n) of one head, and the arrays made of it.
struct MemoryBlock {
  int64_t t = 0, n = 0;
  bool closes = false, renews = false;             // a longer chunk, a batch at its end
  float eta = 0, alpha = 0;                        // of the chunk that closes
  // [n,in], [n,out]; from layer 1 on [n,in]: what its z is the gelu of, and the slope there
  float *z[most_layers_of_memory], *d[most_layers_of_memory], *before[most_layers_of_memory], *slope[most_layers_of_memory];
  float *normed, *r, *e, *gamma;                   // [n,V] (o - mean) r; [n]; [n,V] net(k) - v; [n,V] rate e normed
  float* rate;                                     // [n]: clipped, the factor in it
  float *raw[most_layers_of_memory], *factor, *inverse;      // with a clip. [n,out]: d before the rate; [n], [n]: 1 / (C^2 + |g|^2)
  float *b, *m, *w, *share, *of_S;                 // [C], [C], [C,C]: coefficients; momentum's, of each token [C,C] and of S [C]
  float *score;                                    // [C,C]
  float *columns, *wide[4];                        // [width,C] transposed; [C,width]

  static int64_t widest(const MemoryNet& net) { return std::max({net.key, net.value, net.depth > 1 ? net.hidden : 0, 4}); }
  static int64_t floats(const MemoryNet& net) {
    constexpr int64_t C = memory_block;
    int64_t all = 0;
    for (int l = 0; l < net.depth; ++l) all += C * (3 * net.in(l) + 2 * net.out(l));
    return all + 3 * C * net.value + 7 * C + 3 * C * C + 6 * C * widest(net);
  }
  void lay_out(float* p, const MemoryNet& net) {
    constexpr int64_t C = memory_block;
    const auto take = [&](int64_t count) { return std::exchange(p, p + count); };
    for (int l = 0; l < net.depth; ++l) {
      z[l] = take(C * net.in(l)), d[l] = take(C * net.out(l)), before[l] = take(C * net.in(l)), slope[l] = take(C * net.in(l));
      raw[l] = take(C * net.out(l));
    }
    normed = take(C * net.value), e = take(C * net.value), gamma = take(C * net.value);
    for (float** x : {&r, &rate, &factor, &inverse, &b, &m, &of_S}) *x = take(C);
    w = take(C * C), share = take(C * C), score = take(C * C);
    columns = take(2 * C * widest(net));
    for (float*& x : wide) x = take(C * widest(net));
  }
};

// One head's memory where it lies.
struct HeadMemory {
  float *M, *S = nullptr, *G = nullptr;            // S: with momentum; G: with chunks of several tokens
  const float* base;
  float* own_base = nullptr;                       // where base is kept apart
  float eta = 0, alpha = 0;                        // sums over the open chunk
  int64_t place = 0;
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// A call: these files have some thirty products, and the compiler takes minutes where each is inlined.
template <bool add>
HWY_NOINLINE void multiply(int64_t M, int64_t N, const Product& p) {
  product<add>(M, N, p);
}

// Gelu, and its slope.
HWY_INLINE void gelu_rows(int64_t count, const float* u, float* z, float* slope) {
  strips(count, [&](auto s) {
    const V x = s.load(u), phi = gaussian_of(x);
    if (slope) s.store(hn::MulAdd(hn::Mul(x, set(0.3989422804f)), exp_of(hn::Mul(set(-0.5f), hn::Mul(x, x))), phi), slope);
    s.store(hn::Mul(x, phi), z);
  });
}
// x becomes (x - mean) r; returns r.
HWY_INLINE float normalise_row(int64_t count, float eps, float* x) {
  V sum = set(0), square = set(0);
  strips(count, [&](auto s) { sum = hn::Add(sum, s.load(x)); });
  const V mean = set(sum_of(sum) / static_cast<float>(count));
  strips(count, [&](auto s) {
    const V d = s.only(hn::Sub(s.load(x), mean));
    square = hn::MulAdd(d, d, square);
  });
  const float r = 1 / std::sqrt(sum_of(square) / static_cast<float>(count) + eps);
  strips(count, [&](auto s) { s.store(hn::Mul(hn::Sub(s.load(x), mean), set(r)), x); });
  return r;
}
// d becomes r (d - mean d - n mean(n d)): the norm's derivative.
HWY_INLINE void norm_slope_row(int64_t count, const float* n, float r, float* d) {
  V sum = set(0), along = set(0);
  strips(count, [&](auto s) {
    const V x = s.load(d);
    sum = hn::Add(sum, s.only(x)), along = hn::MulAdd(s.only(x), s.load(n), along);
  });
  const V mean = set(sum_of(sum) / static_cast<float>(count)), c = set(sum_of(along) / static_cast<float>(count));
  strips(count, [&](auto s) { s.store(hn::Mul(set(r), hn::Sub(hn::Sub(s.load(d), mean), hn::Mul(s.load(n), c))), d); });
}

// y [n,in] = u [n,out] times the transpose of W [in,out]: by columns, or where there are few, row by row.
inline HWY_NOINLINE void times_transposed(int64_t n, int64_t in, int64_t out, const float* W, const float* u, float* y, float* columns) {
  constexpr int64_t C = memory_block;
  if (n < 4) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < in; ++j) y[i * in + j] = dot(W + j * out, u + i * out, out);
    return;
  }
  const int64_t padded = std::min(C, (n + lanes() - 1) / lanes() * lanes());
  float* result = columns + C * std::max(in, out);
  transpose(u, out, n, out, columns, C, padded);
  multiply<false>(in, padded, {W, out, 1, columns, C, result, C, out});
  transpose(result, C, in, n, y, in, in);
}
// score [n,C]: rows of a times rows of b.
inline HWY_NOINLINE void row_products(int64_t n, int64_t width, const float* a, int64_t a_row, const float* b, float* score, float* columns) {
  constexpr int64_t C = memory_block;
  if (n < 4) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) score[i * C + j] = dot(a + i * a_row, b + j * width, width);
    return;
  }
  transpose(b, width, n, width, columns, C, C);
  multiply<false>(n, C, {a, a_row, 1, columns, C, score, C, width});
}
// C += scale_j z_j^T d_j over tokens. scaled: [n,in] of room
inline HWY_NOINLINE void add_outer(int64_t n, int64_t in, int64_t out, float sign, const float* scale, const float* z, const float* d, float* W,
                          float* scaled) {
  for (int64_t j = 0; j < n; ++j)
    strips(in, [&](auto s) { s.store(hn::Mul(set(scale ? sign * scale[j] : sign), s.load(z + j * in)), scaled + j * in); });
  multiply<true>(in, out, {scaled, 1, in, d, out, W, out, n});
}

// y_i = net(x_i; w) for rows of tokens.
inline HWY_NOINLINE void read_rows(const MemoryNet& net, const float* w, int64_t n, const float* x, int64_t x_stride, float* y, int64_t y_stride,
                          MemoryBlock& k) {
  const float* a = x;
  int64_t a_row = x_stride;
  for (int l = 0; l < net.depth; ++l) {
    const bool ends = l + 1 == net.depth;
    const int64_t out = net.out(l);
    float* u = ends ? y : k.wide[l % 2];
    multiply<false>(n, out, {a, a_row, 1, w + net.at(l), out, u, ends ? y_stride : out, net.in(l)});
    if (!ends) gelu_rows(n * out, u, u, nullptr), a = u, a_row = out;
  }
  for (int64_t i = 0; net.norm && i < n; ++i) {
    float* row = y + i * y_stride;
    normalise_row(net.value, net.eps, row);
    strips(net.value, [&](auto s) {
      s.store(hn::Add(s.load(x + i * x_stride), hn::MulAdd(s.load(row), s.load(w), s.load(row))), row);
    });
  }
}

// What gradients are made of, at the base's weights: z, d, and with a norm gamma's, of all tokens of the block. The top's e is given
// where it comes row by row (one plain matrix over several batches).
inline HWY_NOINLINE void inner_forward(const MemoryScanArgs& a, int h, const float* base, MemoryBlock& k) {
  const MemoryNet& net = a.net;
  const int64_t n = k.n, K = net.key, W = net.value;
  for (int64_t i = 0; i < n; ++i) std::copy_n(a.k + (k.t + i) * a.k_stride + h * K, K, k.z[0] + i * K);
  if (!base) return;
  for (int l = 0; l < net.depth; ++l) {
    const bool ends = l + 1 == net.depth;
    const int64_t out = net.out(l);
    float* u = ends ? k.e : k.before[l + 1];
    multiply<false>(n, out, {k.z[l], net.in(l), 1, base + net.at(l), out, u, out, net.in(l)});
    if (!ends) gelu_rows(n * out, u, k.z[l + 1], k.slope[l + 1]);
  }
  for (int64_t i = 0; i < n; ++i) {
    float *e = k.e + i * W, *normed = k.normed + i * W;
    const float* v = a.v + (k.t + i) * a.v_stride + h * W;
    if (net.norm) {
      k.r[i] = normalise_row(W, net.eps, e);
      std::copy_n(e, W, normed);
      strips(W, [&](auto s) { s.store(hn::Add(s.load(k.z[0] + i * W), hn::MulAdd(s.load(e), s.load(base), s.load(e))), e); });
    }
    strips(W, [&](auto s) { s.store(hn::Sub(s.load(e), s.load(v)), e); });
  }
}
// The rate of token i from its theta and |g|^2.
HWY_INLINE void clip_rate(const MemoryScanArgs& a, double square, int64_t i, MemoryBlock& k) {
  const double sum = double{a.clip} * a.clip + square;
  k.factor[i] = static_cast<float>(a.clip / std::sqrt(sum)), k.inverse[i] = static_cast<float>(1 / sum);
  k.rate[i] *= k.factor[i];
}
// raw is there, and gamma's rows before the rate: d and gamma's rows.
inline HWY_NOINLINE void clip_rows(const MemoryScanArgs& a, MemoryBlock& k) {
  const MemoryNet& net = a.net;
  const auto square = [](const float* x, int64_t width, int64_t i) -> double { return dot(x + i * width, x + i * width, width); };
  for (int64_t i = 0; i < k.n; ++i) {
    double sum = net.norm ? square(k.gamma, net.value, i) : 0;
    for (int l = 0; l < net.depth; ++l) sum += square(k.z[l], net.in(l), i) * square(k.raw[l], net.out(l), i);
    clip_rate(a, sum, i, k);
    const V rate = set(k.rate[i]);
    const auto scaled = [&](const float* x, int64_t width, float* to) {
      strips(width, [&](auto s) { s.store(hn::Mul(rate, s.load(x + i * width)), to + i * width); });
    };
    for (int l = 0; l < net.depth; ++l) scaled(k.raw[l], net.out(l), k.d[l]);
    if (net.norm) scaled(k.gamma, net.value, k.gamma);
  }
}
inline HWY_NOINLINE void inner_backward(const MemoryScanArgs& a, int h, const float* base, MemoryBlock& k) {
  const MemoryNet& net = a.net;
  const int64_t n = k.n, W = net.value;
  float *const *all = a.clip > 0 ? k.raw : k.d, *top = all[net.depth - 1];
  for (int64_t i = 0; i < n; ++i) {
    k.rate[i] = a.rate[(k.t + i) * a.rate_stride + h];
    const V rate = set(a.clip > 0 ? 1 : k.rate[i]);
    float *d = top + i * W, *e = k.e + i * W;
    strips(W, [&](auto s) { s.store(hn::Mul(rate, s.load(e)), d); });
    if (!net.norm) continue;
    strips(W, [&](auto s) {
      const V x = s.load(d);
      s.store(hn::Mul(x, s.load(k.normed + i * W)), k.gamma + i * W);
      s.store(hn::MulAdd(x, s.load(base), x), d);
    });
    norm_slope_row(W, k.normed + i * W, k.r[i], d);
  }
  for (int l = net.depth - 1; l > 0; --l) {
    times_transposed(n, net.in(l), net.out(l), base + net.at(l), all[l], all[l - 1], k.columns);
    strips(n * net.in(l), [&](auto s) { s.store(hn::Mul(s.load(all[l - 1]), s.load(k.slope[l])), all[l - 1]); });
  }
  if (a.clip > 0) clip_rows(a, k);
}

HWY_INLINE float gate_of(const MemoryScanArgs& a, float mean) { return a.logits ? 1 / (1 + std::exp(-mean)) : mean; }
HWY_INLINE float momentum_at(const MemoryScanArgs& a, int h, int64_t t) { return a.has_momentum ? a.momentum[t * a.momentum_stride + h] : 0; }
HWY_INLINE float forget_at(const MemoryScanArgs& a, int h, int64_t t) { return a.forget ? a.forget[t * a.forget_stride + h] : 0; }

// The coefficients after each token.
inline HWY_NOINLINE void coefficients(const MemoryScanArgs& a, int h, MemoryBlock& k) {
  constexpr int64_t C = memory_block;
  float b = 1, m = 0, e = 1;
  for (int64_t i = 0; i < k.n; ++i) {
    const float eta = a.has_momentum ? gate_of(a, momentum_at(a, h, k.t + i)) : 0, keep = 1 - (a.forget ? gate_of(a, forget_at(a, h, k.t + i)) : 0);
    e *= eta;
    b *= keep, m = keep * m + e;
    float *row = k.w + i * C, *share = k.share + i * C;
    for (int64_t j = 0; j < i; ++j) share[j] = eta * share[j - C], row[j] = keep * row[j - C] + share[j];
    share[i] = row[i] = 1;
    k.b[i] = b, k.m[i] = m, k.of_S[i] = e;
  }
}

// One plain matrix whose batches are shorter than the block: a token's e depends on earlier ones.
inline HWY_NOINLINE void inner_rows(const MemoryScanArgs& a, int h, const HeadMemory& x, MemoryBlock& k) {
  constexpr int64_t C = memory_block;
  const MemoryNet& net = a.net;
  const int64_t n = k.n, K = net.key, W = net.value;
  float *from_S = k.wide[0], *row = k.wide[1], *top = k.d[0];
  inner_forward(a, h, nullptr, k);
  multiply<false>(n, W, {k.z[0], K, 1, x.M, W, k.e, W, K});
  if (x.S) multiply<false>(n, W, {k.z[0], K, 1, x.S, W, from_S, W, K});
  row_products(n, K, k.z[0], K, k.z[0], k.score, k.columns);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t seen = i / a.batch * a.batch;              // tokens that its base has learnt
    float *e = k.e + i * W, *coefficient = row;
    const float *v = a.v + (k.t + i) * a.v_stride + h * W, *w = k.w + (seen - 1) * C;
    for (int64_t j = 0; j < seen; ++j) coefficient[j] = -w[j] * k.score[i * C + j];
    const V b = set(seen ? k.b[seen - 1] : 1), m = set(seen ? k.m[seen - 1] : 0);
    strips(W, [&](auto s) {
      V y = hn::Mul(b, s.load(e));
      if (x.S) y = hn::MulAdd(m, s.load(from_S + i * W), y);
      s.store(hn::Sub(y, s.load(v)), e);
    });
    if (seen) multiply<true>(1, W, {coefficient, C, 1, top, W, e, W, seen});
    k.rate[i] = a.rate[(k.t + i) * a.rate_stride + h];
    if (a.clip > 0) clip_rate(a, double{dot(e, e, W)} * dot(k.z[0] + i * K, k.z[0] + i * K, K), i, k);
    const V rate = set(k.rate[i]);
    strips(W, [&](auto s) { s.store(hn::Mul(rate, s.load(e)), top + i * W); });
  }
}

// Tokens of the next block from t on.
HWY_INLINE int64_t block_length(const MemoryScanArgs& a, int64_t place, int64_t left) {
  int64_t n = std::min(memory_block, left);
  if (a.chunk > 1) return std::min(n, a.chunk - place % a.chunk);
  if (a.batch == 0) return n;
  const bool rows = a.net.depth == 1 && !a.net.norm && place == 0;
  if (rows && n >= a.batch) return n / a.batch * a.batch;
  return std::min(n, a.batch - place);
}
// Whether the block spans batches.
HWY_INLINE bool by_rows(const MemoryScanArgs& a, int64_t n) { return a.chunk == 1 && a.batch > 0 && n > a.batch; }

// Makes the block, moves M, S and G on, but for what a chunk's end does.
inline HWY_NOINLINE void make_block(const MemoryScanArgs& a, int h, HeadMemory& x, MemoryBlock& k) {
  if (a.chunk == 1) coefficients(a, h, k);
  if (by_rows(a, k.n)) return inner_rows(a, h, x, k);
  inner_forward(a, h, x.base, k);
  inner_backward(a, h, x.base, k);
}
// After the block, chunks of one token.
inline HWY_NOINLINE void move_on(const MemoryScanArgs& a, HeadMemory& x, MemoryBlock& k) {
  constexpr int64_t C = memory_block;
  const MemoryNet& net = a.net;
  const int64_t P = net.weights(), n = k.n, i = n - 1;
  strips(P, [&](auto s) {
    V y = hn::Mul(set(k.b[i]), s.load(x.M));
    if (x.S) y = hn::MulAdd(set(k.m[i]), s.load(x.S), y), s.store(hn::Mul(set(k.of_S[i]), s.load(x.S)), x.S);
    s.store(y, x.M);
  });
  for (float* to : {x.M, x.S}) {
    if (!to) continue;
    const float* share = (to == x.M ? k.w : k.share) + i * C;
    for (int l = 0; l < net.depth; ++l) add_outer(n, net.in(l), net.out(l), -1, share, k.z[l], k.d[l], to + net.at(l), k.wide[2]);
    for (int64_t j = 0; net.norm && j < n; ++j)
      strips(net.value, [&](auto s) { s.store(hn::NegMulAdd(set(share[j]), s.load(k.gamma + j * net.value), s.load(to)), to); });
  }
}
// Into G, longer chunks; at the chunk's end into S and M.
inline HWY_NOINLINE void gather(const MemoryScanArgs& a, int h, HeadMemory& x, MemoryBlock& k) {
  const MemoryNet& net = a.net;
  for (int l = 0; l < net.depth; ++l) add_outer(k.n, net.in(l), net.out(l), 1, nullptr, k.z[l], k.d[l], x.G + net.at(l), k.wide[2]);
  for (int64_t j = 0; net.norm && j < k.n; ++j)
    strips(net.value, [&](auto s) { s.store(hn::Add(s.load(k.gamma + j * net.value), s.load(x.G)), x.G); });
  for (int64_t i = 0; i < k.n; ++i) x.eta += momentum_at(a, h, k.t + i), x.alpha += forget_at(a, h, k.t + i);
  k.closes = (x.place + k.n) % a.chunk == 0;
  if (!k.closes) return;
  const float chunk = static_cast<float>(a.chunk);
  k.eta = a.has_momentum ? gate_of(a, x.eta / chunk) : 0, k.alpha = a.forget ? gate_of(a, x.alpha / chunk) : 0;
  x.eta = x.alpha = 0;
}
inline HWY_NOINLINE void close_chunk(const MemoryScanArgs& a, HeadMemory& x, const MemoryBlock& k) {
  strips(a.net.weights(), [&](auto s) {
    V step = hn::Neg(s.load(x.G));
    if (x.S) step = hn::MulAdd(set(k.eta), s.load(x.S), step), s.store(step, x.S);
    s.store(hn::MulAdd(set(1 - k.alpha), s.load(x.M), step), x.M);
    s.store(set(0), x.G);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();
#endif
