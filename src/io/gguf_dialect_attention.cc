// The architectures of GGUF that attend: llama, smollm3, qwen2, qwen3, phi3, gemma, gemma2, gemma3, gpt2.
#include <cmath>

#include "base/error.h"
#include "io/gguf_dialect.h"

namespace headrace {
namespace {

// Gemma's norms hold 1 + w.
Tensor minus_one(const Tensor& stored, bool shapes_only) {
  if (shapes_only || stored.dtype() != DType::f32) return stored;   // another dtype is named as wrong by whoever asked
  Tensor t = stored.contiguous_copy();
  for (int64_t i = 0; i < t.count(); ++i) t.f32()[i] -= 1;
  return t;
}

void sizes(const GgufReader& r, Object& c) {
  const int64_t width = r.integer("embedding_length"), heads = r.same_in_all_layers("attention.head_count", 0);
  expect(heads > 0, r.meta().path(), ": '", r.key("attention.head_count"), "': wanted at least 1, found ", heads);
  const int64_t head_dim = r.integer("attention.key_length", width / heads);
  expect(r.integer("attention.value_length", head_dim) == head_dim, r.meta().path(), ": '", r.key("attention.value_length"), "': wanted ", head_dim,
         " as for keys, found ", r.integer("attention.value_length", head_dim));
  c["vocab_size"] = r.vocabulary();
  c["hidden_size"] = width;
  c["intermediate_size"] = r.same_in_all_layers("feed_forward_length", 0);
  c["num_hidden_layers"] = r.integer("block_count");
  c["num_attention_heads"] = heads;
  c["num_key_value_heads"] = r.same_in_all_layers("attention.head_count_kv", heads);
  c["head_dim"] = head_dim;
  c["max_position_embeddings"] = r.integer("context_length", 0);
  c["rms_norm_eps"] = r.number("attention.layer_norm_rms_epsilon");
  c["tie_word_embeddings"] = r.tensor("output.weight") == nullptr;
}

// rope_theta, partial_rotary_factor and rope_scaling of a layer whose rotary base is `base`.
Object rotary(const GgufReader& r, double base, int64_t head_dim, bool scaled = true) {
  Object o{{"rope_theta", base}};
  if (const int64_t turned = r.integer("rope.dimension_count", head_dim); turned < head_dim)
    o["partial_rotary_factor"] = (static_cast<double>(turned) + 0.5) / static_cast<double>(head_dim);   // a product of doubles must not fall below
  if (!scaled) return o;
  std::string type = r.string("rope.scaling.type", r.has("rope.scale_linear") ? "linear" : "none");
  const double factor = r.number("rope.scaling.factor", r.number("rope.scale_linear", 1));
  if (r.tensor("rope_freqs.weight")) {
    Array factors = r.values("rope_freqs.weight");
    for (Value& f : factors)
      if (type == "linear") f = *f.get<double>() * factor;
    expect(type != "yarn", r.meta().path(), ": '", r.key("rope.scaling.type"), "': wanted no yarn beside rope_freqs.weight");
    o["rope_scaling"] = Object{{"rope_type", "factors"}, {"factors", std::move(factors)}};
  } else if (r.tensor("rope_factors_long.weight")) {
    Object s{{"rope_type", "longrope"}, {"long_factor", r.values("rope_factors_long.weight")},
        {"short_factor", r.values("rope_factors_short.weight")},
             {"original_max_position_embeddings", r.integer("rope.scaling.original_context_length")}};
    if (r.has("rope.scaling.attn_factor")) s["attention_factor"] = r.number("rope.scaling.attn_factor");
    o["rope_scaling"] = std::move(s);
  } else if (type == "linear" && factor != 1) {
    o["rope_scaling"] = Object{{"rope_type", "linear"}, {"factor", factor}};
  } else if (type == "yarn") {
    Object s{{"rope_type", "yarn"}, {"factor", factor}, {"original_max_position_embeddings", r.integer("rope.scaling.original_context_length")}};
    if (r.has("rope.scaling.attn_factor"))
      s["attention_factor"] = r.number("rope.scaling.attn_factor") * (factor > 1 ? 1 + 0.1 * std::log(factor) : 1);
    if (r.has("rope.scaling.yarn_beta_fast")) s["beta_fast"] = r.number("rope.scaling.yarn_beta_fast");
    if (r.has("rope.scaling.yarn_beta_slow")) s["beta_slow"] = r.number("rope.scaling.yarn_beta_slow");
    o["rope_scaling"] = std::move(s);
  } else {
    expect(type == "none" || type == "linear", r.meta().path(), ": '", r.key("rope.scaling.type"), "': wanted none, linear or yarn, found '", type,
        "'");
  }
  return o;
}
void set_rotary(const GgufReader& r, Object& c) {
  c.merge(rotary(r, r.number("rope.freq_base", 10000), *c["head_dim"].get<int64_t>()));
}
void set_window(const GgufReader& r, Object& c) {
  if (const int64_t window = r.integer("attention.sliding_window", 0); window > 0) c["sliding_window"] = window;
}

void llama(const GgufReader& r, Object& c) {
  sizes(r, c), set_rotary(r, c), set_window(r, c);
  c["rope_interleaved"] = true;
  c["attention_bias"] = r.tensor("blk.0.attn_q.bias") != nullptr;
  c["mlp_bias"] = r.tensor("blk.0.ffn_gate.bias") != nullptr;
}
void smollm3(const GgufReader& r, Object& c) {
  llama(r, c);
  Array turned;                                        // every fourth layer has no rotary positions; no key says so
  for (int64_t l = 0; l < std::min<int64_t>(r.integer("block_count"), 4096); ++l) turned.emplace_back(int64_t{(l + 1) % 4 != 0});
  c["no_rope_layers"] = std::move(turned);
}
void qwen(const GgufReader& r, Object& c) { sizes(r, c), set_rotary(r, c); }
void phi3(const GgufReader& r, Object& c) { sizes(r, c), set_rotary(r, c), set_window(r, c); }

void gemma(const GgufReader& r, Object& c) { sizes(r, c), set_rotary(r, c); }
// The softmax scale is head_dim^-1/2, in the 27B models (known by their layers) (width / heads)^-1/2; no key says which.
void gemma_scale(const GgufReader& r, Object& c, int64_t layers_of_27b) {
  const bool large = r.integer("block_count") == layers_of_27b;
  const double head_dim = static_cast<double>(*c["head_dim"].get<int64_t>());
  const double per_head = static_cast<double>(r.integer("embedding_length")) / static_cast<double>(*c["num_attention_heads"].get<int64_t>());
  c["query_pre_attn_scalar"] = r.has("attention.scale") ? std::pow(r.number("attention.scale"), -2) : large ? per_head : head_dim;
}
// All but every `period`-th layer see a window. Later files say so, as a number or layer by layer.
void gemma_window(const GgufReader& r, Object& c, int64_t period) {
  c["sliding_window"] = r.integer("attention.sliding_window");
  const int64_t layers = std::min<int64_t>(r.integer("block_count"), 4096);
  const GgufValue* stored = r.meta().find(r.key("attention.sliding_window_pattern"));
  std::vector<bool> slides;
  if (stored && stored->type == GgufType::array) slides = r.meta().booleans(r.key("attention.sliding_window_pattern"));
  else if (stored) period = r.integer("attention.sliding_window_pattern");
  Array kinds;
  for (int64_t l = 0; l < layers; ++l) {
    const bool slide = l < static_cast<int64_t>(slides.size()) ? slides[static_cast<size_t>(l)] : period > 0 && (l + 1) % period != 0;
    kinds.emplace_back(slide ? "sliding_attention" : "full_attention");
  }
  c["layer_types"] = std::move(kinds);
}
void gemma2(const GgufReader& r, Object& c) {
  sizes(r, c), set_rotary(r, c), gemma_scale(r, c, 46), gemma_window(r, c, 2);
  c["attn_logit_softcapping"] = r.number("attn_logit_softcapping", 50);
  c["final_logit_softcapping"] = r.number("final_logit_softcapping", 30);
}
void gemma3(const GgufReader& r, Object& c) {
  sizes(r, c), gemma_scale(r, c, 62), gemma_window(r, c, 6);
  const int64_t head_dim = *c["head_dim"].get<int64_t>();
  auto flat = [](Object o) {                           // rope_parameters hold theta and scaling in one object
    if (auto s = o.find("rope_scaling"); s != o.end()) {
      Object scaling = *s->second.get<Object>();
      o.erase(s);
      o.merge(scaling);
    }
    return o;
  };
  c["model_type"] = "gemma3_text";
  c["rope_parameters"] = Object{{"full_attention", flat(rotary(r, r.number("rope.freq_base", 1e6), head_dim))},
                                {"sliding_attention", flat(rotary(r, r.number("rope.freq_base_swa", 10000), head_dim, false))}};
  if (r.has("final_logit_softcapping")) c["final_logit_softcapping"] = r.number("final_logit_softcapping");
}

void gpt2(const GgufReader& r, Object& c) {
  c["vocab_size"] = r.vocabulary();
  c["n_embd"] = r.integer("embedding_length");
  c["n_layer"] = r.integer("block_count");
  c["n_head"] = r.same_in_all_layers("attention.head_count", 0);
  c["n_positions"] = r.integer("context_length");
  c["n_inner"] = r.same_in_all_layers("feed_forward_length", 4 * r.integer("embedding_length"));
  c["layer_norm_epsilon"] = r.number("attention.layer_norm_epsilon");
  c["tie_word_embeddings"] = r.tensor("output.weight") == nullptr;
}

constexpr GgufRename llama_names[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"},
    {"attn_norm", "model.layers.*.input_layernorm"}, {"ffn_norm", "model.layers.*.post_attention_layernorm"},
    {"attn_q", "model.layers.*.self_attn.q_proj"}, {"attn_k", "model.layers.*.self_attn.k_proj"},
    {"attn_v", "model.layers.*.self_attn.v_proj"}, {"attn_output", "model.layers.*.self_attn.o_proj"},
    {"attn_q_norm", "model.layers.*.self_attn.q_norm"}, {"attn_k_norm", "model.layers.*.self_attn.k_norm"},
    {"ffn_gate", "model.layers.*.mlp.gate_proj"}, {"ffn_up", "model.layers.*.mlp.up_proj"}, {"ffn_down", "model.layers.*.mlp.down_proj"},
};
constexpr GgufRename phi3_names[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"},
    {"attn_norm", "model.layers.*.input_layernorm"}, {"ffn_norm", "model.layers.*.post_attention_layernorm"},
    {"attn_qkv", "model.layers.*.self_attn.qkv_proj"}, {"attn_output", "model.layers.*.self_attn.o_proj"},
    {"ffn_up", "model.layers.*.mlp.gate_up_proj"}, {"ffn_down", "model.layers.*.mlp.down_proj"},
};
constexpr GgufRename gemma_names[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm", minus_one}, {"output", "lm_head"},
    {"attn_norm", "model.layers.*.input_layernorm", minus_one}, {"ffn_norm", "model.layers.*.post_attention_layernorm", minus_one},
    {"attn_q", "model.layers.*.self_attn.q_proj"}, {"attn_k", "model.layers.*.self_attn.k_proj"},
    {"attn_v", "model.layers.*.self_attn.v_proj"}, {"attn_output", "model.layers.*.self_attn.o_proj"},
    {"ffn_gate", "model.layers.*.mlp.gate_proj"}, {"ffn_up", "model.layers.*.mlp.up_proj"}, {"ffn_down", "model.layers.*.mlp.down_proj"},
};
constexpr GgufRename gemma2_names[] = {                // 3 too
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm", minus_one}, {"output", "lm_head"},
    {"attn_norm", "model.layers.*.input_layernorm", minus_one}, {"post_attention_norm", "model.layers.*.post_attention_layernorm", minus_one},
    {"ffn_norm", "model.layers.*.pre_feedforward_layernorm", minus_one}, {"post_ffw_norm", "model.layers.*.post_feedforward_layernorm", minus_one},
    {"attn_q", "model.layers.*.self_attn.q_proj"}, {"attn_k", "model.layers.*.self_attn.k_proj"},
    {"attn_v", "model.layers.*.self_attn.v_proj"}, {"attn_output", "model.layers.*.self_attn.o_proj"},
    {"attn_q_norm", "model.layers.*.self_attn.q_norm", minus_one}, {"attn_k_norm", "model.layers.*.self_attn.k_norm", minus_one},
    {"ffn_gate", "model.layers.*.mlp.gate_proj"}, {"ffn_up", "model.layers.*.mlp.up_proj"}, {"ffn_down", "model.layers.*.mlp.down_proj"},
};
constexpr GgufRename gpt2_names[] = {
    {"token_embd", "transformer.wte"}, {"position_embd", "transformer.wpe"}, {"output_norm", "transformer.ln_f"}, {"output", "lm_head"},
    {"attn_norm", "transformer.h.*.ln_1"}, {"ffn_norm", "transformer.h.*.ln_2"}, {"attn_qkv", "transformer.h.*.attn.c_attn"},
    {"attn_output", "transformer.h.*.attn.c_proj"}, {"ffn_up", "transformer.h.*.mlp.c_fc"}, {"ffn_down", "transformer.h.*.mlp.c_proj"},
};
constexpr GgufArchitecture table[] = {
    {"llama", llama, llama_names},   {"smollm3", smollm3, llama_names}, {"qwen2", qwen, llama_names},   {"qwen3", qwen, llama_names},
    {"phi3", phi3, phi3_names},      {"gemma", gemma, gemma_names},     {"gemma2", gemma2, gemma2_names}, {"gemma3", gemma3, gemma2_names},
    {"gpt2", gpt2, gpt2_names},
};

}  // namespace

std::span<const GgufArchitecture> gguf_attention_architectures() { return table; }

}  // namespace headrace
