#include "mixers/mamba.h"

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

Mamba Mamba::bind(const Scope& s, Options o) {
  return {.o = o,
          .in = Linear::bind(s / "in_proj", o.width, 2 * int64_t{o.inner}, o.bias),
          .x = Linear::bind(s / "x_proj", o.inner, o.rank + 2 * int64_t{o.state}),
          .dt = Linear::bind(s / "dt_proj", o.rank, o.inner, true),
          .out = Linear::bind(s / "out_proj", o.inner, o.width, o.bias),
          .conv = (s / "conv1d")("weight", {o.inner, o.taps}),
          .conv_bias = o.conv_bias ? (s / "conv1d")("bias", {o.inner}) : Tensor{},
          .A = -1.f * exp(s("A_log", {o.inner, o.state})),
          .D = s("D", {o.inner})};
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

std::string Mamba::text(const Options& o) {
  std::string s = headrace::text("mamba(state=", o.state);
  if (o.inner != 2 * o.width) s += headrace::text(", inner=", o.inner);
  if (o.norm_eps > 0) s += ", norm=rms";
  return s + ")";
}

}  // namespace headrace
