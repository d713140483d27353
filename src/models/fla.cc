// The linear attentions of flash-linear-attention with its block: x += mixer(attn_norm(x)); x += swiglu(mlp_norm(x)); some
// layers may be softmax attention. gla: 2312.06635; retnet: 2307.08621; hgrn2: 2404.07904; linear_attn: 2006.16236.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "mixers/linear_attention.h"
#include "mixers/mlp.h"
#include "models/families.h"
#include "models/fla_attention.h"
#include "models/rope.h"

namespace headrace {
namespace {

struct FlaConfig {
  std::string model_type, hidden_act = "swish";
  int vocab_size, hidden_size, num_hidden_layers;
  std::optional<int> num_heads, num_kv_heads, intermediate_size, hidden_ratio, expand_ratio;
  std::optional<float> clamp_min;
  std::optional<std::string> feature_map;
  std::optional<int> attnres_block_size;
  double expand_k = 1, expand_v = 1;
  int conv_size = 4, gate_low_rank_dim = 16;
  bool use_short_conv = false, use_output_gate = true, use_lower_bound = true, tie_word_embeddings = false;
  bool elementwise_affine = true, norm_q = false, norm_k = false, norm_feature_map = false, tie_feature_map_qk = false;
  float norm_eps = 1e-6f;
  void visit(auto& v) {
    v("model_type", model_type), v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("num_hidden_layers", num_hidden_layers);
    v.optional("num_heads", num_heads), v.optional("num_kv_heads", num_kv_heads), v.optional("intermediate_size", intermediate_size);
    v.optional("hidden_ratio", hidden_ratio), v.optional("expand_ratio", expand_ratio), v.optional("clamp_min", clamp_min);
    v.optional("feature_map", feature_map), v.optional("attnres_block_size", attnres_block_size);
    v.optional("expand_k", expand_k), v.optional("expand_v", expand_v), v.optional("conv_size", conv_size);
    v.optional("gate_low_rank_dim", gate_low_rank_dim), v.optional("norm_q", norm_q), v.optional("norm_k", norm_k);
    v.optional("norm_feature_map", norm_feature_map), v.optional("tie_feature_map_qk", tie_feature_map_qk);
    v.optional("use_short_conv", use_short_conv), v.optional("use_output_gate", use_output_gate), v.optional("use_lower_bound", use_lower_bound);
    v.optional("tie_word_embeddings", tie_word_embeddings), v.optional("norm_eps", norm_eps), v.optional("hidden_act", hidden_act);
    v.optional("elementwise_affine", elementwise_affine);
  }
};

FlaConfig read(const Value& config, const std::string& file) {
  auto c = read_config<FlaConfig>(config, file);
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "hidden_size", c.hidden_size), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "conv_size", c.conv_size, 64), check_size(file, "gate_low_rank_dim", c.gate_low_rank_dim);
  const bool linear = c.model_type == "linear_attn";
  // Each of the package's layers looks its names up elsewhere; transformers' gelu is another than the package's own.
  using Names = std::vector<std::string>;
  const Names known = linear ? Names{"elementwise_product", "elu", "relu", "identity"}
                      : c.model_type == "retnet" ? Names{"relu", "relu2", "sigmoid", "silu", "swish", "tanh"}
                                                 : Names{"relu", "sigmoid", "logsigmoid", "silu", "swish", "sqrelu", "gelu"};
  expect(!c.feature_map || std::find(known.begin(), known.end(), *c.feature_map) != known.end(), file, ": feature_map = '",
         c.feature_map.value_or(""), "'; known: ", known);
  for (const auto& [key, asked] : {std::pair{"norm_q", c.norm_q}, {"norm_k", c.norm_k}, {"norm_feature_map", c.norm_feature_map},
                                   {"tie_feature_map_qk", c.tie_feature_map_qk}})
    expect(!linear || !asked, file, ": ", key, " is not supported");
  expect(!c.attnres_block_size, file, ": attnres_block_size is not supported");
  expect(c.hidden_act == "swish" || c.hidden_act == "silu", file, ": hidden_act = '", c.hidden_act, "'; known: swish");
  if (!c.intermediate_size) {
    int64_t n = int64_t{c.hidden_size} * c.hidden_ratio.value_or(4) * 2 / 3;
    c.intermediate_size = static_cast<int>((n + 255) / 256 * 256);
  }
  check_size(file, "intermediate_size", *c.intermediate_size);
  return c;
}

// Heads and their sizes from the width, in the way of gla and retnet.
LinearAttention::Options options(const FlaConfig& c, const std::string& file) {
  const int H = c.num_heads.value_or(0), G = c.num_kv_heads.value_or(H);
  check_size(file, "num_heads", H, 65536), check_size(file, "num_kv_heads", G, H);
  const double keys = c.hidden_size * c.expand_k, values = c.hidden_size * c.expand_v;
  auto fits = [&](double n) { return n >= H && n < (1 << 24) && std::fmod(n, H) == 0; };
  expect(fits(keys) && fits(values) && H % G == 0, file, ": ", H, " heads (num_kv_heads ", G, ") for hidden_size ", c.hidden_size, " times expand_k ",
         c.expand_k, ", expand_v ", c.expand_v);
  return {.width = c.hidden_size, .heads = H, .kv_heads = G,
          .key = static_cast<int>(keys) / H, .value = static_cast<int>(values) / H,
          .norm_eps = c.norm_eps, .taps = c.use_short_conv ? c.conv_size : 0, .output_gate = c.use_output_gate,
          .norm_weight = c.elementwise_affine, .feature = c.feature_map.value_or("identity")};
}

template <class Mixer, class Bind>                      // LinearAttention bind(scope of a layer's mixer, options); they know their layer
Model stack(const FlaConfig& c, const Value& config, const Scope& root, const std::string& file, typename Mixer::Options o, Bind bind) {
  const FlaAttention softmax = fla_attention(config, c.num_hidden_layers, c.hidden_size, file);
  const Scope s = root / "model";
  const int D = c.hidden_size, F = *c.intermediate_size;
  Model m;
  m.context = softmax.context;
  Decoder& d = m.decoder;
  d.vocab = c.vocab_size, d.width = D;
  d.embed = s.matrix("embeddings.weight", {c.vocab_size, D});
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    const Scope b = s / "layers" / l, f = b / "mlp";
    Norm pre = Norm::rms(b / "attn_norm", D, c.norm_eps);
    Layer attend;
    if (const auto a = softmax.layers.find(l); a != softmax.layers.end()) {
      attend = residual(blueprint_text<AttentionMixer>(a->second), std::move(pre), sublayer(AttentionMixer::bind(b / "attn", a->second)));
    } else {
      if constexpr (requires { o.layer; }) o.layer = l;
      attend = residual(blueprint_text<Mixer>(o), std::move(pre), sublayer(bind(b / "attn", o)));
    }
    GatedMlp mlp{Linear::bind(f / "gate_proj", D, F), Linear::bind(f / "up_proj", D, F), Linear::bind(f / "down_proj", F, D)};
    d.layers.push_back(std::move(attend) +
                       residual(gated_text(D, F, false, Gate::silu), Norm::rms(b / "mlp_norm", D, c.norm_eps), sublayer(std::move(mlp))));
  }
  d.norm = Norm::rms(s / "norm", D, c.norm_eps);
  d.head.weight = tied_head(root, "lm_head.weight", c.tie_word_embeddings, d.embed);
  return m;
}

}  // namespace

Model gla(const Value& config, const Scope& root, const std::string& file) {
  auto c = read(config, file);
  if (!config.find("expand_k")) c.expand_k = 0.5;
  Gla::Options o{.frame = options(c, file), .rank = c.gate_low_rank_dim};
  if (c.clamp_min) o.least = *c.clamp_min;
  return stack<Gla>(c, config, root, file, o, Gla::bind);
}

Model retnet(const Value& config, const Scope& root, const std::string& file) {
  auto c = read(config, file);
  if (!config.find("expand_v")) c.expand_v = 2;
  RetNet::Options o{.frame = options(c, file)};
  o.rope = read_rope(config, o.frame.key, file);
  return stack<RetNet>(c, config, root, file, o, RetNet::bind);
}

Model linear_attn(const Value& config, const Scope& root, const std::string& file) {
  auto c = read(config, file);
  if (!c.feature_map) c.feature_map = "elementwise_product";
  c.use_output_gate = c.use_short_conv = false;
  LinearAttn::Options o{.frame = options(c, file)};
  o.frame.norm_name = "norm";
  return stack<LinearAttn>(c, config, root, file, o, LinearAttn::bind);
}

Model hgrn2(const Value& config, const Scope& root, const std::string& file) {
  auto c = read(config, file);
  const int D = c.hidden_size, L = c.num_hidden_layers;
  if (c.expand_ratio) check_size(file, "expand_ratio", *c.expand_ratio, D);
  const int H = c.expand_ratio ? D / *c.expand_ratio : c.num_heads.value_or(0);
  check_size(file, "num_heads", H, D);
  const int K = c.expand_ratio.value_or(D / H);
  expect(D % H == 0 && K * H == D, file, ": ", H, " heads of ", K, " for hidden_size ", D);
  Hgrn2::Options o{.lower_bound = c.use_lower_bound, .layers = L};
  LinearAttention::Options& f = o.frame;
  f.width = D, f.heads = f.kv_heads = H, f.key = K, f.value = D / H, f.norm_eps = c.norm_eps;
  f.taps = c.use_short_conv ? c.conv_size : 0, f.norm_weight = c.elementwise_affine;
  const Tensor bounds = c.use_lower_bound ? (root / "model")("lower_bounds", {L, D}) : Tensor{};
  return stack<Hgrn2>(c, config, root, file, o, [&](const Scope& s, const Hgrn2::Options& layer) { return Hgrn2::bind(s, layer, bounds); });
}

}  // namespace headrace
