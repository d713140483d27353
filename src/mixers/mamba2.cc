#include "mixers/mamba2.h"

#include <cmath>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

Mamba2 Mamba2::bind(const Scope& s, Options o) {
  Tensor D = s("D", {o.heads});
  Tensor ones = exp(Tensor::zeros({1, o.heads, o.head_dim}, DType::f32, D.device()));
  Mamba2 m{.o = o,
           .in = Linear::bind(s / "in_proj", o.width, o.inner() + o.mixed() + o.heads, o.bias),
           .out = Linear::bind(s / "out_proj", o.inner(), o.width, o.bias),
           .conv = (s / "conv1d")("weight", {o.mixed(), o.taps}),
           .conv_bias = o.conv_bias ? (s / "conv1d")("bias", {o.mixed()}) : Tensor{},
           .dt_bias = s("dt_bias", {o.heads}),
           .A = -1.f * exp(s("A_log", {o.heads})),
           .D = scale_heads(ones, D.view({1, o.heads})).view({o.inner()}),
           .norm = Norm::rms(s / "norm", o.inner(), o.norm_eps)};
  m.norm.groups = o.groups;
  return m;
}

Tensor Mamba2::operator()(const Tensor& u, Pass p) const {
  const int64_t N = u.dim(0), E = o.inner(), GS = int64_t{o.groups} * o.state;
  Tensor h = in(u);                                                                    // [N,E+E+2GS+H]
  Tensor xBC = short_conv(h.slice(-1, E, o.mixed()), conv, conv_bias, true, p.slot("conv"));
  Tensor x = xBC.slice(-1, 0, E);
  Tensor B = xBC.slice(-1, E, GS).view({N, o.groups, o.state}), C = xBC.slice(-1, E + GS, GS).view({N, o.groups, o.state});
  Tensor dt = softplus(h.slice(-1, E + o.mixed(), o.heads) + dt_bias);                 // [N,H]
  if (o.dt_least > 0) dt = at_least(dt, o.dt_least);
  if (std::isfinite(o.dt_most)) dt = at_most(dt, o.dt_most);
  Tensor v = scale_heads(x.view({N, o.heads, o.head_dim}), dt);
  Tensor y = linear_scan({.q = C, .k = B, .v = v, .log_decay = dt * A}, p.slot("ssm")).view({N, E});
  return out(norm(binary(Binary::silu_multiply, h.slice(-1, 0, E), y + x * D)));
}

std::string Mamba2::text(const Options& o) {
  std::string s = headrace::text("mamba2(heads=", o.heads, ", state=", o.state);
  if (o.inner() != 2 * o.width) s += headrace::text(", dim=", o.head_dim);
  if (o.groups != 1) s += headrace::text(", groups=", o.groups);
  return s + ")";
}

}  // namespace headrace
