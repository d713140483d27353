// mLSTM's layers (Beck et al. 2024, 2405.04517; equations: mlstm.h): the block with up-projection and convolution, and the one of
// xLSTM Large. Gates go to the primitive as logs.
#include "mixers/mlstm.h"

#include <cmath>
#include <vector>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

Init ramp() { return Init::linspace(3, 6).no_decay(); }  // forget biases over the heads
Init small(int width) { return Init::normal(std::sqrt(0.4 / width)); }
Init output(int width, int layers) { return Init::normal(2 / (layers * std::sqrt(static_cast<double>(width)))); }

// Blocks [n,out,in], as published, as block_linear has them: [n,in,out].
Tensor turned(const Tensor& w) {
  const int64_t n = w.dim(0), out = w.dim(1), in = w.dim(2);
  std::vector<int64_t> order;
  for (int64_t i = 0; i < in; ++i)
    for (int64_t o = 0; o < out; ++o) order.push_back(o * in + i);
  return transposed(take_rows(transposed(w.view({n, out * in})), order)).view({n, in, out});
}

}  // namespace

const MixerDoc MlstmBlock::doc{
    "mlstm", "linear attention", "mLSTM, matrix memory with exponential gates (xLSTM)", "Beck et al. 2024 (2405.04517)",
    "[a; z] = W_up x,  c = silu(conv(a)),  q, k = blocks of c,  v = blocks of a,  [i; f] = W [q; k; v] + b\n"
    "m_t = max(log s(f) + m_{t-1}, i)\nS_t = e^(log s(f) + m_{t-1} - m_t) S_{t-1} + e^(i - m_t) k v^T,  n_t alike\n"
    "h = S^T q / (max(|n.q|, e^-m) + 1e-6), q times P^(-1/2);  y = W_down ((norm(h) (1 + w) + skip c) silu(z))",
    "W_up [2 E, d], W_down [d, E], q, k, v [E/4, 4, 4], gates [H, 3 E], b [H], conv [E, taps], skip, norm [E]", "E^2 / H + E + H + (taps - 1) E",
    "O(d E + E^2 / H)", "O(T (d E + E^2 / H))", "mixers/mlstm.h"};
const MixerDoc MlstmLarge::doc{
    "mlstm_large", "linear attention", "mLSTM as in xLSTM 7B", "Beck et al. 2025 (2503.13427)",
    "q, k, v = W x;  i, f = 15 tanh((W x + b) / 15)\nm_t, S_t, n_t, h as in mlstm\ny = W_out (norm(h) w sigmoid(W_o x))",
    "W_q, W_k [H K, d], W_v, W_o [H V, d], gates [H, d], b [H], W_out [d, H V], norm [H V]", "H (K V + K + 1)", "O(d H V + H K V)",
    "O(T (d H V + H K V))", "mixers/mlstm.h"};

MlstmBlock MlstmBlock::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, E = o.inner, H = o.heads, P = o.block;
  const Scope c = s / "conv1d" / "conv", cell = s / "mlstm_cell";
  const auto blocks = [&](const char* name) { return turned((s / name)("weight", {E / P, P, P}, small(o.width))); };
  MlstmBlock m{.o = o,
          .up = Linear::bind(s / "proj_up", D, 2 * E, false, small(o.width)),
          .down = Linear::bind(s / "proj_down", E, D, false, output(o.width, o.layers)),
          .conv = c("weight", {E, o.taps}, Init::fan_in()),
          .conv_bias = c("bias", {E}, Init::conv_bias(o.taps)),
          .q = blocks("q_proj"),
          .k = blocks("k_proj"),
          .v = blocks("v_proj"),
          .input = Linear::bind(cell / "igate", 3 * E, H, true, Init::zeros(), Init::normal(0.1)),
          .forget = Linear::bind(cell / "fgate", 3 * E, H, true, Init::zeros(), ramp()),
          .skip = s("learnable_skip", {E}, Init::ones())};
  const Tensor w = (cell / "outnorm")("weight", {E}, Init::zeros().no_decay());
  m.norm = {.kind = NormKind::layer, .weight = w + exp(Tensor::zeros({E}, DType::f32, w.device())), .eps = o.norm_eps, .groups = o.heads};
  return m;
}

Tensor MlstmBlock::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), E = o.inner, H = o.heads;
  const Tensor az = up(x), a = az.slice(-1, 0, E), c = short_conv(a, conv, conv_bias, true, p.slot("conv"));
  const Tensor qc = block_linear(c, q, {}), kc = block_linear(c, k, {}), va = block_linear(a, v, {}), all = concat({qc, kc, va});
  const auto gates = linear(all, {{input.weight, input.bias}, {forget.weight, forget.bias}});
  const auto heads = [&](const Tensor& t) { return t.view({N, H, E / H}); };
  const Tensor h = mlstm({.q = heads(qc), .k = heads(kc), .v = heads(va), .input = gates[0], .log_forget = log_sigmoid(gates[1]),
                          .scale = 1 / std::sqrt(static_cast<float>(E / H))}, p.slot("memory"), p.slot("maximum"));
  return down(binary(Binary::silu_multiply, az.slice(-1, E, E), norm(h.view({N, E})) + c * skip));
}

MlstmLarge MlstmLarge::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, H = o.heads, QK = H * o.key, A = H * o.value;
  return {.o = o,
          .q = Linear::bind(s / "q", D, QK, false, small(o.width)),
          .k = Linear::bind(s / "k", D, QK, false, small(o.width)),
          .v = Linear::bind(s / "v", D, A, false, small(o.width)),
          .output_gate = Linear::bind(s / "ogate_preact", D, A, false, small(o.width)),
          .input = Linear::bind(s / "igate_preact", D, H, true, Init::zeros(), Init::constant(-10).no_decay()),
          .forget = Linear::bind(s / "fgate_preact", D, H, true, Init::zeros(), ramp()),
          .out = Linear::bind(s / "out_proj", A, D, false, output(o.width, o.layers)),
          .norm = {.kind = NormKind::layer, .weight = s("multihead_norm.weight", {A}, Init::ones()), .eps = o.norm_eps, .groups = o.heads}};
}

Tensor MlstmLarge::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads;
  const auto y = linear(x, {{q.weight, {}}, {k.weight, {}}, {v.weight, {}}, {output_gate.weight, {}}, {input.weight, input.bias},
                            {forget.weight, forget.bias}});
  const auto heads = [&](const Tensor& t) { return t.view({N, H, t.dim(1) / H}); };
  const Tensor h = mlstm({.q = heads(y[0]), .k = heads(y[1]), .v = heads(y[2]), .input = softcap(y[4], o.gate_cap),
                          .log_forget = log_sigmoid(softcap(y[5], o.gate_cap)), .scale = 1 / std::sqrt(static_cast<float>(o.key))},
                         p.slot("memory"), p.slot("maximum"));
  return out(binary(Binary::sigmoid_multiply, y[3], norm(h.view({N, H * o.value}))));
}

}  // namespace headrace
