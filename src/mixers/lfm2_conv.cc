// LFM2's convolution (Liquid AI 2025, 2511.23404; equations: lfm2_conv.h): three slices of one product around short_conv.
#include "mixers/lfm2_conv.h"

#include "ops/sequence.h"

namespace headrace {

const MixerDoc Lfm2Conv::doc{
    "lfm2_conv", "convolution", "short convolution between two gates (LFM2)", "Liquid AI 2025 (2511.23404)",
    "[b; c; x] = W_in u\nout = W_out (c conv(b x))", "W_in [3 d, d], conv [d, taps], W_out [d, d]", "(taps - 1) d", "O(d^2)", "O(T d^2)",
    "mixers/lfm2_conv.h"};

Lfm2Conv Lfm2Conv::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width;
  const Scope c = s / "conv";
  return {.in = Linear::bind(s / "in_proj", D, 3 * D, o.bias),
          .out = Linear::bind(s / "out_proj", D, D, o.bias),
          .conv = c("weight", {D, o.taps}, Init::fan_in()),
          .conv_bias = o.bias ? c("bias", {D}) : Tensor{}};
}

Tensor Lfm2Conv::operator()(const Tensor& u, Pass p) const {
  const int64_t D = u.dim(1);
  const Tensor bcx = in(u), b = bcx.slice(1, 0, D), c = bcx.slice(1, D, D), x = bcx.slice(1, 2 * D, D);
  return out(c * short_conv(b * x, conv, conv_bias, false, p.slot("conv")));
}

}  // namespace headrace
