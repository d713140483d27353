// RWKV-4 (Peng et al. 2023, 2305.13048; equations: rwkv4.h): names are those of the author's checkpoints (models/rwkv_names.h).
#include "mixers/rwkv4.h"
#include "ops/sequence.h"

#include <cmath>

namespace headrace {

const MixerDoc Rwkv4::doc{
    "rwkv4", "recurrence", "RWKV-4 time mix", "Peng et al. 2023 (2305.13048)",
    "x_j = x mu_j + x_before (1 - mu_j);  r, k, v = W x_r, W x_k, W x_v;  w = -exp(time_decay)\n"
    "wkv_t = (sum_{s<t} e^((t-1-s) w + k_s) v_s + e^(u + k_t) v_t) / (the same without v);  y = W_o(sigmoid(r) wkv)",
    "W_r, W_k, W_v [A, d], W_o [d, A], time_decay, time_first [A], mu [3, d]", "3 A + d", "O(d A)", "O(T d A)", "mixers/rwkv4.h"};

Rwkv4 Rwkv4::bind(const Scope& s, Options o) {
  const RwkvDepth& d = o.depth;
  const Init first = Init::by_element([](int64_t i) { return std::log(0.3) + 0.5 * static_cast<double>((i + 1) % 3 - 1); });
  return {.shift = TokenMix::bind(s, {{"time_mix_k", d.power(d.shallow())}, {"time_mix_v", d.power(d.shallow(), 0.3 * d.deep())},
                                      {"time_mix_r", d.power(0.5 * d.shallow())}}, o.width, true),
          .key = Linear::bind(s / "key", o.width, o.inner, false, Init::orthogonal(0.1)),
          .value = Linear::bind(s / "value", o.width, o.inner, false, Init::orthogonal()),
          .receptance = Linear::bind(s / "receptance", o.width, o.inner, false, Init::orthogonal()),
          .output = Linear::bind(s / "output", o.inner, o.width, false, Init::zeros()),
          .w = unary(Unary::negate, exp(s("time_decay", {o.inner}, d.decay(-5, 8, o.inner)))),
          .u = s("time_first", {o.inner}, first.no_decay())};
}

Tensor Rwkv4::operator()(const Tensor& x, Pass p) const {
  Tensor m = shift(x, p.slot("shift"));
  const Tensor xk = m[0], xv = m[1], xr = m[2];
  const auto kvr = linear({key.of(xk), value.of(xv), receptance.of(xr)});
  return output(binary(Binary::sigmoid_multiply, kvr[2], rwkv4_scan(w, u, kvr[0], kvr[1], p.slot("wkv"))));
}

}  // namespace headrace
