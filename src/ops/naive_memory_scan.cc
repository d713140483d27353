// The definition of memory_scan and of its gradients, token by token in double precision (docs/math/titans.md).
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/kernels/memory_scan.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {
namespace {

using Doubles = std::vector<double>;
size_t at(int64_t i) { return static_cast<size_t>(i); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double below(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }              // Phi
double density(double x) { return std::exp(-0.5 * x * x) * 0.3989422804014327; }
double gelu(double x) { return x * below(x); }
double gelu_slope(double x) { return below(x) + x * density(x); }
double gelu_bend(double x) { return density(x) * (2 - x * x); }
double mean_of(const Doubles& x, const Doubles* y = nullptr) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += y ? x[i] * (*y)[i] : x[i];
  return sum / static_cast<double>(x.size());
}

// One input through the net: what goes into each matrix, what comes out, the normalised sum and one over its deviation.
struct Trace {
  std::vector<Doubles> z, u;
  Doubles n, y;
  double r = 0;
};
Doubles times(const MemoryNet& net, int l, const double* w, const Doubles& z) {
  Doubles u(at(net.out(l)));
  for (int64_t i = 0; i < net.in(l); ++i)
    for (int64_t o = 0; o < net.out(l); ++o) u[at(o)] += z[at(i)] * w[net.at(l) + i * net.out(l) + o];
  return u;
}
Doubles times_transposed(const MemoryNet& net, int l, const double* w, const Doubles& u) {
  Doubles z(at(net.in(l)));
  for (int64_t i = 0; i < net.in(l); ++i)
    for (int64_t o = 0; o < net.out(l); ++o) z[at(i)] += u[at(o)] * w[net.at(l) + i * net.out(l) + o];
  return z;
}
void add_outer(const MemoryNet& net, int l, double scale, const Doubles& z, const Doubles& u, double* w) {
  for (int64_t i = 0; i < net.in(l); ++i)
    for (int64_t o = 0; o < net.out(l); ++o) w[net.at(l) + i * net.out(l) + o] += scale * z[at(i)] * u[at(o)];
}
Trace through(const MemoryNet& net, const double* w, const float* x) {
  Trace t;
  t.z.push_back(Doubles(x, x + net.key));
  for (int l = 0; l < net.depth; ++l) {
    t.u.push_back(times(net, l, w, t.z[at(l)]));
    if (l + 1 == net.depth) break;
    t.z.push_back(t.u.back());
    for (double& v : t.z.back()) v = gelu(v);
  }
  t.y = t.u.back();
  if (!net.norm) return t;
  const double mean = mean_of(t.y);
  t.n = t.y;
  for (double& v : t.n) v -= mean;
  t.r = 1 / std::sqrt(mean_of(t.n, &t.n) + net.eps);
  for (size_t i = 0; i < t.n.size(); ++i) t.n[i] *= t.r, t.y[i] = t.z[0][i] + t.n[i] * (1 + w[i]);
  return t;
}
// The derivative of the norm, which is its own transpose: r (d - mean d - n mean(n d)).
Doubles norm_slope(const Trace& t, const Doubles& d) {
  const double mean = mean_of(d), along = mean_of(d, &t.n);
  Doubles x = d;
  for (size_t i = 0; i < d.size(); ++i) x[i] = t.r * (d[i] - mean - t.n[i] * along);
  return x;
}

// The gradient of <dy, net(x)>, added to dw; returns that in x.
Doubles back(const MemoryNet& net, const double* w, const Trace& t, const Doubles& dy, double* dw) {
  Doubles du = dy;
  if (net.norm) {
    for (size_t i = 0; i < dy.size(); ++i) dw[i] += dy[i] * t.n[i], du[i] = dy[i] * (1 + w[i]);
    du = norm_slope(t, du);
  }
  Doubles dz;
  for (int l = net.depth; l-- > 0;) {
    add_outer(net, l, 1, t.z[at(l)], du, dw);
    dz = times_transposed(net, l, w, du);
    if (l == 0) break;
    for (size_t i = 0; i < dz.size(); ++i) dz[i] *= gelu_slope(t.u[at(l - 1)][i]);
    du = dz;
  }
  for (size_t i = 0; net.norm && i < dz.size(); ++i) dz[i] += dy[i];
  return dz;
}

// A token's gradient g before its rate, the factor that clips it, and C^2 + |g|^2.
struct Clipped {
  Doubles g;
  double factor, sum;
};
Clipped clipped(const MemoryNet& net, double C, const double* B, const Trace& t, const Doubles& e) {
  Clipped c{.g = Doubles(at(net.weights())), .factor = 1, .sum = C * C};
  back(net, B, t, e, c.g.data());
  for (double g : c.g) c.sum += g * g;
  c.factor = C / std::sqrt(c.sum);
  return c;
}

// phi = d/de 1/2 |net(k; B + e Z) - v|^2 at 0. Its gradient times `scale` is added to dB and written to dk and dv. Returns phi.
// A dotted name is the derivative along Z, b_x the gradient of phi in x.
double along(const MemoryNet& net, const double* B, const double* Z, const Trace& t, const Doubles& e, double scale, double* dB, float* dk,
             float* dv) {
  std::vector<Doubles> z_dot{Doubles(at(net.key))}, u_dot;
  for (int l = 0; l < net.depth; ++l) {
    u_dot.push_back(times(net, l, B, z_dot[at(l)]));
    const Doubles moved = times(net, l, Z, t.z[at(l)]);
    for (size_t i = 0; i < moved.size(); ++i) u_dot.back()[i] += moved[i];
    if (l + 1 == net.depth) break;
    z_dot.push_back(u_dot.back());
    for (size_t i = 0; i < z_dot.back().size(); ++i) z_dot.back()[i] *= gelu_slope(t.u[at(l)][i]);
  }
  Doubles p_dot = u_dot.back(), b_u_dot = e, b_u(e.size());
  if (net.norm) {
    const size_t V = e.size();
    const Doubles n_dot = norm_slope(t, p_dot);
    Doubles b_n_dot(V), b_n(V);
    for (size_t i = 0; i < V; ++i) p_dot[i] = n_dot[i] * (1 + B[i]) + t.n[i] * Z[i], b_n_dot[i] = e[i] * (1 + B[i]);
    const double c = mean_of(u_dot.back(), &t.n), s = mean_of(b_n_dot, &t.n), b_r = mean_of(b_n_dot, &n_dot) / t.r;
    for (size_t i = 0; i < V; ++i) {
      dB[i] += scale * (p_dot[i] * t.n[i] + e[i] * n_dot[i]);
      b_n[i] = p_dot[i] * (1 + B[i]) + e[i] * Z[i] - t.r * (b_n_dot[i] * c + s * u_dot.back()[i]);
    }
    b_u_dot = norm_slope(t, b_n_dot), b_u = norm_slope(t, b_n);
    for (size_t i = 0; i < V; ++i) b_u[i] -= b_r * t.r * t.r * t.n[i];
  } else {
    b_u = p_dot;
  }
  double phi = 0;
  for (size_t i = 0; i < e.size(); ++i) phi += e[i] * p_dot[i], dv[i] = static_cast<float>(-scale * p_dot[i]);
  for (int l = net.depth; l-- > 0;) {
    add_outer(net, l, scale, t.z[at(l)], b_u, dB);
    if (l > 0) add_outer(net, l, scale, z_dot[at(l)], b_u_dot, dB);
    const Doubles b_z_dot = times_transposed(net, l, B, b_u_dot), from_dot = times_transposed(net, l, Z, b_u_dot);
    Doubles b_z = times_transposed(net, l, B, b_u);
    for (size_t i = 0; i < b_z.size(); ++i) b_z[i] += from_dot[i];
    if (l == 0) {
      for (size_t i = 0; i < b_z.size(); ++i) dk[i] = static_cast<float>(scale * (b_z[i] + (net.norm ? p_dot[i] : 0)));
      break;
    }
    const Doubles& u = t.u[at(l - 1)];
    b_u.resize(b_z.size()), b_u_dot.resize(b_z.size());
    for (size_t i = 0; i < b_z.size(); ++i) {
      b_u_dot[i] = gelu_slope(u[i]) * b_z_dot[i];
      b_u[i] = gelu_slope(u[i]) * b_z[i] + gelu_bend(u[i]) * u_dot[at(l - 1)][i] * b_z_dot[i];
    }
  }
  return phi;
}

// The state of one head, and its gradient.
struct Memory {
  Doubles M, S, B, G;
  double eta = 0, alpha = 0;             // sums over the open chunk
  int64_t place = 0;                     // in the batch, or the chunk
};
// from: [state()], or null: `initial` [P] or, null, zero.
Memory memory(const MemoryScanArgs& a, const float* from, const float* initial) {
  const int64_t P = a.net.weights();
  auto part = [&](int64_t begin) { return from ? Doubles(from + begin, from + begin + P) : Doubles(at(P)); };
  Memory m{.M = part(0), .S = a.has_momentum ? part(a.momentum_at()) : Doubles{}, .B = {}, .G = a.chunk > 1 ? part(a.open_at()) : Doubles(at(P))};
  const Doubles begun = initial ? Doubles(initial, initial + P) : Doubles(at(P));
  if (!from) m.M = begun;
  m.B = a.batch == 0 ? begun : from && a.keeps_base() ? part(a.base_at()) : m.M;
  if (from && a.state() > a.place_at())
    m.eta = from[a.place_at()], m.alpha = from[a.place_at() + 1], m.place = std::llround(from[a.place_at() + 2]);
  return m;
}
void store(const MemoryScanArgs& a, const Memory& m, float* to) {
  auto part = [&](const Doubles& x, int64_t begin) {
    std::transform(x.begin(), x.end(), to + begin, [](double v) { return static_cast<float>(v); });
  };
  part(m.M, 0);
  if (a.has_momentum) part(m.S, a.momentum_at());
  if (a.keeps_base()) part(m.B, a.base_at());
  if (a.chunk > 1) part(m.G, a.open_at());
  if (a.state() == a.place_at()) return;
  to[a.place_at()] = static_cast<float>(m.eta), to[a.place_at() + 1] = static_cast<float>(m.alpha);
  to[a.place_at() + 2] = static_cast<float>(m.place);
}

// What a token leaves behind: M after it, and where it ends a chunk, what was before that.
struct Kept {
  Doubles M, B, M_before, S_before;
  double eta = 0, alpha = 0;
  bool closes = false, renews = false;   // a chunk, a batch
};

Kept learn(const MemoryScanArgs& a, int h, int64_t t, Memory& m) {
  const MemoryNet& net = a.net;
  Kept kept{.M = m.M, .B = m.B, .M_before = {}, .S_before = {}};
  if (!a.learns) return kept;
  const float* v = a.v + t * a.v_stride + int64_t{h} * net.value;
  const Trace k = through(net, m.B.data(), a.k + t * a.k_stride + int64_t{h} * net.key);
  Doubles e = k.y;
  for (size_t i = 0; i < e.size(); ++i) e[i] -= v[i];
  const double rate = a.rate[t * a.rate_stride + h] * (a.clip > 0 ? clipped(net, a.clip, m.B.data(), k, e).factor : 1);
  for (double& x : e) x *= rate;
  back(net, m.B.data(), k, e, m.G.data());
  if (a.has_momentum) m.eta += a.momentum[t * a.momentum_stride + h];
  if (a.forget) m.alpha += a.forget[t * a.forget_stride + h];
  m.place = (m.place + 1) % a.period();
  if (m.place % a.chunk == 0) {
    const double n = static_cast<double>(a.chunk);
    auto gate = [&](double sum) { return a.logits ? sigmoid(sum / n) : sum / n; };
    kept.closes = true, kept.eta = a.has_momentum ? gate(m.eta) : 0, kept.alpha = a.forget ? gate(m.alpha) : 0;
    kept.M_before = m.M, kept.S_before = m.S;
    for (size_t i = 0; i < m.M.size(); ++i) {
      double step = -m.G[i];
      if (a.has_momentum) step = m.S[i] = kept.eta * m.S[i] - m.G[i];
      m.M[i] = (1 - kept.alpha) * m.M[i] + step;
    }
    std::fill(m.G.begin(), m.G.end(), 0.0);
    m.eta = m.alpha = 0;
  }
  if (a.batch > 0 && m.place == 0) kept.renews = true, m.B = m.M;
  kept.M = m.M;
  return kept;
}

}  // namespace

void memory_scan(const MemoryScanArgs& a) {
  const MemoryNet& net = a.net;
  const int64_t P = net.weights();
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int h = 0; h < a.heads; ++h) {
      float* state = a.states ? a.states[s] + h * a.state() : nullptr;
      Memory m = memory(a, state, a.initial ? a.initial + h * P : nullptr);
      for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
        const Kept kept = learn(a, h, t, m);
        const Trace q = through(net, kept.M.data(), a.q + t * a.q_stride + int64_t{h} * net.key);
        std::transform(q.y.begin(), q.y.end(), a.y + t * a.y_stride + int64_t{h} * net.value, [](double v) { return static_cast<float>(v); });
      }
      if (state) store(a, m, state);
    }
}

void memory_scan_backward(const MemoryScanBackwardArgs& x) {
  const MemoryScanArgs& a = x.forward;
  const MemoryNet& net = a.net;
  const int64_t P = net.weights(), H = a.heads, K = net.key, V = net.value;
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int h = 0; h < H; ++h) {
      const float* first = x.first && x.first[s] ? x.first[s] + h * a.state() : nullptr;
      float* d_state = x.d_states && x.d_states[s] ? x.d_states[s] + h * a.state() : nullptr;
      const int64_t begin = a.sequences.offsets[s], end = a.sequences.offsets[s + 1];
      Memory m = memory(a, first, a.initial ? a.initial + h * P : nullptr);
      std::vector<Kept> kept;
      for (int64_t t = begin; t < end; ++t) kept.push_back(learn(a, h, t, m));
      // The same names for gradients. B's is its own until it is M's.
      Memory d = memory(a, d_state, nullptr);
      if (!a.keeps_base()) d.B.assign(at(P), 0.0);
      if (!a.has_momentum) d.S.assign(at(P), 0.0);
      for (int64_t t = end; t-- > begin;) {
        const Kept& now = kept[at(t - begin)];
        if (now.renews)
          for (size_t i = 0; i < at(P); ++i) d.M[i] += d.B[i], d.B[i] = 0;
        const Trace q = through(net, now.M.data(), a.q + t * a.q_stride + h * K);
        const float* dy = x.dy + (t * H + h) * V;
        const Doubles dq = back(net, now.M.data(), q, Doubles(dy, dy + V), d.M.data());
        std::transform(dq.begin(), dq.end(), x.dq + (t * H + h) * K, [](double v) { return static_cast<float>(v); });
        if (now.closes) {
          double d_eta = 0, d_alpha = 0;
          for (size_t i = 0; i < at(P); ++i) {
            d.S[i] += d.M[i];
            if (a.has_momentum) d_eta += d.S[i] * now.S_before[i];
            if (a.forget) d_alpha -= d.M[i] * now.M_before[i];
            d.G[i] = -d.S[i], d.S[i] *= a.has_momentum ? now.eta : 0, d.M[i] *= 1 - now.alpha;
          }
          auto of_sum = [&](double d_gate, double gate) { return d_gate * (a.logits ? gate * (1 - gate) : 1) / static_cast<double>(a.chunk); };
          d.eta = of_sum(d_eta, now.eta), d.alpha = of_sum(d_alpha, now.alpha);
        }
        if (!a.learns) continue;
        if (x.d_momentum) x.d_momentum[t * H + h] = static_cast<float>(d.eta);
        if (x.d_forget) x.d_forget[t * H + h] = static_cast<float>(d.alpha);
        const Trace k = through(net, now.B.data(), a.k + t * a.k_stride + h * K);
        Doubles e = k.y;
        for (int64_t i = 0; i < V; ++i) e[at(i)] -= a.v[t * a.v_stride + h * V + i];
        Doubles Z = d.G;
        double rate = a.rate[t * a.rate_stride + h], d_rate = 0;
        if (a.clip > 0) {
          const Clipped c = clipped(net, a.clip, now.B.data(), k, e);
          double s = 0;
          for (size_t i = 0; i < at(P); ++i) s += Z[i] * c.g[i];
          for (size_t i = 0; i < at(P); ++i) Z[i] -= s / c.sum * c.g[i];
          rate *= c.factor, d_rate = c.factor * s;
        }
        const double phi = along(net, now.B.data(), Z.data(), k, e, rate, d.B.data(), x.dk + (t * H + h) * K, x.dv + (t * H + h) * V);
        x.d_rate[t * H + h] = static_cast<float>(a.clip > 0 ? d_rate : phi);
      }
      float* d_initial = x.d_initial + (s * H + h) * P;
      if (!a.keeps_base() && a.batch > 0)
        for (size_t i = 0; i < at(P); ++i) d.M[i] += d.B[i], d.B[i] = 0;
      if (!first && a.batch > 0)
        for (size_t i = 0; i < at(P); ++i) d.M[i] += d.B[i], d.B[i] = 0;
      for (size_t i = 0; i < at(P); ++i) d_initial[i] = static_cast<float>((first ? 0 : d.M[i]) + (a.batch == 0 ? d.B[i] : 0));
      d.place = 0;
      if (d_state && first) store(a, d, d_state);
    }
}

}  // namespace headrace::naive
