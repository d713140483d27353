// The feed-forward nets of blueprints (papers, equations: mlp.h), and their texts, which models of checkpoints print too.
#include "mixers/mlp.h"

namespace headrace {
namespace {

GatedMlp gated(const Scope& s, int width, int hidden, bool bias, Gate act, int layers) {
  return {Linear::bind(s / "gate_proj", width, hidden, bias), Linear::bind(s / "up_proj", width, hidden, bias),
          Linear::bind(s / "down_proj", hidden, width, bias, Init::output(layers)), act};
}
Mlp plain(const Scope& s, int width, int hidden, bool bias, Unary act, int layers) {
  return {Linear::bind(s / "up_proj", width, hidden, bias), Linear::bind(s / "down_proj", hidden, width, bias, Init::output(layers)), act};
}

}  // namespace

const MixerDoc SwiGlu::doc{
    "swiglu", "channels", "gated feed-forward layer, SiLU", "Shazeer 2020 (2002.05202)", "y = W_down(silu(W_gate x) * W_up x)",
    "W_gate, W_up [F, d], W_down [d, F]", "none", "O(d F)", "O(T d F)", "mixers/mlp.h"};
const MixerDoc GeGlu::doc{
    "geglu", "channels", "gated feed-forward layer, GELU", "Shazeer 2020 (2002.05202)", "y = W_down(gelu(W_gate x) * W_up x)",
    "W_gate, W_up [F, d], W_down [d, F]", "none", "O(d F)", "O(T d F)", "mixers/mlp.h"};
const MixerDoc Glu::doc{
    "glu", "channels", "gated feed-forward layer without activation", "Qin et al. 2023 (2307.14995)", "y = l3(l1 x * l2 x)",
    "l1, l2 [F, d], l3 [d, F]", "none", "O(d F)", "O(T d F)", "mixers/mlp.h"};
const MixerDoc PlainMlp::doc{
    "mlp", "channels", "feed-forward layer", "Vaswani et al. 2017 (1706.03762), section 3.3", "y = W_down act(W_up x)",
    "W_up [F, d], W_down [d, F], biases", "none", "O(d F)", "O(T d F)", "mixers/mlp.h"};
const MixerDoc Relu2::doc{
    "relu2", "channels", "feed-forward layer, squared ReLU", "So et al. 2021 (2109.08668)", "y = W_down relu(W_up x)^2",
    "W_up [F, d], W_down [d, F]", "none", "O(d F)", "O(T d F)", "mixers/mlp.h"};

std::string gated_text(int width, int hidden, bool bias, Gate act) {
  if (act == Gate::silu) return blueprint_text<SwiGlu>({{width, hidden, bias}});
  return blueprint_text<GeGlu>({{width, hidden, bias}, act == Gate::gelu_erf ? "erf" : "tanh"});
}

GatedMlp SwiGlu::bind(const Scope& s, const Options& o) { return gated(s, o.width, o.hidden, o.bias, Gate::silu, o.layers); }
GatedMlp GeGlu::bind(const Scope& s, const Options& o) {
  return gated(s, o.width, o.hidden, o.bias, o.act == "erf" ? Gate::gelu_erf : Gate::gelu_tanh, o.layers);
}
Glu Glu::bind(const Scope& s, const Options& o) {
  return {Linear::bind(s / "l1", o.width, o.hidden, o.bias), Linear::bind(s / "l2", o.width, o.hidden, o.bias),
          Linear::bind(s / "l3", o.hidden, o.width, o.bias)};
}
Tensor Glu::operator()(const Tensor& x) const {
  const auto h = linear(x, {{one.weight, one.bias}, {two.weight, two.bias}});
  return down(h[0] * h[1]);
}
Mlp PlainMlp::bind(const Scope& s, const Options& o) {
  const Unary act = o.act == "relu" ? Unary::relu : o.act == "silu" ? Unary::silu : o.act == "gelu_erf" ? Unary::gelu_erf : Unary::gelu_tanh;
  return plain(s, o.width, o.hidden, o.bias, act, o.layers);
}
Mlp Relu2::bind(const Scope& s, const Options& o) { return plain(s, o.width, o.hidden, o.bias, Unary::relu_squared, o.layers); }

}  // namespace headrace
