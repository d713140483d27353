#include "mixers/rwkv6.h"

#include "base/error.h"
#include "mixers/token_mix.h"
#include "ops/sequence.h"

namespace headrace {

Rwkv6 Rwkv6::bind(const Scope& s, Options o) {
  const int64_t D = o.width, R = s.dim("time_maa_w2", 1), R2 = s.dim("time_decay_w1", -1);
  return {.o = o,
          .mu_x = s("time_maa_x", {D}),
          .mu = TokenMix::bind(s, {"time_maa_w", "time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"}, o.width).mu,
          .w1 = s.transposed("time_maa_w1", {5 * R, D}),
          .w2 = s("time_maa_w2", {5, R, D}),
          .decay = s("time_decay", {o.keys}),
          .decay_w1 = s.transposed("time_decay_w1", {R2, D}),
          .decay_w2 = s.transposed("time_decay_w2", {o.keys, R2}),
          .bonus = s("time_faaaa", {o.heads, o.keys / o.heads}),
          .key = Linear::bind(s / "key", D, o.keys),
          .value = Linear::bind(s / "value", D, o.values),
          .receptance = Linear::bind(s / "receptance", D, o.keys),
          .gate = Linear::bind(s / "gate", D, o.values),
          .output = Linear::bind(s / "output", o.values, D),
          .norm = Norm::layer(s / "ln_x", o.values, o.norm_eps, o.heads)};
}

Tensor Rwkv6::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.keys / H, V = o.values / H;
  Tensor before = token_shift(x, p.slot("shift"));
  Tensor z = tanh(linear(lerp(x, before, mu_x), w1));
  Tensor m = mix(x, before, block_linear(z, w2, mu).view({N, 5, o.width}));
  Tensor log_decay = unary(Unary::negate, exp(linear(tanh(linear(m[0], decay_w1)), decay_w2, decay)));
  Tensor k = key(m[1]).view({N, H, K}), v = value(m[2]).view({N, H, V}), r = receptance(m[3]).view({N, H, K});
  Tensor y = linear_scan({.q = r, .k = k, .v = v, .log_decay = log_decay.view({N, H, K}), .bonus = bonus}, p.slot("wkv"));
  return output(binary(Binary::silu_multiply, gate(m[4]), norm(y.view({N, o.values}))));
}

std::string Rwkv6::text(const Options& o) {
  return o.keys == o.values ? headrace::text("rwkv6(heads=", o.heads, ")") : headrace::text("rwkv6(heads=", o.heads, ", key=", o.keys / o.heads, ")");
}

}  // namespace headrace
