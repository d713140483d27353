// sLSTM (Beck et al. 2024, 2405.04517; equations: slstm.h): gates that the convolution feeds and gates that it does not, in cell_scan's order.
#include "mixers/slstm.h"

#include "ops/sequence.h"

namespace headrace {

const MixerDoc Slstm::doc{
    "slstm", "recurrence", "sLSTM, scalar memory with exponential gates (xLSTM)", "Beck et al. 2024 (2405.04517)",
    "c = silu(conv(x)),  [i; f; z; o] = W [c; c; x; x] + R h_{t-1} + b\nm_t = max(i, m_{t-1} + log sigmoid(f)),  i' = e^(i - m_t),  "
    "f' = e^(m_{t-1} + log sigmoid(f) - m_t)\nc_t = f' c_{t-1} + i' tanh(z),  n_t = f' n_{t-1} + i',  h_t = sigmoid(o) c_t / n_t,  y = norm(h)",
    "gates [heads, d/heads, d/heads] four times, R [4 d, d/heads], b [4 d], conv [d, taps], norm [d]", "(3 + taps) d", "O(d^2 / heads)",
    "O(T d^2 / heads), token after token", "mixers/slstm.h"};

Slstm Slstm::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, H = o.heads, P = D / H;
  const Init small = Init::normal(std::sqrt(0.4 / static_cast<double>(D)));
  // Forget biases from 5 down to -7 over the channels of a head, bent more in later layers.
  const double power = 0.3 + 1.3 * (o.layers > 1 ? static_cast<double>(o.layer) / (o.layers - 1) : 0);
  const Init bias = Init::by_element([=](int64_t i) {
    if (i / D != 1) return 0.0;
    return 5 - 12 * std::pow(static_cast<double>(i % P) / static_cast<double>(std::max<int64_t>(P - 1, 1)), power);
  });
  Slstm m{.o = o,
          .i = s("igate.weight", {H, P, P}, small),
          .f = s("fgate.weight", {H, P, P}, small),
          .z = s("zgate.weight", {H, P, P}, small),
          .out = s("ogate.weight", {H, P, P}, small),
          .recurrent = s("recurrent_kernel", {4 * D, P}, Init::zeros()),
          .bias = s("bias", {4 * D}, bias)};
  const Scope c = s / "conv1d";
  if (o.taps > 0) m.conv = c("weight", {D, o.taps}, Init::fan_in()), m.conv_bias = c("bias", {D}, Init::conv_bias(o.taps));
  m.norm = {.kind = NormKind::layer, .weight = s("group_norm.weight", {D}, Init::ones()), .eps = o.norm_eps, .groups = o.heads};
  return m;
}

Tensor Slstm::operator()(const Tensor& x, Pass p) const {
  const Tensor c = o.taps > 0 ? short_conv(x, conv, conv_bias, true, p.slot("conv")) : x;
  const Tensor gates = concat({block_linear(c, i, {}), block_linear(c, f, {}), block_linear(x, z, {}), block_linear(x, out, {})});
  return norm(slstm_scan(gates, recurrent, bias, p.slot("slstm")));
}

}  // namespace headrace
