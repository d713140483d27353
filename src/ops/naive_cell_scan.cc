// The definitions of cell_scan and of its gradients (docs/math/{lstm,gru,slstm}.md), token by token in double precision.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "ops/kernels/cell_scan.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {
namespace {

using Doubles = std::vector<double>;
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
size_t at(int64_t i) { return static_cast<size_t>(i); }

// One sequence; states as rows [states][C] in double.
void scan_one(const CellScanArgs& a, int s) {
  const int64_t C = a.channels, P = C / a.heads, G = gates_of(a.kind), S = states_of(a.kind), kept = saved_of(a.kind);
  Doubles z(at(S * C)), next(at(S * C)), product(at(G * C));
  if (a.kind == Cell::slstm) std::fill(z.begin() + 3 * C, z.end(), double{slstm_lowest});
  if (a.states) std::copy_n(a.states[s], S * C, z.begin());
  for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
    for (int64_t g = 0; g < G * C; ++g) {
      double sum = a.bias ? a.bias[g] : 0;
      for (int64_t j = 0; j < P; ++j) sum += double{a.recurrent[g * P + j]} * z[at(g % C / P * P + j)];
      product[at(g)] = sum;
    }
    for (int64_t c = 0; c < C; ++c) {
      auto in = [&](int64_t gate) { return double{a.x[t * a.x_stride + gate * C + c]}; };
      auto pre = [&](int64_t gate) { return in(gate) + product[at(gate * C + c)]; };
      auto old = [&](int64_t state) { return z[at(state * C + c)]; };
      auto now = [&](int64_t state) -> double& { return next[at(state * C + c)]; };
      std::array<double, 7> keep{};
      if (a.kind == Cell::lstm) {
        const double i = sigmoid(pre(0)), f = sigmoid(pre(1)), g = std::tanh(pre(2)), o = sigmoid(pre(3));
        now(1) = f * old(1) + i * g;
        now(0) = o * std::tanh(now(1));
        keep = {i, f, g, o, now(1)};
      } else if (a.kind == Cell::gru) {
        const double r = sigmoid(pre(0)), u = sigmoid(pre(1)), p = product[at(2 * C + c)], n = std::tanh(in(2) + r * p);
        now(0) = (1 - u) * n + u * old(0);
        keep = {r, u, n, p};
      } else {
        const double decayed = old(3) - std::log1p(std::exp(-pre(1))), m = std::max(pre(0), decayed), i = std::exp(pre(0) - m);
        const double f = std::exp(decayed - m), v = std::tanh(pre(2)), o = sigmoid(pre(3));
        now(1) = f * old(1) + i * v;
        now(2) = f * old(2) + i;
        now(3) = m;
        now(0) = o * now(1) / now(2);
        keep = {i, f, v, o, sigmoid(-pre(1)), now(1), now(2)};
      }
      a.y[t * C + c] = static_cast<float>(now(0));
      for (int64_t k = 0; k < kept && a.saved; ++k) a.saved[(t * kept + k) * C + c] = static_cast<float>(keep[at(k)]);
    }
    z.swap(next);
  }
  if (a.states) std::transform(z.begin(), z.end(), a.states[s], [](double v) { return static_cast<float>(v); });
}

void scan_one_backward(const CellScanBackwardArgs& a, int s) {
  const int64_t C = a.channels, P = C / a.heads, G = gates_of(a.kind), S = states_of(a.kind), kept = saved_of(a.kind);
  const int64_t begin = a.sequences.offsets[s], end = a.sequences.offsets[s + 1];
  const float *before = a.before ? a.before[s] : nullptr, *after = a.d_after ? a.d_after[s] : nullptr;
  Doubles d(at(S * C)), product(at(G * C));
  if (after) std::copy_n(after, S * C, d.begin());
  auto saved = [&](int64_t t, int64_t k, int64_t c) { return double{a.saved[(t * kept + k) * C + c]}; };
  // What state k was before token t, where saved has it as `at_k`.
  auto old = [&](int64_t t, int64_t k, int64_t at_k, int64_t c) {
    return t > begin ? saved(t - 1, at_k, c) : before ? double{before[k * C + c]} : 0.0;
  };
  // slstm: the gradient of m goes the way of the maximum; h does not depend on m, and c and n do so as e^-m.
  if (a.kind == Cell::slstm)
    for (int64_t c = 0; c < C && end > begin; ++c) d[at(3 * C + c)] -= d[at(C + c)] * saved(end - 1, 5, c) + d[at(2 * C + c)] * saved(end - 1, 6, c);
  for (int64_t t = end; t-- > begin;) {
    for (int64_t c = 0; c < C; ++c) {
      const double dh = d[at(c)] + (a.dy ? a.dy[t * C + c] : 0);
      std::array<double, 4> g{};
      double straight = 0, to_product = 0;                   // to h around the product; gru's third gate
      if (a.kind == Cell::lstm) {
        const double i = saved(t, 0, c), f = saved(t, 1, c), u = saved(t, 2, c), o = saved(t, 3, c), e = std::tanh(saved(t, 4, c));
        double& dc = d[at(C + c)];
        dc += dh * o * (1 - e * e);
        g = {dc * u * i * (1 - i), dc * old(t, 1, 4, c) * f * (1 - f), dc * i * (1 - u * u), dh * e * o * (1 - o)};
        dc *= f;
      } else if (a.kind == Cell::gru) {
        const double r = saved(t, 0, c), u = saved(t, 1, c), n = saved(t, 2, c), p = saved(t, 3, c);
        const double h = t > begin ? double{a.y[(t - 1) * C + c]} : before ? double{before[c]} : 0, dn = dh * (1 - u) * (1 - n * n);
        g = {dn * p * r * (1 - r), dh * (h - n) * u * (1 - u), dn};
        to_product = dn * r, straight = dh * u;
      } else {
        const double i = saved(t, 0, c), f = saved(t, 1, c), v = saved(t, 2, c), o = saved(t, 3, c), n = saved(t, 6, c), ratio = saved(t, 5, c) / n;
        double &dc = d[at(C + c)], &dn = d[at(2 * C + c)], &high = d[at(3 * C + c)];
        dc += dh * o / n, dn -= dh * o * ratio / n;
        double di = i * (dc * v + dn), df = f * (dc * old(t, 1, 5, c) + dn * old(t, 2, 6, c));
        if (i >= 1) di += high, high = 0;
        else df += high;
        g = {di, df * saved(t, 4, c), dc * i * (1 - v * v), dh * ratio * o * (1 - o)};
        dc *= f, dn *= f;
      }
      for (int64_t k = 0; k < G; ++k) {
        product[at(k * C + c)] = a.kind == Cell::gru && k == 2 ? to_product : g[at(k)];
        a.dx[(t * G + k) * C + c] = static_cast<float>(g[at(k)]);
        a.d_product[(t * G + k) * C + c] = static_cast<float>(product[at(k * C + c)]);
      }
      d[at(c)] = straight;
    }
    for (int64_t g = 0; g < G * C; ++g)
      for (int64_t j = 0; j < P; ++j) d[at(g % C / P * P + j)] += a.recurrent[g * P + j] * product[at(g)];
  }
  if (a.kind == Cell::slstm)
    for (int64_t c = 0; c < C && before && end > begin; ++c) d[at(3 * C + c)] += d[at(C + c)] * before[C + c] + d[at(2 * C + c)] * before[2 * C + c];
  if (float* to = a.d_before ? a.d_before[s] : nullptr) std::transform(d.begin(), d.end(), to, [](double v) { return static_cast<float>(v); });
}

}  // namespace

void cell_scan(const CellScanArgs& a) {
  for (int s = 0; s < a.sequences.count(); ++s) scan_one(a, s);
}
void cell_scan_backward(const CellScanBackwardArgs& a) {
  for (int s = 0; s < a.sequences.count(); ++s) scan_one_backward(a, s);
}

}  // namespace headrace::naive
