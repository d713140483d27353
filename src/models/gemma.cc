// Gemma (2403.08295): Llama's block with one-plus-weight norms, GeGLU and scaled embeddings. Gemma 2 (2408.00118): norms after
// the sublayers too, soft caps, windows in every other layer. Gemma 3 (2503.19786): norms on q and k, two rotary bases.
#include <cmath>
#include <vector>

#include "mixers/attention.h"
#include "mixers/mlp.h"
#include "models/families.h"
#include "models/layer_types.h"
#include "models/rope.h"

namespace headrace {
namespace {

struct GemmaConfig {
  int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads;
  std::optional<int> num_key_value_heads, sliding_window, sliding_window_pattern;
  std::optional<float> query_pre_attn_scalar, attn_logit_softcapping, final_logit_softcapping;
  int head_dim = 256, max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  bool tie_word_embeddings = true, attention_bias = false, use_bidirectional_attention = false;
  std::string model_type, hidden_act = "gelu_pytorch_tanh", hidden_activation;
  void visit(auto& v) {
    v("model_type", model_type), v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("intermediate_size", intermediate_size);
    v("num_hidden_layers", num_hidden_layers), v("num_attention_heads", num_attention_heads);
    v.optional("num_key_value_heads", num_key_value_heads), v.optional("head_dim", head_dim);
    v.optional("max_position_embeddings", max_position_embeddings), v.optional("rms_norm_eps", rms_norm_eps);
    v.optional("sliding_window", sliding_window), v.optional("sliding_window_pattern", sliding_window_pattern);
    v.optional("query_pre_attn_scalar", query_pre_attn_scalar);
    v.optional("attn_logit_softcapping", attn_logit_softcapping), v.optional("final_logit_softcapping", final_logit_softcapping);
    v.optional("tie_word_embeddings", tie_word_embeddings);
    v.optional("attention_bias", attention_bias), v.optional("use_bidirectional_attention", use_bidirectional_attention);
    v.optional("hidden_act", hidden_act), v.optional("hidden_activation", hidden_activation);
  }
  bool is(const char* type) const { return model_type == type; }
  int kv_heads() const { return num_key_value_heads.value_or(num_attention_heads); }
};

void check(const GemmaConfig& c, const std::string& file) {
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "hidden_size", c.hidden_size), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "intermediate_size", c.intermediate_size);
  AttentionMixer::check(file, c.num_attention_heads, c.kv_heads(), c.head_dim);
  if (c.sliding_window) check_size(file, "sliding_window", *c.sliding_window, int64_t{1} << 30);
  check_size(file, "sliding_window_pattern", c.sliding_window_pattern.value_or(1));
  expect(!c.use_bidirectional_attention, file, ": use_bidirectional_attention: only causal models are supported");
  expect(!c.query_pre_attn_scalar || *c.query_pre_attn_scalar > 0, file, ": query_pre_attn_scalar = ", c.query_pre_attn_scalar.value_or(0));
}

// Which layers see a window: as listed, else all but every second (Gemma 2) or sixth (Gemma 3).
std::vector<bool> windowed(const Value& config, const GemmaConfig& c, const std::string& file) {
  if (auto listed = read_layer_types(config, c.num_hidden_layers, c.sliding_window || !c.is("gemma"), file)) return *listed;
  std::vector<bool> all;
  const int period = c.sliding_window_pattern.value_or(c.is("gemma2") ? 2 : 6);
  for (int l = 0; l < c.num_hidden_layers; ++l) all.push_back(!c.is("gemma") && (l + 1) % period != 0);
  return all;
}

// A soft cap: none where the file says null, the family's where it says nothing.
float cap(const Value& config, const GemmaConfig& c, const char* key, const std::optional<float>& stored, float otherwise) {
  const Object* o = config.get<Object>();
  return o && o->contains(key) ? stored.value_or(0) : c.is("gemma2") ? otherwise : 0;
}

// The two kinds of layers: those that see all, and those that see a window.
struct Kinds { AttentionMixer::Options wide, narrow; };
Kinds attention_of(const Value& config, const GemmaConfig& c, const std::string& file) {
  const bool first = c.is("gemma"), third = c.is("gemma3_text");
  AttentionMixer::Options wide{.width = c.hidden_size, .heads = c.num_attention_heads, .kv_heads = c.kv_heads(), .head_dim = c.head_dim,
                               .rope = third ? read_rope(config, c.head_dim, file, "full_attention", 1, 1e6) : read_rope(config, c.head_dim, file),
                               .qkv_bias = c.attention_bias, .out_bias = c.attention_bias, .qk_norm = third, .norm_eps = c.rms_norm_eps,
                               .norm_offset = 1};
  if (!first) wide.attend.scale = 1 / std::sqrt(c.query_pre_attn_scalar.value_or(256));
  if (c.is("gemma2")) wide.attend.cap = cap(config, c, "attn_logit_softcapping", c.attn_logit_softcapping, 50);   // 3 has the key, not the cap
  AttentionMixer::Options narrow = wide;
  narrow.attend.window = c.sliding_window.value_or(first ? 0 : 4096);
  if (third) narrow.rope = read_local_rope(config, c.head_dim, file);
  return {wide, narrow};
}

Norm norm(const Scope& s, const GemmaConfig& c, const char* name) { return Norm::rms(s / name, c.hidden_size, c.rms_norm_eps, 1); }

Layer layer(const Scope& b, const GemmaConfig& c, const AttentionMixer::Options& o, Gate gate) {
  const int D = c.hidden_size, F = c.intermediate_size;
  const Scope f = b / "mlp";
  GatedMlp mlp{Linear::bind(f / "gate_proj", D, F), Linear::bind(f / "up_proj", D, F), Linear::bind(f / "down_proj", F, D), gate};
  Sublayer attend = sublayer(AttentionMixer::bind(b / "self_attn", o));
  const std::string attention_text = blueprint_text<AttentionMixer>(o), mlp_text = gated_text(D, F, false, gate);
  if (c.is("gemma"))
    return residual(attention_text, norm(b, c, "input_layernorm"), std::move(attend)) +
           residual(mlp_text, norm(b, c, "post_attention_layernorm"), sublayer(std::move(mlp)));
  return residual(attention_text, norm(b, c, "input_layernorm"), std::move(attend), norm(b, c, "post_attention_layernorm")) +
         residual(mlp_text, norm(b, c, "pre_feedforward_layernorm"), sublayer(std::move(mlp)), norm(b, c, "post_feedforward_layernorm"));
}

}  // namespace

Model gemma(const Value& config, const Scope& root, const std::string& file) {
  const auto c = read_config<GemmaConfig>(config, file);
  check(c, file);
  // The first Gemma's files say "gelu" and mean the tanh approximation.
  const std::string& act = c.hidden_activation.empty() ? c.hidden_act : c.hidden_activation;
  const Gate gate = c.is("gemma") && act == "gelu" ? Gate::gelu_tanh : gate_from_name(act, file);
  const Kinds kinds = attention_of(config, c, file);

  Scope s = root / "model";
  Model m;
  m.context = rope_context(config, c.max_position_embeddings, file), m.post_norms = !c.is("gemma");
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = c.hidden_size;
  d.embed = s.matrix("embed_tokens.weight", {c.vocab_size, c.hidden_size});
  d.embed_scale = std::sqrt(static_cast<float>(c.hidden_size));   // activations are f32, so nothing rounds it
  const std::vector<bool> slides = windowed(config, c, file);
  for (int l = 0; l < c.num_hidden_layers; ++l)
    d.layers.push_back(layer(s / "layers" / l, c, slides[static_cast<size_t>(l)] ? kinds.narrow : kinds.wide, gate));
  d.norm = norm(s, c, "norm");
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings, d.embed);
  d.logit_cap = cap(config, c, "final_logit_softcapping", c.final_logit_softcapping, 30);
  return m;
}

}  // namespace headrace
