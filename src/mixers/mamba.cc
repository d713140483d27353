// Mamba (Gu and Dao 2023, 2312.00752; equations: mamba.h), with norms on dt, B and C for Falcon Mamba (Zuo et al. 2024, 2410.05355).
#include "mixers/mamba.h"

#include <cmath>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc Mamba::doc{
    "mamba", "state space", "Mamba, a selective state-space layer (S6)",
    "Gu and Dao 2023 (2312.00752); Falcon Mamba: Zuo et al. 2024 (2410.05355)",
    "[x; z] = W_in u,  x = silu(conv(x)),  [d; B; C] = W_x x\ndt = softplus(W_dt d + b_dt),  A = -exp(A_log)\n"
    "h[c,n] <- exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c],  y[c] = sum_n C[n] h[c,n] + D[c] x[c]\nout = W_out (y silu(z))",
    "W_in [2 E, d], conv [E, taps], W_x [R + 2 N, E], W_dt [E, R], A_log [E, N], D [E], W_out [d, E]",
    "E (N + taps - 1)", "O(d E + E N)", "O(T (d E + E N))", "mixers/mamba.h"};

Mamba Mamba::bind(const Scope& s, Options o) {
  return {.o = o,
          .in = Linear::bind(s / "in_proj", o.width, 2 * int64_t{o.inner}, o.bias, Init::fan_in()),
          .x = Linear::bind(s / "x_proj", o.inner, o.rank + 2 * int64_t{o.state}, false, Init::fan_in()),
          .dt = Linear::bind(s / "dt_proj", o.rank, o.inner, true, Init::fan_in(), Init::step_size(1e-3, 0.1)),
          .out = Linear::bind(s / "out_proj", o.inner, o.width, o.bias, Init::fan_in(1 / std::sqrt(o.layers))),
          .conv = (s / "conv1d")("weight", {o.inner, o.taps}, Init::fan_in()),
          .conv_bias = o.conv_bias ? (s / "conv1d")("bias", {o.inner}, Init::conv_bias(o.taps)) : Tensor{},
          .A = -1.f * exp(s("A_log", {o.inner, o.state}, Init::by_column([](int64_t n) { return std::log(n + 1.0); }).no_decay())),
          .D = s("D", {o.inner}, Init::ones())};
}

Tensor Mamba::operator()(const Tensor& u, Pass p) const {
  Tensor xz = in(u);                                                                   // [N,2E]
  Tensor c = short_conv(xz.slice(-1, 0, o.inner), conv, conv_bias, true, p.slot("conv"));
  Tensor dBC = x(c);
  Tensor d = dBC.slice(-1, 0, o.rank), B = dBC.slice(-1, o.rank, o.state), C = dBC.slice(-1, o.rank + o.state, o.state);
  if (o.norm_eps > 0) {
    RmsNorm norm{.eps = o.norm_eps};
    d = rms_norm(d, {}, norm), B = rms_norm(B, {}, norm), C = rms_norm(C, {}, norm);
  }
  Tensor y = selective_scan(c, softplus(dt(d)), A, B, C, p.slot("ssm"));               // [N,E]
  return out(binary(Binary::silu_multiply, xz.slice(-1, o.inner, o.inner), y + c * D));
}

}  // namespace headrace
