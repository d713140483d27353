#include "mixers/rwkv5.h"

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

Rwkv5 Rwkv5::bind(const Scope& s, Options o) {
  const int D = o.width, A = o.inner, H = o.heads, K = A / H;
  Rwkv5 m{.o = o,
          .shift = o.gate ? TokenMix::bind(s, {"time_mix_k", "time_mix_v", "time_mix_r", "time_mix_g"}, D, true)
                          : TokenMix::bind(s, {"time_mix_k", "time_mix_v", "time_mix_r"}, D, true),
          .key = Linear::bind(s / "key", D, A),
          .value = Linear::bind(s / "value", D, A),
          .receptance = Linear::bind(s / "receptance", D, A),
          .output = Linear::bind(s / "output", A, D),
          .norm = Norm::layer(s / "ln_x", A, o.norm_eps, H)};
  if (o.gate) m.gate = Linear::bind(s / "gate", D, A);
  const Shape shape = o.by_channel ? Shape{1, H, K} : Shape{H};
  m.log_decay = unary(Unary::negate, exp(s("time_decay", shape)));
  Tensor u = o.log_bonus ? exp(s("time_first", shape)) : s("time_faaaa", shape);
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
  Tensor k = heads(key(m[0])), v = heads(value(m[1])), r = heads(receptance(m[2]));
  Tensor y = linear_scan({.q = r, .k = k, .v = v, .log_decay = log_decay, .bonus = bonus}, p.slot("wkv"));
  y = norm(y.view({N, o.inner}));
  return output(o.gate ? binary(Binary::silu_multiply, gate(m[3]), y) : y);
}

std::string Rwkv5::text(const Options& o) {
  return headrace::text("rwkv5(heads=", o.heads, o.gate ? "" : ", gate=off", o.by_channel ? "" : ", decay=head", ")");
}

}  // namespace headrace
