// The gradients of linear_scan, token by token backwards in double precision, with the state before each token kept. With
// X_t the gradient of S_t, p what the removal reads, Y the read-out's scaled gradient:
//   read after:   X_t += q do^T, dq = S_t do          read before: X_{t-1} += q do^T, dq = S_{t-1} do
//   dk = X v, dv = X^T k, dg = w * rowsum(X * S_{t-1}), X_{t-1} = w * X
//   a, b:  db = X p, dp = X^T b, da = S_{t-1} dp, X_{t-1} += a dp^T
//   delta: S = w * S + beta k u^T, u = v - (w * k)^T S: as b = beta k, a = -w * k
#include <cmath>
#include <vector>

#include "ops/kernels/linear_scan.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {
namespace {

struct Matrix {
  int64_t K, V;
  std::vector<double> x = std::vector<double>(static_cast<size_t>(K * V));
  double& operator()(int64_t i, int64_t j) { return x[static_cast<size_t>(i * V + j)]; }
  double operator()(int64_t i, int64_t j) const { return x[static_cast<size_t>(i * V + j)]; }
};
using Vector = std::vector<double>;
Vector times(const Matrix& m, const Vector& v) {                       // m v
  Vector y(static_cast<size_t>(m.K));
  for (int64_t i = 0; i < m.K; ++i)
    for (int64_t j = 0; j < m.V; ++j) y[static_cast<size_t>(i)] += m(i, j) * v[static_cast<size_t>(j)];
  return y;
}
Vector transposed_times(const Matrix& m, const Vector& k) {            // m^T k
  Vector y(static_cast<size_t>(m.V));
  for (int64_t i = 0; i < m.K; ++i)
    for (int64_t j = 0; j < m.V; ++j) y[static_cast<size_t>(j)] += m(i, j) * k[static_cast<size_t>(i)];
  return y;
}
void add_outer(Matrix& m, const Vector& k, const Vector& v) {
  for (int64_t i = 0; i < m.K; ++i)
    for (int64_t j = 0; j < m.V; ++j) m(i, j) += k[static_cast<size_t>(i)] * v[static_cast<size_t>(j)];
}
double dot(const Vector& a, const Vector& b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}
Vector row(const float* p, int64_t n, double scale = 1) {
  Vector v;
  for (int64_t i = 0; i < n; ++i) v.push_back(scale * p[i]);
  return v;
}
Vector product(const Vector& a, const Vector& b) {
  Vector y = a;
  for (size_t i = 0; i < y.size(); ++i) y[i] *= b[i];
  return y;
}
void add(Vector& y, double scale, const Vector& x) {
  for (size_t i = 0; i < y.size(); ++i) y[i] += scale * x[i];
}
void write(float* p, const Vector& x) {
  for (size_t i = 0; i < x.size(); ++i) p[i] = static_cast<float>(x[i]);
}

struct Token {                                                         // what one head reads and writes at one token
  Vector q, k, v, w, a, b;                                             // delta: a = -w k, b = beta k, k is written beta times
  double beta = 1;
};
Token token(const LinearScanArgs& f, int h, int64_t t) {
  const int64_t K = f.key, V = f.value;
  Token x{.q = row(f.q + t * f.q_stride + h / (f.heads / f.q_heads) * K, K), .k = row(f.k + t * f.k_stride + h / (f.heads / f.k_heads) * K, K),
          .v = row(f.v + t * f.v_stride + h / (f.heads / f.v_heads) * V, V), .w = Vector(static_cast<size_t>(K), 1), .a = {}, .b = {}};
  if (f.log_decay) {
    const float* g = f.log_decay + t * f.decay_stride + (f.decay_per_key ? h * K : h);
    for (int64_t i = 0; i < K; ++i) x.w[static_cast<size_t>(i)] = std::exp(double{g[f.decay_per_key ? i : 0]});
  }
  if (f.a) x.a = row(f.a + t * f.a_stride + h * K, K), x.b = row(f.b + t * f.b_stride + h * K, K);
  if (f.beta) {
    x.beta = f.beta[t * f.beta_stride + h];
    x.a = product(x.w, x.k), x.b = x.k;
    for (double& e : x.a) e = -e;
    for (double& e : x.b) e *= x.beta;
  }
  return x;
}

}  // namespace

void linear_scan_backward(const LinearScanBackward& x) {
  const LinearScanArgs& f = x.forward;
  const int64_t K = f.key, V = f.value, H = f.heads;
  for (int s = 0; s < f.sequences.count(); ++s)
    for (int h = 0; h < H; ++h) {
      const int64_t begin = f.sequences.offsets[s], end = f.sequences.offsets[s + 1];
      std::vector<Matrix> before;                                      // S_{t-1} of each token, then the last
      Matrix S{K, V}, X{K, V};
      for (int64_t i = 0; i < K * V; ++i) {
        S.x[static_cast<size_t>(i)] = x.first && x.first[s] ? x.first[s][h * K * V + i] : 0;
        X.x[static_cast<size_t>(i)] = x.d_states && x.d_states[s] ? x.d_states[s][h * K * V + i] : 0;
      }
      for (int64_t t = begin; t < end; ++t) {
        before.push_back(S);
        const Token c = token(f, h, t);
        const Vector p = c.a.empty() ? Vector{} : transposed_times(S, c.a);
        for (int64_t i = 0; i < K; ++i)
          for (int64_t j = 0; j < V; ++j) S(i, j) *= c.w[static_cast<size_t>(i)];
        if (!p.empty()) add_outer(S, c.b, p);
        add_outer(S, f.beta ? c.b : c.k, c.v);
      }
      before.push_back(S);
      Vector d_bonus(static_cast<size_t>(K));
      for (int64_t t = end; t-- > begin;) {
        const Token c = token(f, h, t);
        const Matrix &old = before[static_cast<size_t>(t - begin)], &now = before[static_cast<size_t>(t - begin + 1)];
        const Vector dy = row(x.dy + (t * H + h) * V, V, f.scale);
        Vector dq = times(f.bonus ? old : now, dy), dk, dv, dw(static_cast<size_t>(K)), dp, da, db;
        if (!f.bonus) add_outer(X, c.q, dy);
        for (int64_t i = 0; i < K; ++i)
          for (int64_t j = 0; j < V; ++j) dw[static_cast<size_t>(i)] += X(i, j) * old(i, j);
        if (!c.a.empty()) {
          const Vector p = transposed_times(old, c.a);
          db = times(X, p), dp = transposed_times(X, c.b), da = times(old, dp);
        }
        if (f.beta) {                                                  // b = beta k writes v + p, a = -w k
          dv = dp;
          add(db, 1, times(X, c.v));
          dk = db;
          for (double& e : dk) e *= c.beta;
          add(dk, -1, product(c.w, da));
          add(dw, -1, product(c.k, da));
          x.d_beta[t * H + h] = static_cast<float>(dot(db, c.k));
        } else {
          dk = times(X, c.v), dv = transposed_times(X, c.k);
        }
        for (int64_t i = 0; i < K; ++i)
          for (int64_t j = 0; j < V; ++j) X(i, j) *= c.w[static_cast<size_t>(i)];
        if (!dp.empty()) add_outer(X, c.a, dp);
        if (f.bonus) {
          const Vector u = row(f.bonus + h * K, K);
          const double d = dot(dy, c.v);
          add_outer(X, c.q, dy);
          add(dq, d, product(u, c.k));
          add(dk, d, product(u, c.q));
          add(dv, dot(product(c.q, u), c.k), dy);
          add(d_bonus, d, product(c.q, c.k));
        }
        write(x.dq + (t * H + h) * K, dq), write(x.dk + (t * H + h) * K, dk), write(x.dv + (t * H + h) * V, dv);
        if (f.a) write(x.da + (t * H + h) * K, da), write(x.db + (t * H + h) * K, db);
        if (x.d_decay) {
          const Vector dg = product(c.w, dw);
          if (f.decay_per_key) write(x.d_decay + (t * H + h) * K, dg);
          else x.d_decay[t * H + h] = static_cast<float>(dot(c.w, dw));
        }
      }
      if (x.d_bonus) write(x.d_bonus + (s * H + h) * K, d_bonus);
      if (x.d_states && x.d_states[s]) write(x.d_states[s] + h * K * V, X.x);
    }
}

void running_max(Rows decay, Rows x, const Sequences& sequences, float* const* states, Rows y, Rows fell) {
  for (int s = 0; s < sequences.count(); ++s)
    for (int64_t j = 0; j < x.cols; ++j) {
      double m = states ? states[s][j] : 0;
      for (int64_t t = sequences.offsets[s]; t < sequences.offsets[s + 1]; ++t) {
        const double next = std::max(decay[t][j] + m, double{x[t][j]});
        y[t][j] = static_cast<float>(next), fell[t][j] = static_cast<float>(m - next), m = next;
      }
      if (states) states[s][j] = static_cast<float>(m);
    }
}

void normalise(Rows x, Rows floor, float eps, int heads, Rows y) {
  const int64_t V = y.cols / heads;
  for (int64_t t = 0; t < x.rows; ++t)
    for (int h = 0; h < heads; ++h) {
      const float* from = x[t] + h * (V + 1);
      const double n = from[V], d = (floor.data ? std::max(std::abs(n), double{floor[t][h]}) : n) + eps;
      for (int64_t j = 0; j < V; ++j) y[t][h * V + j] = static_cast<float>(from[j] / d);
    }
}
void normalise_backward(Rows x, Rows floor, float eps, int heads, Rows dy, Rows dx) {
  const int64_t V = dy.cols / heads;
  for (int64_t t = 0; t < x.rows; ++t)
    for (int h = 0; h < heads; ++h) {
      const float *from = x[t] + h * (V + 1), *d_to = dy[t] + h * V;
      float* to = dx[t] + h * (V + 1);
      const double n = from[V], size = floor.data ? std::abs(n) : n, low = floor.data ? floor[t][h] : size;
      const double d = std::max(size, low) + eps;
      double sum = 0;
      for (int64_t j = 0; j < V; ++j) to[j] = static_cast<float>(d_to[j] / d), sum -= d_to[j] * (from[j] / d) / d;
      to[V] = static_cast<float>(size < low ? 0 : floor.data && n < 0 ? -sum : sum);
    }
}

}  // namespace headrace::naive
