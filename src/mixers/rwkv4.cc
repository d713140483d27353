#include "mixers/rwkv4.h"
#include "ops/sequence.h"

namespace headrace {

Rwkv4 Rwkv4::bind(const Scope& s, Options o) {
  return {.shift = TokenMix::bind(s, {"time_mix_k", "time_mix_v", "time_mix_r"}, o.width, true),
          .key = Linear::bind(s / "key", o.width, o.inner),
          .value = Linear::bind(s / "value", o.width, o.inner),
          .receptance = Linear::bind(s / "receptance", o.width, o.inner),
          .output = Linear::bind(s / "output", o.inner, o.width),
          .w = unary(Unary::negate, exp(s("time_decay", {o.inner}))),
          .u = s("time_first", {o.inner})};
}

Tensor Rwkv4::operator()(const Tensor& x, Pass p) const {
  Tensor m = shift(x, p.slot("shift"));
  Tensor k = key(m[0]), v = value(m[1]), r = receptance(m[2]);
  return output(binary(Binary::sigmoid_multiply, r, rwkv4_scan(w, u, k, v, p.slot("wkv"))));
}

}  // namespace headrace
