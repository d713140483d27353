// RWKV-7 (Peng et al. 2025, 2503.14456; equations: rwkv7.h): a generalised delta rule, so linear_scan with a and b in place of beta.
#include "mixers/rwkv7.h"

#include "base/error.h"
#include "ops/sequence.h"
namespace headrace {

const MixerDoc Rwkv7::doc{
    "rwkv7", "linear attention", "RWKV-7 (Goose) time mix: a generalised delta rule", "Peng et al. 2025 (2503.14456)",
    "x_j = x + (x_before - x) x_j;  log w = -e^(-1/2) sigmoid(w0 + tanh(x_w w1) w2),  a = sigmoid(a0 + (x_a a1) a2)\n"
    "kappa = l2norm(k k_k),  k <- k (1 + (a - 1) k_a),  v <- v + (v_first - v) sigmoid(v0 + (x_v v1) v2)\n"
    "S_t = (diag(w) - (a kappa) kappa^T) S_{t-1} + k v^T;  y = W_o((groupnorm(S^T r) + (sum r k r_k) v) g)",
    "W_r, W_k, W_v [A, d], W_o [d, A], low-rank w, a, v, g, vectors k_k, k_a, r_k", "H K V + d", "O(d A + H K V)", "O(T (d A + H K V))",
    "mixers/rwkv7.h"};

Rwkv7::LowRank Rwkv7::LowRank::bind(const Scope& s, const std::string& letter, int in, int out, int rank, const Init* bias) {
  return {s.transposed(letter + "1", {rank, in}, Init::zeros()), s.transposed(letter + "2", {out, rank}, Init::orthogonal(0.1)),
          bias ? s(letter + "0", {out}, *bias) : Tensor{}};
}

Rwkv7 Rwkv7::bind(const Scope& s, Options o) {
  const int D = o.width, A = o.inner, H = o.heads;
  const RwkvDepth& d = o.depth;
  const double p = d.shallow(), deep = d.deep(), bound = 1 / std::sqrt(static_cast<double>(D)), size = A / H;
  auto line = [=](int64_t i) { return static_cast<double>(i) / std::max(1, A - 1) - 0.5; };
  auto zigzag = [=](int64_t i) {
    const double z = (static_cast<double>(i % (A / H)) - (size - 1) / 2) / std::max(0.5, (size - 1) / 2);
    return z * std::abs(z);
  };
  const double exponent = 1 + std::pow(deep, 0.3);
  const Init w0 = Init::by_element([=](int64_t i) { return -5.5 + 6 * std::pow(line(i) + 0.5, exponent) + 2.5 * zigzag(i); }).no_decay();
  const Init a0 = Init::by_element([=](int64_t i) { return -0.19 + 0.3 * zigzag(i) + 0.4 * line(i); });
  const Init v0 = Init::by_element([=](int64_t i) { return 0.73 - 0.4 * line(i); });
  Rwkv7 m{.o = o,
          .shift = TokenMix::bind(s, {{"x_r", d.rest(0.2 * p)}, {"x_w", d.rest(0.9 * p)}, {"x_k", d.rest(0.7 * p)}, {"x_v", d.rest(0.7 * p)},
                                      {"x_a", d.rest(0.9 * p)}, {"x_g", d.rest(0.2 * p)}}, D),
          .receptance = Linear::bind(s / "receptance", D, A, false, Init::uniform(-0.5 * bound, 0.5 * bound)),
          .key = Linear::bind(s / "key", D, A, false, Init::uniform(-0.05 * bound, 0.05 * bound)),
          .value = Linear::bind(s / "value", D, A, false, Init::uniform(-0.5 * bound, 0.5 * bound)),
          .output = Linear::bind(s / "output", A, D, false, Init::zeros()),
          .w = LowRank::bind(s, "w", D, A, o.decay_rank, &w0),
          .a = LowRank::bind(s, "a", D, A, o.rate_rank, &a0),
          .g = LowRank::bind(s, "g", D, A, o.gate_rank, nullptr),
          .k_k = s("k_k", {A}, Init::by_element([=](int64_t i) { return 0.71 - 0.1 * line(i); })),
          .k_a = s("k_a", {A}, Init::constant(1.02)),
          .r_k = s("r_k", {H, A / H}, Init::constant(-0.04).no_decay()),
          .norm = d.head_norm(s / "ln_x", A, o.norm_eps, H)};
  if (!o.first) m.v = LowRank::bind(s, "v", D, A, o.value_rank, &v0);
  return m;
}

Tensor Rwkv7::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads;
  auto heads = [&](const Tensor& t) { return t.view({N, H, o.inner / H}); };
  Tensor m = shift(x, p.slot("shift"));
  Tensor xr = m[0], xw = m[1], xk = m[2], xv = m[3], xa = m[4], xg = m[5];
  // All products of the shifted inputs, then those of the low ranks.
  const bool first = o.first;
  const Tensor none;
  const Product in[] = {receptance.of(xr), key.of(xk), value.of(xv), {xw, w.down, none}, {xa, a.down, none}, {xg, g.down, none}, {xv, v.down, none}};
  const auto low = linear(std::span(in).first(first ? 6 : 7));
  const Tensor zw = tanh(low[3]), zg = sigmoid(low[5]);
  const Product up[] = {{zw, w.up, w.bias}, {low[4], a.up, a.bias}, {zg, g.up, none}, {first ? zw : low[6], v.up, v.bias}};
  const auto full = linear(std::span(up).first(first ? 3 : 4));
  const Tensor r = low[0], log_decay = -0.60653066f * sigmoid(full[0]), rate = sigmoid(full[1]), gate = full[2];
  Tensor k = low[1], value_t = low[2];
  if (first) p.batch->shared["rwkv7.first_value"] = value_t;
  else value_t = lerp(value_t, p.batch->shared.at("rwkv7.first_value"), sigmoid(full[3]));
  Tensor kappa = l2_norm(heads(k * k_k), o.key_eps, o.key_clamp);
  k = lerp(k, k * rate, k_a);                          // k (1 + (rate - 1) k_a)
  Tensor rh = heads(r), kh = heads(k), vh = heads(value_t);
  const Tensor removal = heads(o.twice ? 2.f * rate : rate) * kappa;
  Tensor y = linear_scan({.q = rh, .k = kh, .v = vh, .log_decay = heads(log_decay), .a = unary(Unary::negate, kappa), .b = removal}, p.slot("wkv"));
  Tensor bonus = scale_heads(vh, head_dot(rh, kh, r_k));
  return output((norm(y.view({N, o.inner})) + bonus.view({N, o.inner})) * gate);
}

}  // namespace headrace
