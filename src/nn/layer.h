// Building blocks that know nothing of time: linear maps, norms, feed-forward nets, and how sublayers are joined.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "nn/scope.h"
#include "nn/state.h"
#include "ops/ops.h"

namespace headrace {

struct Linear {
  Tensor weight, bias;
  static Linear bind(const Scope& s, int64_t in, int64_t out, bool with_bias = false, const Init& init = {}, const Init& bias_init = {}) {
    return {s.matrix("weight", {out, in}, init), with_bias ? s("bias", {out}, bias_init) : Tensor{}};
  }
  Tensor operator()(const Tensor& x) const { return linear(x, weight, bias); }
  Product of(const Tensor& x) const { return {x, weight, bias}; }   // for `linear` of several at once
};

struct Norm {
  NormKind kind = NormKind::rms;
  Tensor weight, bias;
  float eps = 1e-5f, offset = 0;         // offset 1: Gemma's (1 + w)
  int groups = 1;
  bool plain = false;                    // x / rms(x), without weights
  static Norm rms(const Scope& s, int64_t width, float eps, float offset = 0, const std::string& name = "weight") {
    return {NormKind::rms, s(name, {width}, Init::constant(1 - offset)), {}, eps, offset, 1};
  }
  static Norm layer(const Scope& s, int64_t width, float eps, int groups = 1) {
    return {NormKind::layer, s("weight", {width}, Init::ones()), s("bias", {width}), eps, 0, groups};
  }
  static Norm simple(float eps) { return {.eps = eps, .plain = true}; }   // SimpleRMSNorm: Qin et al. 2023 (2307.14995)
  explicit operator bool() const { return weight || plain; }              // false: there is none
  Tensor operator()(const Tensor& x) const {
    return kind == NormKind::rms ? rms_norm(x, weight, {eps, offset, groups}) : layer_norm(x, weight, bias, eps, groups);
  }
};

enum class Gate { silu, gelu_tanh, gelu_erf };
Gate gate_from_name(const std::string& activation, const std::string& file);   // Hugging Face's hidden_act
// down(act(gate x) * up x). Shazeer 2020 (SwiGLU, GeGLU).
struct GatedMlp {
  Linear gate, up, down;
  Gate activation = Gate::silu;
  Tensor operator()(const Tensor& x) const;
};
// down(act(up x)): GPT-2's.
struct Mlp {
  Linear up, down;
  Unary activation = Unary::gelu_tanh;
  Tensor operator()(const Tensor& x) const { return down(unary(activation, up(x))); }
};

using Sublayer = std::function<Tensor(const Tensor& x, Pass p)>;
struct Layer {
  std::string text;                      // in blueprint notation: "attn(heads=8) + swiglu"
  Sublayer run;                          // [N,D] -> [N,D], residuals included
};
Layer operator+(Layer first, Layer then);   // one after the other, as `+` in a blueprint
// x + post(f(pre(x))); an empty norm is left out.
Layer residual(std::string text, Norm pre, Sublayer f, Norm post = {});
// A mixer of any type becomes a sublayer; one that ignores time takes x alone.
template <class F>
Sublayer sublayer(F f) {
  if constexpr (std::is_invocable_v<F, const Tensor&, Pass>) return f;
  else return [f = std::move(f)](const Tensor& x, Pass) { return f(x); };
}

}  // namespace headrace
