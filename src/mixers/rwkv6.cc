// RWKV-6 (Peng et al. 2024, 2404.05892; equations: rwkv6.h): the five mixes are one block-diagonal product with the constant part as bias.
#include "mixers/rwkv6.h"

#include "base/error.h"
#include "mixers/token_mix.h"
#include "ops/sequence.h"
namespace headrace {

const MixerDoc Rwkv6::doc{
    "rwkv6", "linear attention", "RWKV-6 (Finch) time mix", "Peng et al. 2024 (2404.05892)",
    "d = x_before - x;  z = tanh((x + d mu_x) W1) in five parts;  x_j = x + d (mu_j + z_j W2_j)\nlog w_t = -exp(time_decay + tanh(x_w Wd1) Wd2)\n"
    "y_t = (S_{t-1} + diag(u) k v^T)^T r;  S_t = diag(w_t) S_{t-1} + k v^T;  out = W_o(groupnorm(y) silu(g))",
    "W_r, W_k, W_v, W_g [A, d], W_o [d, A], low-rank W1, W2, Wd1, Wd2, time_decay, u, mu", "H K V + d", "O(d A + H K V)", "O(T (d A + H K V))",
    "mixers/rwkv6.h"};

Rwkv6 Rwkv6::bind(const Scope& s, Options o) {
  const int64_t D = o.width, R = o.mix_rank, R2 = o.decay_rank;
  const RwkvDepth& d = o.depth;
  const Init k = d.rest(d.shallow()), v = d.rest(d.shallow(), 0.3 * d.deep()), r = d.rest(0.5 * d.shallow());
  const Init small = Init::uniform(-0.01, 0.01), nothing = Init::zeros();
  return {.o = o,
          .mu_x = s("time_maa_x", {D}, k),
          .mu = TokenMix::bind(s, {{"time_maa_w", k}, {"time_maa_k", k}, {"time_maa_v", v}, {"time_maa_r", r}, {"time_maa_g", r}}, o.width).mu,
          .w1 = s.transposed("time_maa_w1", {5 * R, D}, nothing),
          .w2 = s("time_maa_w2", {5, R, D}, small),
          .decay = s("time_decay", {o.keys}, d.decay(-6, 5, o.keys)),
          .decay_w1 = s.transposed("time_decay_w1", {R2, D}, nothing),
          .decay_w2 = s.transposed("time_decay_w2", {o.keys, R2}, small),
          .bonus = s("time_faaaa", {o.heads, o.keys / o.heads}, d.bonus(o.keys)),
          .key = Linear::bind(s / "key", D, o.keys, false, Init::orthogonal(0.1)),
          .value = Linear::bind(s / "value", D, o.values, false, Init::orthogonal()),
          .receptance = Linear::bind(s / "receptance", D, o.keys, false, Init::orthogonal()),
          .gate = Linear::bind(s / "gate", D, o.values, false, Init::orthogonal(0.1)),
          .output = Linear::bind(s / "output", o.values, D, false, nothing),
          .norm = d.head_norm(s / "ln_x", o.values, o.norm_eps, o.heads)};
}

Tensor Rwkv6::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.keys / H, V = o.values / H;
  Tensor before = token_shift(x, p.slot("shift"));
  Tensor z = tanh(linear(lerp(x, before, mu_x), w1));
  Tensor m = mix(x, before, block_linear(z, w2, mu).view({N, 5, o.width}));
  const Tensor xw = m[0], xk = m[1], xv = m[2], xr = m[3], xg = m[4];
  const auto in = linear({receptance.of(xr), key.of(xk), value.of(xv), gate.of(xg), {xw, decay_w1, {}}});
  Tensor r = in[0].view({N, H, K}), k = in[1].view({N, H, K}), v = in[2].view({N, H, V});
  Tensor log_decay = unary(Unary::negate, exp(linear(tanh(in[4]), decay_w2, decay)));
  Tensor y = linear_scan({.q = r, .k = k, .v = v, .log_decay = log_decay.view({N, H, K}), .bonus = bonus}, p.slot("wkv"));
  return output(binary(Binary::silu_multiply, in[3], norm(y.view({N, o.values}))));
}

}  // namespace headrace
