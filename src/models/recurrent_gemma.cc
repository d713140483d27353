// RecurrentGemma, the published Griffin (De et al. 2024, 2402.19427; Botev et al. 2024, 2404.07839): recurrent blocks and
// local attention in turn, each followed by a gated MLP. Hawk is the same without attention.
#include <algorithm>
#include <cmath>

#include "mixers/attention.h"
#include "mixers/mlp.h"
#include "mixers/rg_lru.h"
#include "models/families.h"
#include "models/rope.h"
#include "tensor/half.h"

namespace headrace {
namespace {

struct RecurrentGemmaConfig {
  int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads;
  std::optional<int> num_key_value_heads, lru_width;
  int attention_window_size = 2048, conv1d_width = 4;
  float rms_norm_eps = 1e-6f, logits_soft_cap = 30;
  bool attention_bias = false, tie_word_embeddings = true;
  std::string hidden_activation = "gelu_pytorch_tanh";
  std::vector<std::string> block_types{"recurrent", "recurrent", "attention"};
  void visit(auto& v) {
    v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("intermediate_size", intermediate_size);
    v("num_hidden_layers", num_hidden_layers), v("num_attention_heads", num_attention_heads);
    v.optional("num_key_value_heads", num_key_value_heads), v.optional("lru_width", lru_width);
    v.optional("attention_window_size", attention_window_size), v.optional("conv1d_width", conv1d_width);
    v.optional("rms_norm_eps", rms_norm_eps), v.optional("logits_soft_cap", logits_soft_cap);
    v.optional("attention_bias", attention_bias), v.optional("tie_word_embeddings", tie_word_embeddings);
    v.optional("hidden_activation", hidden_activation), v.optional("block_types", block_types);
  }
};

}  // namespace

Model recurrent_gemma(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<RecurrentGemmaConfig>(config, file);
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "hidden_size", c.hidden_size), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "num_attention_heads", c.num_attention_heads, c.hidden_size);
  check_size(file, "attention_window_size", c.attention_window_size, int64_t{1} << 30);
  check_size(file, "conv1d_width", c.conv1d_width, 1024);
  const int D = c.hidden_size, heads = c.num_attention_heads, lru = c.lru_width.value_or(D), kv_heads = c.num_key_value_heads.value_or(heads);
  const int hidden = c.intermediate_size / 2;      // the configuration counts gate and up together
  check_size(file, "intermediate_size / 2", hidden), check_size(file, "lru_width", lru);
  check_size(file, "num_key_value_heads", kv_heads, heads);
  expect(D % heads == 0 && lru % heads == 0 && heads % kv_heads == 0, file, ": hidden_size = ", D, ", lru_width = ", lru,
         ", num_key_value_heads = ", kv_heads, " do not fit num_attention_heads = ", heads);
  expect(!c.block_types.empty(), file, ": block_types is empty");

  RgLru::Options recur{.width = D, .lru = lru, .heads = heads, .taps = c.conv1d_width};
  AttentionMixer::Options attend{.width = D, .heads = heads, .kv_heads = kv_heads, .head_dim = D / heads,
                                 .attend = {.window = c.attention_window_size}, .qkv_bias = c.attention_bias, .out_bias = true};
  if (std::count(c.block_types.begin(), c.block_types.end(), "attention") > 0) attend.rope = read_rope(config, D / heads, file, nullptr, 0.5f);
  Scope s = root / "model";
  Model m;
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = D, d.logit_cap = c.logits_soft_cap;
  d.embed = s.matrix("embed_tokens.weight", {c.vocab_size, D});
  d.embed_scale = bf16_to_f32(f32_to_bf16(std::sqrt(static_cast<float>(D))));   // trained with the rounded factor
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    const std::string& kind = c.block_types[static_cast<size_t>(l) % c.block_types.size()];
    expect(kind == "recurrent" || kind == "attention", file, ": block_types has '", kind, "'; known: recurrent, attention");
    Scope b = s / "layers" / l, t = b / "temporal_block", f = b / "mlp_block";
    Norm pre = Norm::rms(b / "temporal_pre_norm", D, c.rms_norm_eps, 1);
    Layer mix = kind == "recurrent" ? residual(blueprint_text<RgLru>(recur), std::move(pre), sublayer(RgLru::bind(t, recur)))
                                    : residual(blueprint_text<AttentionMixer>(attend), std::move(pre), sublayer(AttentionMixer::bind(t, attend)));
    GatedMlp mlp{Linear::bind(f / "gate_proj", D, hidden, true), Linear::bind(f / "up_proj", D, hidden, true),
                 Linear::bind(f / "down_proj", hidden, D, true), gate_from_name(c.hidden_activation, file)};
    d.layers.push_back(std::move(mix) +
                       residual(gated_text(D, hidden, true, mlp.activation), Norm::rms(b / "channel_pre_norm", D, c.rms_norm_eps, 1),
                                sublayer(std::move(mlp))));
  }
  d.norm = Norm::rms(s / "final_norm", D, c.rms_norm_eps, 1);
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings, d.embed);
  return m;
}

}  // namespace headrace
