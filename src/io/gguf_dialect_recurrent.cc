// The architectures of GGUF with a recurrent state: mamba (Falcon Mamba too), mamba2, and rwkv6 and rwkv7, whose names
// models/rwkv_names.h reads as they are.
#include <cmath>

#include "base/error.h"
#include "io/gguf_dialect.h"

namespace headrace {
namespace {

// ssm_a holds A = -exp(A_log).
Tensor log_of_negative(const Tensor& stored, bool shapes_only) {
  if (shapes_only || stored.dtype() != DType::f32) return stored;
  Tensor t = stored.contiguous_copy();
  for (int64_t i = 0; i < t.count(); ++i) t.f32()[i] = static_cast<float>(std::log(-double{t.f32()[i]}));
  return t;
}
Tensor flat(const Tensor& stored, bool) { return stored.view({stored.count()}); }

void common(const GgufReader& r, Object& c) {
  c["vocab_size"] = r.vocabulary();
  c["hidden_size"] = r.integer("embedding_length");
  c["num_hidden_layers"] = r.integer("block_count");
  c["state_size"] = r.integer("ssm.state_size");
  c["conv_kernel"] = r.integer("ssm.conv_kernel");
  c["layer_norm_epsilon"] = r.number("attention.layer_norm_rms_epsilon");
  c["use_bias"] = r.tensor("blk.0.ssm_in.bias") != nullptr;
  c["use_conv_bias"] = r.tensor("blk.0.ssm_conv1d.bias") != nullptr;
  c["tie_word_embeddings"] = r.tensor("output.weight") == nullptr;
}
void mamba(const GgufReader& r, Object& c) {
  common(r, c);
  c["intermediate_size"] = r.integer("ssm.inner_size");
  c["time_step_rank"] = r.integer("ssm.time_step_rank");
  if (r.boolean("ssm.dt_b_c_rms", false)) c["model_type"] = "falcon_mamba";
}
void mamba2(const GgufReader& r, Object& c) {
  common(r, c);
  const int64_t inner = r.integer("ssm.inner_size"), heads = r.integer("ssm.time_step_rank");
  expect(heads > 0 && inner % heads == 0, r.meta().path(), ": '", r.key("ssm.time_step_rank"), "': wanted a divisor of ", inner, ", found ", heads);
  c["num_heads"] = heads;
  c["head_dim"] = inner / heads;
  c["n_groups"] = r.integer("ssm.group_count", 1);
}

void rwkv(const GgufReader& r, Object& c) {
  c["layer_norm_epsilon"] = r.number("attention.layer_norm_epsilon");
  c["head_size"] = r.integer("wkv.head_size");
  c["rescale_every"] = r.integer("rescale_every_n_layers", 0);
  c["context_length"] = r.integer("context_length", 0);
}

// For families that llama.cpp has no architecture for, an architecture of our own: config.json as text, names as they are.
void headrace_own(const GgufReader& r, Object& c) {
  const Value config = parse_json(r.string("config", ""), r.meta().path() + ": '" + r.key("config") + "'");
  expect(config.get<Object>() != nullptr, r.meta().path(), ": '", r.key("config"), "': wanted the JSON object of a config.json");
  c = *config.get<Object>();
}

constexpr GgufRename mamba_names[] = {
    {"token_embd", "backbone.embeddings"}, {"output_norm", "backbone.norm_f"}, {"output", "lm_head"},
    {"attn_norm", "backbone.layers.*.norm"}, {"ssm_in", "backbone.layers.*.mixer.in_proj"}, {"ssm_conv1d", "backbone.layers.*.mixer.conv1d"},
    {"ssm_x", "backbone.layers.*.mixer.x_proj"}, {"ssm_dt", "backbone.layers.*.mixer.dt_proj"},
        {"ssm_a", "backbone.layers.*.mixer.A_log!", log_of_negative},
    {"ssm_d", "backbone.layers.*.mixer.D!"}, {"ssm_out", "backbone.layers.*.mixer.out_proj"},
};
constexpr GgufRename mamba2_names[] = {
    {"token_embd", "backbone.embeddings"}, {"output_norm", "backbone.norm_f"}, {"output", "lm_head"},
    {"attn_norm", "backbone.layers.*.norm"}, {"ssm_in", "backbone.layers.*.mixer.in_proj"}, {"ssm_conv1d", "backbone.layers.*.mixer.conv1d"},
    {"ssm_dt", "backbone.layers.*.mixer.dt_bias!"}, {"ssm_a", "backbone.layers.*.mixer.A_log!", log_of_negative},
    {"ssm_d", "backbone.layers.*.mixer.D!"}, {"ssm_norm", "backbone.layers.*.mixer.norm", flat}, {"ssm_out", "backbone.layers.*.mixer.out_proj"},
};
constexpr GgufArchitecture table[] = {{"mamba", mamba, mamba_names}, {"mamba2", mamba2, mamba2_names}, {"rwkv6", rwkv, {}}, {"rwkv7", rwkv, {}},
                                      {"headrace", headrace_own, {}}};

}  // namespace

std::span<const GgufArchitecture> gguf_recurrent_architectures() { return table; }

}  // namespace headrace
