#include "mixers/rg_lru.h"

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

RgLru RgLru::bind(const Scope& s, Options o) {
  const int64_t D = o.width, L = o.lru, H = o.heads, block = L / H;
  Scope c = s / "conv_1d", g = s / "rg_lru";
  return {.o = o,
          .in_x = Linear::bind(s / "linear_x", D, L, true),
          .in_y = Linear::bind(s / "linear_y", D, L, true),
          .out = Linear::bind(s / "linear_out", L, D, true),
          .conv = c("weight", {L, o.taps}),
          .conv_bias = c("bias", {L}),
          .rate = -8.f * softplus(g("recurrent_param", {L})),
          .admit = {g("input_gate_weight", {H, block, block}), g("input_gate_bias", {H, block})},
          .forget = {g("recurrent_gate_weight", {H, block, block}), g("recurrent_gate_bias", {H, block})}};
}

Tensor RgLru::operator()(const Tensor& u, Pass p) const {
  auto xy = linear(u, {{in_x.weight, in_x.bias}, {in_y.weight, in_y.bias}});                     // [N,L] both
  Tensor x = short_conv(xy[0], conv, conv_bias, false, p.slot("conv"));
  Tensor log_a = binary(Binary::sigmoid_multiply, forget(x), rate);
  Tensor gain = where_starts(p.positions(), 1.f, sqrt_one_minus_exp(log_a, 2));
  Tensor h = diag_scan(log_a, binary(Binary::sigmoid_multiply, admit(x), x) * gain, p.slot("lru"));
  return out(binary(Binary::gelu_tanh_multiply, xy[1], h));
}

std::string RgLru::text(const Options& o) {
  std::string s = headrace::text("rg_lru(heads=", o.heads);
  if (o.lru != o.width) s += headrace::text(", lru=", o.lru);
  return s + ")";
}

}  // namespace headrace
