#include "mixers/rwkv_channel_mix.h"

namespace headrace {

RwkvChannelMix RwkvChannelMix::bind(const Scope& s, Options o) {
  RwkvChannelMix m{.shift = o.kind == Kind::plain  ? TokenMix::bind(s, {"x_k"}, o.width)
                            : o.kind == Kind::maa ? TokenMix::bind(s, {"time_maa_k", "time_maa_r"}, o.width)
                                                  : TokenMix::bind(s, {"time_mix_k", "time_mix_r"}, o.width, true),
                   .key = Linear::bind(s / "key", o.width, o.hidden),
                   .value = Linear::bind(s / "value", o.hidden, o.width)};
  if (o.kind != Kind::plain) m.receptance = Linear::bind(s / "receptance", o.width, o.width);
  return m;
}

Tensor RwkvChannelMix::operator()(const Tensor& x, Pass p) const {
  Tensor m = shift(x, p.slot("ffn_shift"));
  Tensor y = value(relu_squared(key(m[0])));
  return receptance.weight ? binary(Binary::sigmoid_multiply, receptance(m[1]), y) : y;
}

}  // namespace headrace
