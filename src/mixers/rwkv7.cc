#include "mixers/rwkv7.h"

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

Rwkv7::LowRank Rwkv7::LowRank::bind(const Scope& s, const std::string& letter, int in, int out, bool with_bias) {
  const int64_t rank = s.dim(letter + "1", -1);
  return {s.transposed(letter + "1", {rank, in}), s.transposed(letter + "2", {out, rank}), with_bias ? s(letter + "0", {out}) : Tensor{}};
}

Rwkv7 Rwkv7::bind(const Scope& s, Options o) {
  const int D = o.width, A = o.inner, H = o.heads;
  Rwkv7 m{.o = o,
          .shift = TokenMix::bind(s, {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"}, D),
          .receptance = Linear::bind(s / "receptance", D, A),
          .key = Linear::bind(s / "key", D, A),
          .value = Linear::bind(s / "value", D, A),
          .output = Linear::bind(s / "output", A, D),
          .w = LowRank::bind(s, "w", D, A),
          .a = LowRank::bind(s, "a", D, A),
          .g = LowRank::bind(s, "g", D, A, false),
          .k_k = s("k_k", {A}),
          .k_a = s("k_a", {A}),
          .r_k = s("r_k", {H, A / H}),
          .norm = Norm::layer(s / "ln_x", A, o.norm_eps, H)};
  if (!o.first) m.v = LowRank::bind(s, "v", D, A);
  return m;
}

Tensor Rwkv7::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads;
  auto heads = [&](const Tensor& t) { return t.view({N, H, o.inner / H}); };
  Tensor m = shift(x, p.slot("shift"));
  Tensor xr = m[0], xw = m[1], xk = m[2], xv = m[3], xa = m[4], xg = m[5];
  Tensor r = receptance(xr), k = key(xk), value_t;
  if (!o.first) {
    auto both = linear(xv, {{value.weight, value.bias}, {v.down, {}}});
    value_t = lerp(both[0], p.batch->shared.at("rwkv7.first_value"), sigmoid(linear(both[1], v.up, v.bias)));
  } else {
    p.batch->shared["rwkv7.first_value"] = value_t = value(xv);
  }
  Tensor log_decay = -0.60653066f * sigmoid(linear(tanh(linear(xw, w.down)), w.up, w.bias));
  Tensor rate = sigmoid(linear(linear(xa, a.down), a.up, a.bias));
  Tensor gate = linear(sigmoid(linear(xg, g.down)), g.up);
  Tensor kappa = l2_norm(heads(k * k_k), o.key_eps, o.key_clamp);
  k = lerp(k, k * rate, k_a);                          // k (1 + (rate - 1) k_a)
  Tensor rh = heads(r), kh = heads(k), vh = heads(value_t);
  Tensor y = linear_scan({.q = rh, .k = kh, .v = vh, .log_decay = heads(log_decay), .a = unary(Unary::negate, kappa), .b = heads(rate) * kappa},
                         p.slot("wkv"));
  Tensor bonus = scale_heads(vh, head_dot(rh, kh, r_k));
  return output((norm(y.view({N, o.inner})) + bonus.view({N, o.inner})) * gate);
}

std::string Rwkv7::text(const Options& o) {
  return headrace::text("rwkv7(heads=", o.heads, ")");
}

}  // namespace headrace
