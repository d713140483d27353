// RG-LRU (De et al. 2024, 2402.19427; equations: rg_lru.h). The first token of a sequence is admitted whole: its gain is 1.
// transformers cuts the slope of the gain's root, 1 / (2 gain), at 1000; here it is the root's own.
#include "mixers/rg_lru.h"

#include <cmath>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc RgLru::doc{
    "rg_lru", "recurrence", "real-gated linear recurrent unit (Griffin, Hawk)", "De et al. 2024 (2402.19427); Botev et al. 2024 (2404.07839)",
    "x = conv(W_x u);  i = sigmoid(W_i x + b_i),  r = sigmoid(W_r x + b_r)\nlog a = -8 r softplus(lambda),  h_t = a h_{t-1} + sqrt(1 - a^2) i x\n"
    "out = W_out (h gelu(W_y u))",
    "W_x, W_y [L, d], conv [L, taps], gates [heads, L/heads, L/heads] twice, lambda [L], W_out [d, L]",
    "taps L", "O(d L + L^2 / heads)", "O(T (d L + L^2 / heads))", "mixers/rg_lru.h"};

RgLru RgLru::bind(const Scope& s, Options o) {
  // Matrices keep the variance of their input; lambda puts exp(-softplus(lambda)) at a radius of 0.9 to 0.999.
  auto keeping = [](double variance, int64_t in) { return Init::normal(std::sqrt(variance / static_cast<double>(in))); };
  const Init radius = Init::uniform(0.81, 0.998001), gate_bias = Init::zeros().no_decay();
  const Init lambda = radius.map("softplus^-1(-log(.) / 2)", [](double u) { return std::log(std::expm1(-0.5 * std::log(u))); });
  const int64_t D = o.width, L = o.lru, H = o.heads, block = L / H;
  Scope c = s / "conv_1d", g = s / "rg_lru";
  return {.o = o,
          .in_x = Linear::bind(s / "linear_x", D, L, true, keeping(1, D)),
          .in_y = Linear::bind(s / "linear_y", D, L, true, keeping(1, D)),
          .out = Linear::bind(s / "linear_out", L, D, true, keeping(2.0 / o.layers, L)),
          .conv = c("weight", {L, o.taps}, keeping(0.01, o.taps)),
          .conv_bias = c("bias", {L}),
          .rate = -8.f * softplus(g("recurrent_param", {L}, lambda.no_decay())),
          .admit = {g("input_gate_weight", {H, block, block}, keeping(1, block)), g("input_gate_bias", {H, block}, gate_bias)},
          .forget = {g("recurrent_gate_weight", {H, block, block}, keeping(1, block)), g("recurrent_gate_bias", {H, block}, gate_bias)}};
}

Tensor RgLru::operator()(const Tensor& u, Pass p) const {
  auto xy = linear(u, {{in_x.weight, in_x.bias}, {in_y.weight, in_y.bias}});                     // [N,L] both
  Tensor x = short_conv(xy[0], conv, conv_bias, false, p.slot("conv"));
  Tensor log_a = binary(Binary::sigmoid_multiply, forget(x), rate);
  Tensor gain = where_starts(p.positions(), 1.f, sqrt_one_minus_exp(log_a, 2));
  Tensor h = diag_scan(log_a, binary(Binary::sigmoid_multiply, admit(x), x) * gain, p.slot("lru"));
  return out(binary(Binary::gelu_tanh_multiply, xy[1], h));
}

}  // namespace headrace
