// RWKV-5 (Peng et al. 2024, 2404.05892; equations: rwkv5.h), 5.1 and 5.2: a decay by head is spread over its channels where the scan asks.
#include "mixers/rwkv5.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc Rwkv5::doc{
    "rwkv5", "linear attention", "RWKV-5 (Eagle) time mix", "Peng et al. 2024 (2404.05892)",
    "x_j = x mu_j + x_before (1 - mu_j);  r, k, v, g = W x_r, W x_k, W x_v, W x_g;  log w = -exp(time_decay)\n"
    "y_t = (S_{t-1} + diag(u) k v^T)^T r;  S_t = diag(w) S_{t-1} + k v^T;  out = W_o(groupnorm(y) silu(g))",
    "W_r, W_k, W_v, W_g [A, d], W_o [d, A], time_decay, u [H, K], mu [4, d]", "H K V + d", "O(d A + H K V)", "O(T (d A + H K V))",
    "mixers/rwkv5.h"};

Rwkv5 Rwkv5::bind(const Scope& s, Options o) {
  const int D = o.width, A = o.inner, H = o.heads, K = A / H;
  const RwkvDepth& d = o.depth;
  const TokenMix::Row k{"time_mix_k", d.power(d.shallow())}, v{"time_mix_v", d.power(d.shallow(), 0.3 * d.deep())},
      r{"time_mix_r", d.power(0.5 * d.shallow())}, g{"time_mix_g", d.power(0.5 * d.shallow())};
  Rwkv5 m{.o = o,
          .shift = o.gate ? TokenMix::bind(s, {k, v, r, g}, D, true) : TokenMix::bind(s, {k, v, r}, D, true),
          .key = Linear::bind(s / "key", D, A, false, Init::orthogonal(0.1)),
          .value = Linear::bind(s / "value", D, A, false, Init::orthogonal()),
          .receptance = Linear::bind(s / "receptance", D, A, false, Init::orthogonal()),
          .output = Linear::bind(s / "output", A, D, false, Init::zeros()),
          .norm = d.head_norm(s / "ln_x", A, o.norm_eps, H)};
  if (o.gate) m.gate = Linear::bind(s / "gate", D, A, false, Init::orthogonal(0.1));
  const Shape shape = o.by_channel ? Shape{1, H, K} : Shape{H};
  const int64_t channels = shape.count();
  m.log_decay = unary(Unary::negate, exp(s("time_decay", shape, d.decay(-6, 5, channels))));
  Tensor u = o.log_bonus ? exp(s("time_first", shape, d.bonus(channels).map("log", [](double x) { return std::log(std::max(x, 1e-3)); })))
                         : s("time_faaaa", shape, d.bonus(channels));
  if (!o.by_channel) {
    Tensor ones = copy_to(Tensor::from(std::vector<float>(static_cast<size_t>(A), 1.f), {1, H, K}), u.device());
    u = scale_heads(ones, u.view({1, H}));
  }
  m.bonus = u.view({H, K});
  return m;
}

Tensor Rwkv5::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads;
  auto heads = [&](const Tensor& t) { return t.view({N, H, o.inner / H}); };
  Tensor m = shift(x, p.slot("shift"));
  const Tensor xk = m[0], xv = m[1], xr = m[2], xg = o.gate ? m[3] : Tensor{};
  const Product in[] = {key.of(xk), value.of(xv), receptance.of(xr), gate.of(xg)};
  const auto kvrg = linear(std::span(in).first(o.gate ? 4 : 3));
  Tensor k = heads(kvrg[0]), v = heads(kvrg[1]), r = heads(kvrg[2]);
  Tensor y = linear_scan({.q = r, .k = k, .v = v, .log_decay = log_decay, .bonus = bonus}, p.slot("wkv"));
  y = norm(y.view({N, o.inner}));
  return output(o.gate ? binary(Binary::silu_multiply, kvrg[3], y) : y);
}

}  // namespace headrace
