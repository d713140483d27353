// GPT-2 (Radford et al. 2019): learned positions, layer norms with biases, attention without rotary positions, a plain MLP.
// Its Hugging Face files hold matrices as [in,out] ("Conv1D"), with or without the prefix `transformer.`; GGUF files as
// [out,in], which c_attn's shape tells.
#include <cmath>

#include "mixers/attention.h"
#include "mixers/mlp.h"
#include "models/families.h"

namespace headrace {
namespace {

struct Gpt2Config {
  int vocab_size, n_embd, n_layer, n_head, n_positions;
  std::optional<int> n_inner;
  float layer_norm_epsilon = 1e-5f;
  bool scale_attn_weights = true, scale_attn_by_inverse_layer_idx = false, tie_word_embeddings = true;
  std::string activation_function = "gelu_new";
  void visit(auto& v) {
    v("vocab_size", vocab_size), v("n_embd", n_embd), v("n_layer", n_layer), v("n_head", n_head), v("n_positions", n_positions);
    v.optional("n_inner", n_inner), v.optional("layer_norm_epsilon", layer_norm_epsilon);
    v.optional("scale_attn_weights", scale_attn_weights), v.optional("scale_attn_by_inverse_layer_idx", scale_attn_by_inverse_layer_idx);
    v.optional("tie_word_embeddings", tie_word_embeddings), v.optional("activation_function", activation_function);
  }
};

Unary activation(const std::string& name, const std::string& file) {
  if (name == "relu") return Unary::relu;
  switch (gate_from_name(name, file)) {
    case Gate::silu: return Unary::silu;
    case Gate::gelu_tanh: return Unary::gelu_tanh;
    case Gate::gelu_erf: return Unary::gelu_erf;
  }
  return Unary::gelu_tanh;
}

const char* mlp_act(Unary f) {                       // in a blueprint
  return f == Unary::relu ? "relu" : f == Unary::silu ? "silu" : f == Unary::gelu_erf ? "gelu_erf" : "gelu";
}

}  // namespace

Model gpt2(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<Gpt2Config>(config, file);
  check_size(file, "n_layer", c.n_layer, 4096), check_size(file, "n_positions", c.n_positions);
  check_size(file, "n_embd", c.n_embd, 1 << 22), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "n_head", c.n_head, c.n_embd);
  const int D = c.n_embd, inner = c.n_inner.value_or(4 * D), head_dim = D / c.n_head;
  check_size(file, "n_inner", inner);
  expect(D % c.n_head == 0, file, ": n_embd = ", D, " is no multiple of n_head = ", c.n_head);

  Scope s = root.has("transformer.wte.weight") || root.has("transformer.wpe.weight") ? root / "transformer" : root;
  const Scope first = s / "h" / 0 / "attn";
  const bool in_out = !first.has("c_attn.weight") || first.dim("c_attn.weight", 0) == D;
  auto part = [&](const Scope& at, int64_t rows, int64_t begin, const Shape& shape) {   // rows [begin, ...) of a [rows,in] matrix
    return in_out ? at.transposed("weight", rows, begin, shape) : at.part("weight", rows, begin, shape);
  };
  auto map = [&](const Scope& at, int64_t in, int64_t out) { return Linear{part(at, out, 0, {out, in}), at("bias", {out})}; };
  root.source().ignore = [](const std::string& name) { return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"); };   // masks

  Model m;
  m.context = c.n_positions;
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = D;
  d.embed = s.matrix("wte.weight", {c.vocab_size, D});
  d.positions = s.matrix("wpe.weight", {c.n_positions, D});
  for (int l = 0; l < c.n_layer; ++l) {
    Scope b = s / "h" / l, qkv = b / "attn" / "c_attn";
    AttentionMixer::Options o{.width = D, .heads = c.n_head, .kv_heads = c.n_head, .head_dim = head_dim, .qkv_bias = true, .out_bias = true};
    if (!c.scale_attn_weights || c.scale_attn_by_inverse_layer_idx)
      o.attend.scale = (c.scale_attn_weights ? 1 / std::sqrt(static_cast<float>(head_dim)) : 1) /
                       static_cast<float>(c.scale_attn_by_inverse_layer_idx ? l + 1 : 1);
    const Tensor bias = qkv("bias", {3 * D});
    auto third = [&](int i) { return Linear{part(qkv, 3 * D, i * D, {D, D}), bias.slice(0, i * D, D)}; };
    AttentionMixer attend{.o = o, .q = third(0), .k = third(1), .v = third(2), .out = map(b / "attn" / "c_proj", D, D)};
    Mlp mlp{map(b / "mlp" / "c_fc", D, inner), map(b / "mlp" / "c_proj", inner, D), activation(c.activation_function, file)};
    d.layers.push_back(residual(blueprint_text<AttentionMixer>(o), Norm::layer(b / "ln_1", D, c.layer_norm_epsilon), sublayer(std::move(attend))) +
                       residual(blueprint_text<PlainMlp>({{D, inner, true}, mlp_act(mlp.activation)}),
                                Norm::layer(b / "ln_2", D, c.layer_norm_epsilon), sublayer(std::move(mlp))));
  }
  d.norm = Norm::layer(s / "ln_f", D, c.layer_norm_epsilon);
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings, d.embed);
  return m;
}

}  // namespace headrace
