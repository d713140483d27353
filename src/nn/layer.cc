// How sublayers are joined, and their texts with them: a layer is a function and the blueprint that it would be read from.
#include "nn/layer.h"

#include "base/error.h"

namespace headrace {

Gate gate_from_name(const std::string& a, const std::string& file) {
  if (a == "silu" || a == "swish") return Gate::silu;
  if (a == "gelu_pytorch_tanh" || a == "gelu_new" || a == "gelu_tanh") return Gate::gelu_tanh;
  if (a == "gelu") return Gate::gelu_erf;
  fail(file, ": hidden_act = '", a, "'; known: silu, gelu, gelu_pytorch_tanh");
}

Tensor GatedMlp::operator()(const Tensor& x) const {
  auto h = linear(x, {{gate.weight, gate.bias}, {up.weight, up.bias}});
  Binary f = activation == Gate::silu ? Binary::silu_multiply : activation == Gate::gelu_tanh ? Binary::gelu_tanh_multiply
      : Binary::gelu_erf_multiply;
  return down(binary(f, h[0], h[1]));
}

Layer operator+(Layer first, Layer then) {
  return {first.text + " + " + then.text, [f = std::move(first.run), g = std::move(then.run)](const Tensor& x, Pass p) { return g(f(x, p), p); }};
}

Layer residual(std::string text, Norm pre, Sublayer f, Norm post) {
  return {std::move(text), [pre = std::move(pre), f = std::move(f), post = std::move(post)](const Tensor& x, Pass p) {
            Tensor y = f(pre ? pre(x) : x, p);
            return x + p.dropped(post ? post(y) : y);
          }};
}

}  // namespace headrace
