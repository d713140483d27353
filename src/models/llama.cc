// Llama and those that share its block: x += attn(norm(x)); x += swiglu(norm(x)).
// Touvron et al. 2023 (2302.13971); Mistral: sliding window (2310.06825); Qwen 2: biases on q, k, v (2407.10671);
// Qwen 3: norms on q and k (2505.09388); SmolLM 3: layers without rotary positions.
#include "mixers/attention.h"
#include "mixers/mlp.h"
#include "models/families.h"
#include "models/layer_types.h"
#include "models/rope.h"

namespace headrace {
namespace {

struct LlamaConfig {
  int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads;
  std::optional<int> num_key_value_heads, head_dim, sliding_window;
  int max_position_embeddings = 0, max_window_layers = 0;
  float rms_norm_eps = 1e-6f;
  std::optional<bool> tie_word_embeddings;
  bool attention_bias = false, mlp_bias = false, use_sliding_window = false;
  std::string hidden_act = "silu", model_type;
  std::vector<int> no_rope_layers;
  void visit(auto& v) {
    v("model_type", model_type), v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("intermediate_size", intermediate_size);
    v("num_hidden_layers", num_hidden_layers), v("num_attention_heads", num_attention_heads);
    v.optional("num_key_value_heads", num_key_value_heads), v.optional("head_dim", head_dim), v.optional("sliding_window", sliding_window);
    v.optional("max_position_embeddings", max_position_embeddings), v.optional("max_window_layers", max_window_layers);
    v.optional("rms_norm_eps", rms_norm_eps), v.optional("tie_word_embeddings", tie_word_embeddings);
    v.optional("attention_bias", attention_bias), v.optional("mlp_bias", mlp_bias), v.optional("use_sliding_window", use_sliding_window);
    v.optional("hidden_act", hidden_act), v.optional("no_rope_layers", no_rope_layers);
  }
};

}  // namespace

Model llama(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<LlamaConfig>(config, file);
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "num_attention_heads", c.num_attention_heads, 65536);
  check_size(file, "hidden_size", c.hidden_size), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "intermediate_size", c.intermediate_size);
  const bool qwen2 = c.model_type == "qwen2", qwen3 = c.model_type == "qwen3";
  const int D = c.hidden_size, heads = c.num_attention_heads, head_dim = c.head_dim.value_or(D / heads);
  const int kv_heads = c.num_key_value_heads.value_or(heads);
  AttentionMixer::check(file, heads, kv_heads, head_dim);
  if (c.sliding_window) check_size(file, "sliding_window", *c.sliding_window, int64_t{1} << 30);
  Scope s = root / "model";
  Model m;
  m.context = rope_context(config, c.max_position_embeddings, file);
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = D;
  d.embed = s.matrix("embed_tokens.weight", {c.vocab_size, D});
  Rope rope = read_rope(config, head_dim, file);
  const auto listed = read_layer_types(config, c.num_hidden_layers, c.sliding_window.has_value(), file);
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    Scope b = s / "layers" / l;
    AttentionMixer::Options o{.width = D, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .rope = rope,
                              .qkv_bias = c.attention_bias || qwen2, .out_bias = c.attention_bias && !qwen2, .qk_norm = qwen3,
                              .norm_eps = c.rms_norm_eps};
    bool windowed = c.sliding_window.has_value();
    if (listed) windowed = (*listed)[static_cast<size_t>(l)];
    else if (qwen2 || qwen3) windowed = windowed && c.use_sliding_window && l >= c.max_window_layers;
    if (windowed) o.attend.window = *c.sliding_window;
    if (l < static_cast<int>(c.no_rope_layers.size()) && c.no_rope_layers[l] == 0) o.rope = {};
    Layer attend = residual(blueprint_text<AttentionMixer>(o), Norm::rms(b / "input_layernorm", D, c.rms_norm_eps),
                            sublayer(AttentionMixer::bind(b / "self_attn", o)));
    Scope f = b / "mlp";
    GatedMlp mlp{Linear::bind(f / "gate_proj", D, c.intermediate_size, c.mlp_bias), Linear::bind(f / "up_proj", D, c.intermediate_size, c.mlp_bias),
                 Linear::bind(f / "down_proj", c.intermediate_size, D, c.mlp_bias), gate_from_name(c.hidden_act, file)};
    d.layers.push_back(std::move(attend)
        + residual(gated_text(D, c.intermediate_size, c.mlp_bias, mlp.activation),
                   Norm::rms(b / "post_attention_layernorm", D, c.rms_norm_eps), sublayer(std::move(mlp))));
  }
  d.norm = Norm::rms(s / "norm", D, c.rms_norm_eps);
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings.value_or(c.model_type == "smollm3"), d.embed);
  return m;
}

}  // namespace headrace
