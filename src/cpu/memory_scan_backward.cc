// The gradients of memory_scan: blocks from the last to the first, each made again from the memory that it began with. Letters as in
// cpu/memory-inl.h; a name with d before it is the gradient in that. docs/math/titans.md, "Backward".
#include "cpu/kernels.h"
#include "cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/memory_scan_backward.cc"
#include "hwy/foreach_target.h"
#include "cpu/memory-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t C = memory_block;

HWY_INLINE float inner(int64_t n, const float* a, const float* b) { return dot(a, b, n); }
HWY_INLINE void add_scaled(int64_t n, float scale, const float* x, float* y) {
  strips(n, [&](auto s) { s.store(hn::MulAdd(set(scale), s.load(x), s.load(y)), y); });
}

// The gradients of one head as it goes back, and of the block at hand.
struct Back {
  float *M, *S, *base, *G;               // [P]
  float eta = 0, alpha = 0;              // of the open chunk's sums
  float *z[most_layers_of_memory], *d[most_layers_of_memory], *gamma;    // [n,in], [n,out]; [n,V] of the rows that make gamma's
  float *b, *m, *of_S, *w, *share;       // [C] x3, [C,C] x2
  float *reads[most_layers_of_memory], *read_slope[most_layers_of_memory], *answer, *normed, *r;   // activations of the queries
  float *score, *d_score, *room[4], *columns;
  static int64_t floats(const MemoryNet& net) {
    int64_t all = 0;
    for (int l = 0; l < net.depth; ++l) all += C * (3 * net.in(l) + net.out(l));
    return all + 3 * C * net.value + 4 * C + 4 * C * C + 6 * C * MemoryBlock::widest(net);
  }
  void lay_out(float* p, const MemoryNet& net) {
    const auto take = [&](int64_t count) { return std::exchange(p, p + count); };
    for (int l = 0; l < net.depth; ++l) {
      z[l] = take(C * net.in(l)), d[l] = take(C * net.out(l));
      reads[l] = take(C * net.in(l)), read_slope[l] = take(C * net.in(l));
    }
    for (float** x : {&gamma, &answer, &normed}) *x = take(C * net.value);
    for (float** x : {&b, &m, &of_S, &r}) *x = take(C);
    for (float** x : {&w, &share, &score, &d_score}) *x = take(C * C);
    for (float*& x : room) x = take(C * MemoryBlock::widest(net));
    columns = take(2 * C * MemoryBlock::widest(net));
  }
};

// A row's gradient through y = x + n (1 + gamma), n the normalised u: dn is there already, dr too; gives du.
HWY_INLINE void norm_back_row(int64_t W, const float* n, float r, float d_r, const float* dn, float* du) {
  std::copy_n(dn, W, du);
  norm_slope_row(W, n, r, du);
  add_scaled(W, -d_r * r * r / static_cast<float>(W), n, du);
}

// With a clip the rate's factor depends on z, d and gamma's rows: what that adds to their gradients, and theta's own gradient.
void clip_back(const MemoryScanBackwardArgs& x, int h, const MemoryBlock& k, Back& g) {
  const MemoryNet& net = x.forward.net;
  const int64_t W = net.value;
  for (int64_t i = 0; i < k.n; ++i) {
    float *of_gamma = g.gamma + i * W, *en = g.room[2];
    float sum = 0;                                           // d_rate
    for (int l = 0; l < net.depth; ++l) sum += inner(net.out(l), g.d[l] + i * net.out(l), k.raw[l] + i * net.out(l));
    if (net.norm) {
      strips(W, [&](auto s) { s.store(hn::Mul(s.load(k.e + i * W), s.load(k.normed + i * W)), en); });
      sum += inner(W, of_gamma, en);
    }
    x.d_rate[(k.t + i) * x.forward.heads + h] = k.factor[i] * sum;
    const float p = sum * k.inverse[i];
    for (int l = 0; l < net.depth; ++l) {
      const int64_t in = net.in(l), out = net.out(l);
      const float *z = k.z[l] + i * in, *d = k.raw[l] + i * out;
      add_scaled(out, -p * inner(in, z, z), d, g.d[l] + i * out);
      add_scaled(in, -k.rate[i] * p * inner(out, d, d), z, g.z[l] + i * in);
    }
    if (net.norm) add_scaled(W, -p, en, of_gamma);
  }
}

// From the gradients of z, d and gamma's rows those in k, v, rate and the base's weights: through the inner gradient.
void inner_adjoint(const MemoryScanBackwardArgs& x, int h, const float* base, const MemoryBlock& k, Back& g) {
  const MemoryScanArgs& a = x.forward;
  const MemoryNet& net = a.net;
  const int64_t n = k.n, K = net.key, W = net.value, H = a.heads;
  const bool clips = a.clip > 0;
  if (clips) clip_back(x, h, k, g);
  float* du[2] = {g.room[0], g.room[1]};
  for (int l = 1; l < net.depth; ++l) {                      // d_(l-1) = (d_l W^T) slope
    const int64_t in = net.in(l), out = net.out(l);
    float* t = g.room[2];
    times_transposed(n, in, out, base + net.at(l), k.d[l], t, g.columns);
    strips(n * in, [&](auto s) {
      const V gradient = s.load(g.d[l - 1]), u = s.load(k.before[l]);
      const V curve = hn::Mul(hn::Mul(set(0.3989422804f), exp_of(hn::Mul(set(-0.5f), hn::Mul(u, u)))), hn::NegMulAdd(u, u, set(2)));
      s.store(hn::Mul(gradient, s.load(k.slope[l])), g.d[l - 1]);                      // now of d_l W^T
      s.store(hn::Mul(hn::Mul(gradient, s.load(t)), curve), k.before[l]);              // of u, through the slope
    });
    multiply<true>(n, out, {g.d[l - 1], in, 1, base + net.at(l), out, g.d[l], out, in});
    add_outer(n, in, out, 1, nullptr, g.d[l - 1], k.d[l], g.base + net.at(l), g.room[2]);
  }
  const float* top = k.d[net.depth - 1];
  float *d_top = g.d[net.depth - 1], *u = du[0];
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = k.t + i;
    const float rate = k.rate[i], *e = k.e + i * W, *normed = k.normed + i * W;
    float *d = d_top + i * W, *to = u + i * W, *dv = x.dv + (row * H + h) * W, *dk = x.dk + (row * H + h) * K;
    if (!net.norm) {                                         // d_top = rate e
      if (!clips) x.d_rate[row * H + h] = inner(W, d, e);
      strips(W, [&](auto s) {
        const V de = hn::Mul(set(rate), s.load(d));
        s.store(de, to), s.store(hn::Neg(de), dv);
      });
      continue;
    }
    // c = rate e (1 + gamma), d_top = r (c - mean c - n mean(n c))
    float *c = g.room[2], *dn = g.room[3];
    const float d_r = inner(W, d, top + i * W) / k.r[i], along_d = inner(W, d, normed) / static_cast<float>(W);
    strips(W, [&](auto s) { s.store(hn::Mul(hn::Mul(set(rate), s.load(e)), hn::Add(set(1), s.load(base))), c); });
    const float along_c = inner(W, c, normed) / static_cast<float>(W);
    strips(W, [&](auto s) {
      const V scaled = hn::Mul(set(rate), s.load(e)), back = hn::MulAdd(set(along_c), s.load(d), hn::Mul(set(along_d), s.load(c)));
      s.store(hn::NegMulAdd(set(k.r[i]), back, hn::Mul(s.load(g.gamma + i * W), scaled)), dn);
    });
    norm_slope_row(W, normed, k.r[i], d);                    // now of c
    V rate_sum = set(0);
    strips(W, [&](auto s) {
      const V N = s.load(normed), E = s.load(e), dc = s.load(d), one = hn::Add(set(1), s.load(base));
      const V of_scaled = hn::MulAdd(dc, one, hn::Mul(s.load(g.gamma + i * W), N)), de = hn::Mul(set(rate), of_scaled);
      rate_sum = hn::MulAdd(s.only(of_scaled), E, rate_sum);
      s.store(hn::MulAdd(hn::Mul(set(rate), E), dc, hn::MulAdd(de, N, s.load(g.base))), g.base);
      s.store(hn::MulAdd(de, one, s.load(dn)), dn);
      s.store(hn::Neg(de), dv), s.store(de, dk);
    });
    if (!clips) x.d_rate[row * H + h] = sum_of(rate_sum);
    norm_back_row(W, normed, k.r[i], d_r, dn, to);
  }
  for (int l = net.depth - 1; l >= 0; --l) {
    const int64_t in = net.in(l), out = net.out(l);
    add_outer(n, in, out, 1, nullptr, k.z[l], u, g.base + net.at(l), g.room[2]);
    float *dz = g.room[2], *next = u == du[0] ? du[1] : du[0];
    times_transposed(n, in, out, base + net.at(l), u, dz, g.columns);
    if (l == 0) {
      for (int64_t i = 0; i < n; ++i) {
        float* dk = x.dk + ((k.t + i) * H + h) * K;
        strips(K, [&](auto s) {
          V y = hn::Add(s.load(dz + i * K), s.load(g.z[0] + i * K));
          if (net.norm) y = hn::Add(y, s.load(dk));
          s.store(y, dk);
        });
      }
      break;
    }
    strips(n * in, [&](auto s) {
      s.store(hn::MulAdd(hn::Add(s.load(dz), s.load(g.z[l])), s.load(k.slope[l]), s.load(k.before[l])), next);
    });
    u = next;
  }
}

// Of tokens [t, t + n), all of which read the memory w: its gradient is added to, dq written.
void read_rows_back(const MemoryScanBackwardArgs& x, int h, const float* w, int64_t t, int64_t n, Back& g) {
  const MemoryScanArgs& a = x.forward;
  const MemoryNet& net = a.net;
  const int64_t K = net.key, W = net.value, H = a.heads;
  for (int64_t i = 0; i < n; ++i) std::copy_n(a.q + (t + i) * a.q_stride + h * K, K, g.reads[0] + i * K);
  for (int l = 0; l < net.depth; ++l) {
    const bool ends = l + 1 == net.depth;
    float* u = ends ? g.normed : g.room[0];
    multiply<false>(n, net.out(l), {g.reads[l], net.in(l), 1, w + net.at(l), net.out(l), u, net.out(l), net.in(l)});
    if (!ends) gelu_rows(n * net.out(l), u, g.reads[l + 1], g.read_slope[l + 1]);
  }
  float* u = g.room[0];
  for (int64_t i = 0; i < n; ++i) {
    const float* dy = x.dy + ((t + i) * H + h) * W;
    float *to = u + i * W, *normed = g.normed + i * W;
    std::copy_n(dy, W, to);
    if (!net.norm) continue;
    const float r = normalise_row(W, net.eps, normed);
    strips(W, [&](auto s) {
      s.store(hn::MulAdd(s.load(dy), s.load(normed), s.load(g.M)), g.M);
      s.store(hn::MulAdd(s.load(dy), s.load(w), s.load(dy)), to);
    });
    norm_slope_row(W, normed, r, to);
  }
  for (int l = net.depth - 1; l >= 0; --l) {
    add_outer(n, net.in(l), net.out(l), 1, nullptr, g.reads[l], u, g.M + net.at(l), g.room[2]);
    float* dz = u == g.room[0] ? g.room[1] : g.room[0];
    times_transposed(n, net.in(l), net.out(l), w + net.at(l), u, dz, g.columns);
    if (l > 0) strips(n * net.in(l), [&](auto s) { s.store(hn::Mul(s.load(dz), s.load(g.read_slope[l])), dz); });
    u = dz;
  }
  for (int64_t i = 0; i < n; ++i) {
    float* dq = x.dq + ((t + i) * H + h) * K;
    const float* dy = x.dy + ((t + i) * H + h) * W;
    strips(K, [&](auto s) { s.store(net.norm ? hn::Add(s.load(u + i * K), s.load(dy)) : s.load(u + i * K), dq); });
  }
}

// Chunks of one token: what the reads give, and what M and S at the block's end give, to z, d, the coefficients, M and S.
void read_block_back(const MemoryScanBackwardArgs& x, int h, const float* M, const float* S, MemoryBlock& k, Back& g) {
  const MemoryScanArgs& a = x.forward;
  const MemoryNet& net = a.net;
  const int64_t n = k.n, K = net.key, W = net.value, H = a.heads;
  const auto scaled_rows = [&](int64_t width, const float* share, const float* rows, float* to) {
    for (int64_t i = 0; i < n; ++i) strips(width, [&](auto s) { s.store(hn::Mul(set(share[i]), s.load(rows + i * width)), to + i * width); });
  };
  const auto past_score = [&](int l) {                       // score: reads . z; d_score: times -w, what multiplies d
    row_products(n, net.in(l), g.reads[l], net.in(l), k.z[l], g.score, g.columns);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) g.d_score[i * C + j] = j <= i ? -k.w[i * C + j] * g.score[i * C + j] : 0;
  };
  for (int64_t i = 0; i < n; ++i) std::copy_n(a.q + (k.t + i) * a.q_stride + h * K, K, g.reads[0] + i * K);
  for (int l = 0; l < net.depth; ++l) {
    const bool ends = l + 1 == net.depth;
    const int64_t in = net.in(l), out = net.out(l);
    if (ends && !net.norm) break;                            // what comes out is not needed then
    float* u = ends ? g.normed : g.room[0];
    scaled_rows(in, k.b, g.reads[l], g.room[2]);
    multiply<false>(n, out, {g.room[2], in, 1, M + net.at(l), out, u, out, in});
    if (S) scaled_rows(in, k.m, g.reads[l], g.room[2]), multiply<true>(n, out, {g.room[2], in, 1, S + net.at(l), out, u, out, in});
    past_score(l);
    multiply<true>(n, out, {g.d_score, C, 1, k.d[l], out, u, out, n});
    if (!ends) gelu_rows(n * out, u, g.reads[l + 1], g.read_slope[l + 1]);
  }
  float* u = g.room[0];
  for (int64_t i = 0; i < n; ++i) {
    const float* dy = x.dy + ((k.t + i) * H + h) * W;
    float *to = u + i * W, *normed = g.normed + i * W, *d_gamma = g.room[2], *gamma = g.room[3];
    std::copy_n(dy, W, to);
    if (!net.norm) continue;
    const float r = normalise_row(W, net.eps, normed);
    strips(W, [&](auto s) {
      V y = hn::Mul(set(k.b[i]), s.load(M));
      if (S) y = hn::MulAdd(set(k.m[i]), s.load(S), y);
      s.store(y, gamma), s.store(hn::Mul(s.load(dy), s.load(normed)), d_gamma);
    });
    for (int64_t j = 0; j <= i; ++j) {
      add_scaled(W, -k.w[i * C + j], k.gamma + j * W, gamma);
      g.w[i * C + j] -= inner(W, d_gamma, k.gamma + j * W);
      add_scaled(W, -k.w[i * C + j], d_gamma, g.gamma + j * W);
    }
    g.b[i] += inner(W, d_gamma, M);
    add_scaled(W, k.b[i], d_gamma, g.M);
    if (S) g.m[i] += inner(W, d_gamma, S), add_scaled(W, k.m[i], d_gamma, g.S);
    strips(W, [&](auto s) { s.store(hn::MulAdd(s.load(dy), s.load(gamma), s.load(dy)), to); });
    norm_slope_row(W, normed, r, to);
  }
  for (int l = net.depth - 1; l >= 0; --l) {
    const int64_t in = net.in(l), out = net.out(l);
    float *da = u == g.room[0] ? g.room[1] : g.room[0], *t = g.room[2];
    past_score(l);
    // d gets (-w score)^T du, before the score's own gradient takes its place
    multiply<true>(n, out, {g.d_score, 1, C, u, out, g.d[l], out, n});
    row_products(n, out, u, out, k.d[l], g.d_score, g.columns);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        float& d = g.d_score[i * C + j];
        if (j <= i) g.w[i * C + j] -= d * g.score[i * C + j];
        d = j <= i ? -k.w[i * C + j] * d : 0;
      }
    multiply<true>(n, in, {g.d_score, 1, C, g.reads[l], in, g.z[l], in, n});
    times_transposed(n, in, out, M + net.at(l), u, t, g.columns);
    for (int64_t i = 0; i < n; ++i) g.b[i] += inner(in, t + i * in, g.reads[l] + i * in);
    scaled_rows(in, k.b, t, da);
    multiply<true>(n, in, {g.d_score, C, 1, k.z[l], in, da, in, n});
    if (S) {
      times_transposed(n, in, out, S + net.at(l), u, t, g.columns);
      for (int64_t i = 0; i < n; ++i) {
        g.m[i] += inner(in, t + i * in, g.reads[l] + i * in);
        add_scaled(in, k.m[i], t + i * in, da + i * in);
      }
      add_outer(n, in, out, 1, k.m, g.reads[l], u, g.S + net.at(l), t);
    }
    add_outer(n, in, out, 1, k.b, g.reads[l], u, g.M + net.at(l), t);
    if (l > 0) strips(n * in, [&](auto s) { s.store(hn::Mul(s.load(da), s.load(g.read_slope[l])), da); });
    u = da;
  }
  for (int64_t i = 0; i < n; ++i) {
    float* dq = x.dq + ((k.t + i) * H + h) * K;
    const float* dy = x.dy + ((k.t + i) * H + h) * W;
    strips(K, [&](auto s) { s.store(net.norm ? hn::Add(s.load(u + i * K), s.load(dy)) : s.load(u + i * K), dq); });
  }
}

// M and S at the block's end, chunks of one token.
void end_block_back(const MemoryScanArgs& a, const float* M, const float* S, const MemoryBlock& k, Back& g) {
  const MemoryNet& net = a.net;
  const int64_t n = k.n, last = n - 1, W = net.value, P = net.weights();
  for (int of = 0; of < (S ? 2 : 1); ++of) {
    const float *D = of == 0 ? g.M : g.S, *share = (of == 0 ? k.w : k.share) + last * C;
    float* d_share = (of == 0 ? g.w : g.share) + last * C;
    for (int l = 0; l < net.depth; ++l) {
      const int64_t in = net.in(l), out = net.out(l);
      float* t = g.room[0];
      multiply<false>(n, out, {k.z[l], in, 1, D + net.at(l), out, t, out, in});
      for (int64_t j = 0; j < n; ++j) {
        d_share[j] -= inner(out, t + j * out, k.d[l] + j * out);
        add_scaled(out, -share[j], t + j * out, g.d[l] + j * out);
      }
      times_transposed(n, in, out, D + net.at(l), k.d[l], t, g.columns);
      for (int64_t j = 0; j < n; ++j) add_scaled(in, -share[j], t + j * in, g.z[l] + j * in);
    }
    for (int64_t j = 0; net.norm && j < n; ++j) {
      d_share[j] -= inner(W, D, k.gamma + j * W);
      add_scaled(W, -share[j], D, g.gamma + j * W);
    }
  }
  g.b[last] += inner(P, g.M, M);
  if (S) g.m[last] += inner(P, g.M, S), g.of_S[last] += inner(P, g.S, S);
  strips(P, [&](auto s) {
    const V d = s.load(g.M);
    if (S) s.store(hn::MulAdd(set(k.m[last]), d, hn::Mul(set(k.of_S[last]), s.load(g.S))), g.S);
    s.store(hn::Mul(set(k.b[last]), d), g.M);
  });
}

// From the gradients of the coefficients those of the gates.
void coefficients_back(const MemoryScanBackwardArgs& x, int h, const MemoryBlock& k, Back& g) {
  const MemoryScanArgs& a = x.forward;
  float db = 0, dm = 0, de = 0, dw[C] = {}, d_share[C] = {};
  for (int64_t i = k.n; i-- > 0;) {
    const int64_t t = k.t + i, at = t * a.heads + h;
    const float eta = a.has_momentum ? gate_of(a, momentum_at(a, h, t)) : 0, alpha = a.forget ? gate_of(a, forget_at(a, h, t)) : 0;
    db += g.b[i], dm += g.m[i], de += g.of_S[i] + dm;
    float d_keep = db * (i ? k.b[i - 1] : 1) + dm * (i ? k.m[i - 1] : 0), d_eta = de * (i ? k.of_S[i - 1] : 1);
    for (int64_t j = 0; j <= i; ++j) {
      dw[j] += g.w[i * C + j];
      d_share[j] += g.share[i * C + j] + dw[j];
      if (j == i) continue;
      d_keep += dw[j] * k.w[(i - 1) * C + j], d_eta += d_share[j] * k.share[(i - 1) * C + j];
      dw[j] *= 1 - alpha, d_share[j] *= eta;
    }
    db *= 1 - alpha, dm *= 1 - alpha, de *= eta;
    if (x.d_momentum) x.d_momentum[at] = d_eta * (a.logits ? eta * (1 - eta) : 1);
    if (x.d_forget) x.d_forget[at] = -d_keep * (a.logits ? alpha * (1 - alpha) : 1);
  }
}

// One plain matrix over several batches: e row by row, from the last.
void rows_back(const MemoryScanBackwardArgs& x, int h, const float* M, const float* S, const MemoryBlock& k, Back& g) {
  const MemoryScanArgs& a = x.forward;
  const int64_t n = k.n, K = a.net.key, W = a.net.value, H = a.heads;
  float *de = g.d[0], *b = g.room[3], *m = b + C, *row = m + C;          // of each token's base
  row_products(n, K, k.z[0], K, k.z[0], g.score, g.columns);
  for (int64_t i = n; i-- > 0;) {
    const int64_t t = k.t + i, seen = i / a.batch * a.batch;
    float *d = de + i * W, *dv = x.dv + (t * H + h) * W;
    b[i] = seen ? k.b[seen - 1] : 1, m[i] = seen ? k.m[seen - 1] : 0;
    const float *e = k.e + i * W, *z = k.z[0] + i * K, d_rate = inner(W, d, e);
    x.d_rate[t * H + h] = d_rate;
    if (a.clip > 0) {
      const float p = d_rate * k.inverse[i];
      x.d_rate[t * H + h] *= k.factor[i];
      add_scaled(K, -k.rate[i] * p * inner(W, e, e), z, g.z[0] + i * K), add_scaled(W, -p * inner(K, z, z), e, d);
    }
    const V rate = set(k.rate[i]);
    strips(W, [&](auto s) {
      const V y = hn::Mul(rate, s.load(d));
      s.store(y, d), s.store(hn::Neg(y), dv);
    });
    for (int64_t j = 0; j < seen; ++j) row[j] = -k.w[(seen - 1) * C + j] * g.score[i * C + j];
    multiply<true>(seen, W, {row, 1, C, d, W, de, W, 1});
  }
  row_products(n, W, de, W, k.d[0], g.d_score, g.columns);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t seen = i / a.batch * a.batch;
    for (int64_t j = 0; j < n; ++j) {
      float& d = g.d_score[i * C + j];
      if (j < seen) g.w[(seen - 1) * C + j] -= d * g.score[i * C + j];
      d = j < seen ? -k.w[(seen - 1) * C + j] * d : 0;
    }
  }
  multiply<true>(n, K, {g.d_score, C, 1, k.z[0], K, g.z[0], K, n});
  multiply<true>(n, K, {g.d_score, 1, C, k.z[0], K, g.z[0], K, n});
  for (int of = 0; of < (S ? 2 : 1); ++of) {
    const float* share = of == 0 ? b : m;
    float *t = g.room[0], *d_share = of == 0 ? g.b : g.m;
    times_transposed(n, K, W, of == 0 ? M : S, de, t, g.columns);
    for (int64_t i = 0; i < n; ++i) {
      if (const int64_t seen = i / a.batch * a.batch; seen) d_share[seen - 1] += inner(K, t + i * K, k.z[0] + i * K);
      add_scaled(K, share[i], t + i * K, g.z[0] + i * K);
    }
    add_outer(n, K, W, 1, share, k.z[0], de, of == 0 ? g.M : g.S, g.room[1]);
  }
  for (int64_t i = 0; i < n; ++i) std::copy_n(g.z[0] + i * K, K, x.dk + ((k.t + i) * H + h) * K);
}

// A block that has been passed, or the first of several: what the memory was then, at `at`.
struct BlockStart { int64_t t, n, place; float eta, alpha; size_t at; };
constexpr size_t blocks_together = 16;                       // passed again with what each begins with

void MemoryScanBackward(const MemoryScanBackwardArgs& x, int s, int h) {
  const MemoryScanArgs& a = x.forward;
  const MemoryNet& net = a.net;
  const int64_t P = net.weights(), begin = a.sequences.offsets[s], end = a.sequences.offsets[s + 1];
  static thread_local std::vector<float> scratch, starts, group_starts;
  static thread_local std::vector<BlockStart> blocks, groups;
  scratch.resize(static_cast<size_t>(MemoryBlock::floats(net) + Back::floats(net) + 9 * P));
  float *own = scratch.data(), *zero = own + 4 * P;
  MemoryBlock k;
  k.lay_out(own + 9 * P, net);
  Back g{.M = own + 5 * P, .S = own + 6 * P, .base = own + 7 * P, .G = own + 8 * P};
  g.lay_out(own + 9 * P + MemoryBlock::floats(net), net);
  std::fill(zero, zero + P, 0.f);
  const float *initial = a.initial ? a.initial + h * P : zero, *first = x.first && x.first[s] ? x.first[s] + h * a.state() : nullptr;
  HeadMemory now{.M = own, .S = a.has_momentum ? own + P : nullptr, .G = a.chunk > 1 ? own + 2 * P : nullptr, .base = initial,
                 .own_base = a.keeps_base() ? own + 3 * P : nullptr};
  const auto load = [&](float* to, int64_t at, const float* otherwise) { if (to) std::copy_n(first ? first + at : otherwise, P, to); };
  load(now.M, 0, initial), load(now.S, a.momentum_at(), zero), load(now.own_base, a.base_at(), initial), load(now.G, a.open_at(), zero);
  if (first && a.state() > a.place_at()) {
    const float* place = first + a.place_at();
    now.eta = place[0], now.alpha = place[1], now.place = std::llround(place[2]);
  }
  if (a.batch > 0) now.base = now.own_base ? now.own_base : now.M;

  const auto keep = [&](std::vector<BlockStart>& all, std::vector<float>& memories, size_t parts) {
    all.push_back({k.t, k.n, now.place, now.eta, now.alpha, memories.size()});
    memories.resize(memories.size() + parts * static_cast<size_t>(P));
    float* to = memories.data() + all.back().at;
    for (const float* from : {now.M, now.S, now.own_base, now.G}) {
      if (from && parts > 0) std::copy_n(from, P, to);
      if (parts-- > 0) to += P;
    }
  };
  const auto pass = [&](int64_t until, auto&& before) {      // forward, from k.t on
    for (; k.t < until; k.t += k.n) {
      k.n = block_length(a, now.place, end - k.t), k.closes = false;
      before();
      make_block(a, h, now, k);
      if (a.chunk == 1) move_on(a, now, k);
      else if (gather(a, h, now, k); k.closes) close_chunk(a, now, k);
      now.place = (now.place + k.n) % a.period();
      if (a.batch > 0 && now.place == 0 && now.own_base) std::copy_n(now.M, P, now.own_base);
    }
  };
  groups.clear(), group_starts.clear();
  size_t count = 0;
  if (k.t = begin; a.learns)
    pass(end, [&] {
      if (count++ % blocks_together == 0) keep(groups, group_starts, 4);
    });

  float* d_state = x.d_states && x.d_states[s] ? x.d_states[s] + h * a.state() : nullptr;
  const auto start = [&](float* to, int64_t at, bool there) {
    if (d_state && there) std::copy_n(d_state + at, P, to);
    else std::fill(to, to + P, 0.f);
  };
  start(g.M, 0, true), start(g.S, a.momentum_at(), a.has_momentum), start(g.base, a.base_at(), a.keeps_base());
  start(g.G, a.open_at(), a.chunk > 1);
  if (d_state && a.state() > a.place_at()) g.eta = d_state[a.place_at()], g.alpha = d_state[a.place_at() + 1];
  const auto renew = [&] {                                   // the base was M
    add_scaled(P, 1, g.base, g.M);
    std::fill(g.base, g.base + P, 0.f);
  };
  for (int64_t t = end; !a.learns && t > begin;) {
    const int64_t n = std::min(C, t - begin);
    t -= n;
    read_rows_back(x, h, now.M, t, n, g);
  }
  const auto back = [&](size_t i) {
    const BlockStart& b = blocks[i];
    const float* after = i + 1 < blocks.size() ? starts.data() + blocks[i + 1].at : now.M;
    float *M = starts.data() + b.at, *S = a.has_momentum ? M + P : nullptr;
    const float* base = a.batch == 0 ? initial : a.keeps_base() ? M + 2 * P : M;
    HeadMemory then{.M = M, .S = S, .G = own + 2 * P, .base = base, .own_base = nullptr, .eta = b.eta, .alpha = b.alpha, .place = b.place};
    k.t = b.t, k.n = b.n, k.closes = false;
    make_block(a, h, then, k);
    if (a.batch > 0 && (b.place + b.n) % a.batch == 0) renew();
    for (int l = 0; l < net.depth; ++l) std::fill(g.z[l], g.z[l] + k.n * net.in(l), 0.f), std::fill(g.d[l], g.d[l] + k.n * net.out(l), 0.f);
    std::fill(g.gamma, g.gamma + k.n * net.value, 0.f);
    if (a.chunk == 1) {
      for (float* c : {g.b, g.m, g.of_S}) std::fill(c, c + C, 0.f);
      for (float* c : {g.w, g.share}) std::fill(c, c + C * C, 0.f);
      end_block_back(a, M, S, k, g);
      read_block_back(x, h, M, S, k, g);
      if (by_rows(a, k.n)) rows_back(x, h, M, S, k, g);
      else inner_adjoint(x, h, base, k, g);
      return coefficients_back(x, h, k, g);
    }
    gather(a, h, then, k);
    const int64_t last = b.t + b.n - 1, H = a.heads;
    if (k.closes) {
      read_rows_back(x, h, after, last, 1, g);
      const float d_alpha = a.forget ? -inner(P, g.M, M) : 0;
      add_scaled(P, 1, g.M, g.S);
      const float d_eta = S ? inner(P, g.S, S) : 0, share = 1 / static_cast<float>(a.chunk);
      strips(P, [&](auto v) {
        v.store(hn::Neg(v.load(g.S)), g.G);
        v.store(hn::Mul(set(S ? k.eta : 0), v.load(g.S)), g.S), v.store(hn::Mul(set(1 - k.alpha), v.load(g.M)), g.M);
      });
      g.eta = d_eta * share * (a.logits ? k.eta * (1 - k.eta) : 1), g.alpha = d_alpha * share * (a.logits ? k.alpha * (1 - k.alpha) : 1);
    }
    read_rows_back(x, h, M, b.t, b.n - k.closes, g);
    for (int64_t t = b.t; t <= last; ++t) {
      if (x.d_momentum) x.d_momentum[t * H + h] = g.eta;
      if (x.d_forget) x.d_forget[t * H + h] = g.alpha;
    }
    for (int l = 0; l < net.depth; ++l) {
      multiply<false>(k.n, net.out(l), {k.z[l], net.in(l), 1, g.G + net.at(l), net.out(l), g.d[l], net.out(l), net.in(l)});
      times_transposed(k.n, net.in(l), net.out(l), g.G + net.at(l), k.d[l], g.z[l], g.columns);
    }
    for (int64_t j = 0; net.norm && j < k.n; ++j) std::copy_n(g.G, net.value, g.gamma + j * net.value);
    inner_adjoint(x, h, base, k, g);
  };
  for (size_t i = groups.size(); i-- > 0;) {
    const BlockStart& b = groups[i];
    const float* from = group_starts.data() + b.at;
    for (float* to : {now.M, now.S, now.own_base, now.G}) {
      if (to) std::copy_n(from, P, to);
      from += P;
    }
    now.place = b.place, now.eta = b.eta, now.alpha = b.alpha;
    blocks.clear(), starts.clear();
    k.t = b.t;
    pass(i + 1 < groups.size() ? groups[i + 1].t : end, [&] { keep(blocks, starts, 3); });
    for (size_t j = blocks.size(); j-- > 0;) back(j);
  }
  if (a.batch > 0 && (!a.keeps_base() || !first)) renew();
  float* d_initial = x.d_initial + (int64_t{s} * a.heads + h) * P;
  strips(P, [&](auto v) {
    const V of_base = a.batch == 0 ? v.load(g.base) : set(0);
    v.store(first ? of_base : hn::Add(of_base, v.load(g.M)), d_initial);
  });
  if (!d_state || !first) return;
  if (a.chunk == 1 && a.learns && begin < end) {             // sums that a token closes at once
    g.eta = x.d_momentum ? x.d_momentum[begin * a.heads + h] : 0;
    g.alpha = x.d_forget ? x.d_forget[begin * a.heads + h] : 0;
  }
  std::copy_n(g.M, P, d_state);
  if (a.has_momentum) std::copy_n(g.S, P, d_state + a.momentum_at());
  if (a.keeps_base()) std::copy_n(g.base, P, d_state + a.base_at());
  if (a.chunk > 1) std::copy_n(g.G, P, d_state + a.open_at());
  if (a.state() > a.place_at()) d_state[a.place_at()] = g.eta, d_state[a.place_at() + 1] = g.alpha, d_state[a.place_at() + 2] = 0;
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(MemoryScanBackward);

void memory_scan_backward(const MemoryScanBackwardArgs& x) {
  struct Task { int sequence, head; double cost; };
  const MemoryScanArgs& a = x.forward;
  std::vector<Task> tasks;
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int h = 0; h < a.heads; ++h)
      tasks.push_back({s, h, static_cast<double>((a.sequences.offsets[s + 1] - a.sequences.offsets[s]) * a.net.weights())});
  parallel_tasks(tasks, 20000, [&](const Task& t) { HWY_DYNAMIC_DISPATCH(MemoryScanBackward)(x, t.sequence, t.head); });
}

}  // namespace headrace::cpu
#endif
