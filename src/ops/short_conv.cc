#include "ops/sequence.h"

#include "ops/kernels/short_conv.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {

Tensor short_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, bool silu, const Slot& slot) {
  check_rows("short_conv", x, slot);
  const int64_t C = x.dim(-1), taps = weight ? weight.dim(-1) : 2;
  expect(!weight || (weight.count() == C * taps && taps >= 1), "short_conv: x ", x.shape(), " weight ", weight ? weight.shape() : Shape{});
  expect(!bias || bias.count() == C, "short_conv: x ", x.shape(), " bias ", bias ? bias.shape() : Shape{});
  States s = states(slot, {taps - 1, C}, x.device(), "short_conv");
  Tensor y = Tensor::empty(x.shape(), DType::f32, x.device());
  run<&Kernels::short_conv>("short_conv", x.device(),
      ShortConvArgs{.x = rows_of(x), .y = rows_of(y), .weight = weight ? weight.f32() : nullptr, .bias = bias ? bias.f32() : nullptr,
                    .taps = static_cast<int>(taps), .silu = silu, .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor token_shift(const Tensor& x, const Slot& slot) { return short_conv(x, {}, {}, false, slot); }

}  // namespace headrace
