// Convolutions.
#include <algorithm>

#include "run/op_call.h"

namespace headrace::op {
namespace {

void causal_conv1d(Call& c) {
  Tensor w = c.raw("weight"), taps = copy_to(w.view({w.dim(0), w.dim(-1)}), c.device), bias = c.weight("bias");
  auto convolve = [&](bool silu) {
    return c.over_time({c.timed("x")}, [&](const std::vector<Tensor>& x, const Slot& slot) { return short_conv(x[0], taps, bias, silu, slot); },
                       c.has("init") ? c.raw("init") : Tensor{});
  };
  c.give("o", convolve(true));
  c.give("no_act", convolve(false));
}

const Entry table[] = {
    {{"causal_conv1d", "x [B,T,C]; weight [C,1,taps]; (bias [C]; init [B,taps-1,C])", "", "o [B,T,C]; no_act [B,T,C]",
      "depthwise, the last tap meets the newest token; o with SiLU"}, causal_conv1d},
};

}  // namespace

std::span<const Entry> conv_entries() { return table; }

}  // namespace headrace::op
