// short_conv: y_t = sum_j w_j x_{t-taps+1+j} + b by channel, silu where asked; without weights the token before (docs/math/short_conv.md).
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
  const ShortConvArgs args{.x = rows_of(x), .y = rows_of(y), .weight = values(weight), .bias = values(bias), .taps = static_cast<int>(taps),
                           .silu = silu, .sequences = slot.sequences, .states = s.data()};
  run<&Kernels::short_conv>("short_conv", x.device(), args);
  if (!Tape::current()) return y;
  const Tensors inputs = joined({x, weight, bias}, s.before);
  if (Tape* t = recording(inputs))
    t->record(joined({y}, s.after), inputs, [=, offsets = std::vector(slot.sequences.offsets.begin(), slot.sequences.offsets.end()),
                                wants_w = t->tracks(weight), wants_b = t->tracks(bias)](const Tensors& dy) {
      const size_t states = dy.size() - 1;
      const Shape kept{taps - 1, C};
      auto zeros = [&](const Shape& shape) { return Tensor::zeros(shape, DType::f32, x.device()); };
      Tensors d(inputs.size());
      d[0] = like(x);
      if (wants_w) d[1] = zeros(weight.shape());
      if (wants_b) d[2] = zeros(bias.shape());
      Tensors first, last;
      std::vector<float*> before, after, d_before;
      for (size_t i = 0; i < states; ++i) {
        first.push_back(inputs[3 + i] ? inputs[3 + i] : zeros(kept)), last.push_back(dy[1 + i] ? dy[1 + i].contiguous_or_copy() : zeros(kept));
        before.push_back(first[i].f32()), after.push_back(last[i].f32());
        d_before.push_back((d[3 + i] = zeros(kept)).f32());
      }
      const Tensor dy0 = dy[0] ? dy[0] : zeros(x.shape());
      ShortConvBackward b{.forward = args, .dy = rows_of(dy0), .dx = rows_of(d[0]), .dweight = wants_w ? d[1].f32() : nullptr,
                          .dbias = wants_b ? d[2].f32() : nullptr, .d_after = states ? after.data() : nullptr,
                          .d_before = states ? d_before.data() : nullptr};
      b.forward.sequences = {offsets}, b.forward.states = states ? before.data() : nullptr;
      run<&Kernels::short_conv_backward>("short_conv_backward", x.device(), b);
      return d;
    });
  return y;
}

Tensor token_shift(const Tensor& x, const Slot& slot) { return short_conv(x, {}, {}, false, slot); }

}  // namespace headrace
