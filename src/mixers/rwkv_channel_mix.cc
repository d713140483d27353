// RWKV's channel mix (Peng et al. 2023, 2305.13048; equations: rwkv_channel_mix.h): versions differ in what their mixes are called and begin as.
#include "mixers/rwkv_channel_mix.h"

#include <cmath>

namespace headrace {

const MixerDoc RwkvChannelMix::doc{
    "rwkv_channel_mix", "channels", "RWKV's feed-forward layer", "Peng et al. 2023 (2305.13048), equations 16 to 18",
    "x_j = x + (x_before - x) mu_j;   y = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2      RWKV-7: without the receptance",
    "W_k [F, d], W_v [d, F], W_r [d, d]", "d", "O(d F)", "O(T d F)", "mixers/rwkv_channel_mix.h"};

RwkvChannelMix RwkvChannelMix::bind(const Scope& s, Options o) {
  const RwkvDepth& d = o.depth;
  const double p = d.shallow(), bound = 0.5 / std::sqrt(static_cast<double>(o.width));
  RwkvChannelMix m{.shift = o.version == 7   ? TokenMix::bind(s, {{"x_k", d.rest(p * p * p * p)}}, o.width)
                            : o.version == 6 ? TokenMix::bind(s, {{"time_maa_k", d.rest(p * p * p)}, {"time_maa_r", d.rest(p * p * p)}}, o.width)
                                             : TokenMix::bind(s, {{"time_mix_k", d.power(p)}, {"time_mix_r", d.power(p)}}, o.width, true),
                   .key = Linear::bind(s / "key", o.width, o.hidden, false, o.version == 7 ? Init::uniform(-bound, bound) : Init::orthogonal()),
                   .value = Linear::bind(s / "value", o.hidden, o.width, false, Init::zeros())};
  if (o.version != 7) m.receptance = Linear::bind(s / "receptance", o.width, o.width, false, Init::zeros());
  return m;
}

Tensor RwkvChannelMix::operator()(const Tensor& x, Pass p) const {
  Tensor m = shift(x, p.slot("ffn_shift"));
  if (!receptance.weight) return value(relu_squared(key(m[0])));
  const Tensor xk = m[0], xr = m[1];
  const auto kr = linear({key.of(xk), receptance.of(xr)});
  return binary(Binary::sigmoid_multiply, kr[1], value(relu_squared(kr[0])));
}

}  // namespace headrace
