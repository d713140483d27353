// Phi-3 and Phi-4 mini (Abdin et al. 2024, 2404.14219): Llama's block, q, k, v in one matrix, gate and up in another;
// longrope, and rotary positions on a part of the head in the later ones.
#include "mixers/attention.h"
#include "mixers/mlp.h"
#include "models/families.h"
#include "models/rope.h"

namespace headrace {
namespace {

struct Phi3Config {
  int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads;
  std::optional<int> num_key_value_heads, sliding_window;
  int max_position_embeddings = 0;
  float rms_norm_eps = 1e-5f;
  bool tie_word_embeddings = false;
  std::string hidden_act = "silu";
  void visit(auto& v) {
    v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("intermediate_size", intermediate_size);
    v("num_hidden_layers", num_hidden_layers), v("num_attention_heads", num_attention_heads);
    v.optional("num_key_value_heads", num_key_value_heads), v.optional("sliding_window", sliding_window);
    v.optional("max_position_embeddings", max_position_embeddings), v.optional("rms_norm_eps", rms_norm_eps);
    v.optional("tie_word_embeddings", tie_word_embeddings), v.optional("hidden_act", hidden_act);
  }
};

}  // namespace

Model phi3(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<Phi3Config>(config, file);
  const int D = c.hidden_size, heads = c.num_attention_heads, kv_heads = c.num_key_value_heads.value_or(heads), inner = c.intermediate_size;
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "hidden_size", D), check_size(file, "vocab_size", c.vocab_size), check_size(file, "intermediate_size", inner);
  check_size(file, "num_attention_heads", heads, D);
  const int head_dim = D / heads;
  AttentionMixer::check(file, heads, kv_heads, head_dim);
  if (c.sliding_window) check_size(file, "sliding_window", *c.sliding_window, int64_t{1} << 30);
  const int64_t QD = int64_t{heads} * head_dim, KD = int64_t{kv_heads} * head_dim, all = QD + 2 * KD;
  AttentionMixer::Options o{.width = D, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim,
                            .attend = {.window = c.sliding_window.value_or(0)}, .rope = read_rope(config, head_dim, file)};

  Scope s = root / "model";
  Model m;
  m.context = rope_context(config, c.max_position_embeddings, file);
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = D;
  d.embed = s.matrix("embed_tokens.weight", {c.vocab_size, D});
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    Scope b = s / "layers" / l, a = b / "self_attn", f = b / "mlp";
    AttentionMixer attend{.o = o,
                          .q = {a.part("qkv_proj.weight", all, 0, {QD, D}), {}},
                          .k = {a.part("qkv_proj.weight", all, QD, {KD, D}), {}},
                          .v = {a.part("qkv_proj.weight", all, QD + KD, {KD, D}), {}},
                          .out = Linear::bind(a / "o_proj", QD, D)};
    GatedMlp mlp{{f.part("gate_up_proj.weight", 2 * int64_t{inner}, 0, {inner, D}), {}},
                 {f.part("gate_up_proj.weight", 2 * int64_t{inner}, inner, {inner, D}), {}},
                 Linear::bind(f / "down_proj", inner, D), gate_from_name(c.hidden_act, file)};
    d.layers.push_back(residual(blueprint_text<AttentionMixer>(o), Norm::rms(b / "input_layernorm", D, c.rms_norm_eps), sublayer(std::move(attend))) +
                       residual(gated_text(D, inner, false, mlp.activation),
                                Norm::rms(b / "post_attention_layernorm", D, c.rms_norm_eps), sublayer(std::move(mlp))));
  }
  d.norm = Norm::rms(s / "norm", D, c.rms_norm_eps);
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings, d.embed);
  return m;
}

}  // namespace headrace
