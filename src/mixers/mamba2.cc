// Mamba-2 (Dao and Gu 2024, 2405.21060; equations: mamba2.h) as linear_scan, q = C, k = B, v = dt x; with levels a Fenwick tree of
// states (Guo et al. 2025, 2506.04761).
#include "mixers/mamba2.h"

#include <cmath>

#include "base/error.h"
#include "mixers/heads.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc Mamba2::doc{
    "mamba2", "state space", "Mamba-2, state-space duality", "Dao and Gu 2024 (2405.21060)",
    "[z; x; B; C; dt] = W_in u;  x, B, C = silu(conv([x; B; C]))\ndt = clamp(softplus(dt + b)),  A = -exp(A_log)         one a head\n"
    "S_t = exp(dt A) S_{t-1} + B (dt x)^T,  y = S_t^T C + D x\nout = W_out rms(y silu(z))",
    "W_in [2 H P + 2 G N + H, d], conv [H P + 2 G N, taps], A_log, D, b [H], norm [H P], W_out [d, H P]",
    "H N P + (H P + 2 G N)(taps - 1)", "O(d H P + H N P)", "O(T (d H P + H N P))", "mixers/mamba2.h"};

const MixerDoc LogLinearMamba2::doc{
    "log_linear_mamba2", "state space", "log-linear attention over Mamba-2", "Guo et al. 2025 (2506.04761)",
    "[z; x; B; C; dt; l] = W_in u,  lambda = softplus(L * l);  x, B, C, dt, A as in mamba2;  level of s for t: bit width of t XOR s\n"
    "y = sum_j lambda_j S^(j)T C + D x,  S^(j): mamba2's state over the tokens of level j\nout = W_out rms(y silu(z))",
    "mamba2's, W_in with H levels rows more, L [H, levels]", "(levels - 1) H N P + (H P + 2 G N)(taps - 1)", "O(d H P + log T H N P)",
    "O(T (d H P + log T H N P))", "mixers/mamba2.h"};

void Mamba2::Options::check() const {
  expect(heads % groups == 0, "mamba2: groups = ", groups, " does not divide heads = ", heads);
  expect(int64_t{heads} * head_dim + 2 * int64_t{groups} * state <= 1 << 24, "mamba2: heads = ", heads, ", dim = ", head_dim, ", groups = ", groups,
         ", state = ", state, " are too many channels");
}

Mamba2 Mamba2::bind(const Scope& s, Options o) {
  Tensor D = s("D", {o.heads}, Init::ones());
  Mamba2 m{.o = o,
           .in = Linear::bind(s / "in_proj", o.width, o.inner() + o.mixed() + int64_t{o.heads} * (1 + o.levels), o.bias, Init::fan_in()),
           .out = Linear::bind(s / "out_proj", o.inner(), o.width, o.bias, Init::fan_in(1 / std::sqrt(o.layers))),
           .conv = (s / "conv1d")("weight", {o.mixed(), o.taps}, Init::fan_in()),
           .conv_bias = o.conv_bias ? (s / "conv1d")("bias", {o.mixed()}, Init::conv_bias(o.taps)) : Tensor{},
           .dt_bias = s("dt_bias", {o.heads}, Init::step_size(1e-3, 0.1)),
           .A = -1.f * exp(s("A_log", {o.heads}, Init::uniform(1, 16).log().no_decay())),
           .D = over_channels(D, o.head_dim),
           .norm = Norm::rms(s / "norm", o.inner(), o.norm_eps)};
  m.norm.groups = o.levels > 0 ? 1 : o.groups;
  if (o.levels > 0) m.level_scale = s("L", {o.heads, o.levels}, Init::ones().no_decay()).view({int64_t{o.heads} * o.levels});
  return m;
}

Tensor Mamba2::operator()(const Tensor& u, Pass p) const {
  const int64_t N = u.dim(0), H = o.heads, E = o.inner(), GS = int64_t{o.groups} * o.state;
  Tensor h = in(u);                                                                    // [N,E+E+2GS+H+H levels]
  Tensor xBC = short_conv(h.slice(-1, E, o.mixed()), conv, conv_bias, true, p.slot("conv"));
  Tensor x = xBC.slice(-1, 0, E);
  Tensor B = xBC.slice(-1, E, GS).view({N, o.groups, o.state}), C = xBC.slice(-1, E + GS, GS).view({N, o.groups, o.state});
  Tensor dt = softplus(h.slice(-1, E + o.mixed(), H) + dt_bias);                       // [N,H]
  if (o.dt_least > 0) dt = at_least(dt, o.dt_least);
  if (std::isfinite(o.dt_most)) dt = at_most(dt, o.dt_most);
  Tensor v = scale_heads(x.view({N, H, o.head_dim}), dt);
  Tensor y;
  if (o.levels == 0) {
    y = linear_scan({.q = C, .k = B, .v = v, .log_decay = dt * A}, p.slot("ssm"));
  } else {
    const Tensor levels = softplus(h.slice(-1, E + o.mixed() + H, H * o.levels) * level_scale).view({N, H, o.levels});
    y = log_linear({.q = repeat_heads(C, H / o.groups), .k = repeat_heads(B, H / o.groups), .v = v, .levels = levels, .log_decay = dt * A},
                   p.positions(), p.slot("ssm"));
  }
  y = y.view({N, E});
  return out(norm(binary(Binary::silu_multiply, h.slice(-1, 0, E), y + x * D)));
}

}  // namespace headrace
