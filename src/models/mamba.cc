// Mamba and Falcon Mamba: x += mamba(norm(x)), nothing else. Gu and Dao 2023 (2312.00752); Zuo et al. 2024 (2410.05355).
#include "mixers/mamba.h"

#include "models/families.h"
#include "models/mamba_backbone.h"

namespace headrace {
namespace {

struct MambaConfig {
  int vocab_size, hidden_size, num_hidden_layers, state_size, conv_kernel = 4;
  double expand = 2;
  std::optional<int> intermediate_size;
  Value time_step_rank;                            // a number or "auto"
  float layer_norm_epsilon = 1e-5f, mixer_rms_eps = 1e-6f;
  bool use_bias = false, use_conv_bias = true, tie_word_embeddings = true;
  std::string model_type, hidden_act = "silu";
  void visit(auto& v) {
    v("model_type", model_type), v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("num_hidden_layers", num_hidden_layers);
    v("state_size", state_size), v.optional("conv_kernel", conv_kernel), v.optional("expand", expand);
    v.optional("intermediate_size", intermediate_size), v.optional("time_step_rank", time_step_rank);
    v.optional("layer_norm_epsilon", layer_norm_epsilon), v.optional("mixer_rms_eps", mixer_rms_eps);
    v.optional("use_bias", use_bias), v.optional("use_conv_bias", use_conv_bias);
    v.optional("tie_word_embeddings", tie_word_embeddings), v.optional("hidden_act", hidden_act);
  }
};

}  // namespace

Model mamba(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<MambaConfig>(config, file);
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "hidden_size", c.hidden_size), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "state_size", c.state_size, 65536), check_size(file, "conv_kernel", c.conv_kernel, 1024);
  expect(gate_from_name(c.hidden_act, file) == Gate::silu, file, ": hidden_act = '", c.hidden_act, "'; mamba needs silu");
  expect(c.expand > 0 && c.expand <= 1024, file, ": expand = ", c.expand);
  const int D = c.hidden_size, inner = c.intermediate_size.value_or(static_cast<int>(c.expand * D));
  check_size(file, "intermediate_size", inner);
  int rank = (D + 15) / 16;
  if (std::string automatic; !c.time_step_rank.is_null() && !(read_value(c.time_step_rank, automatic) && automatic == "auto"))
    expect(read_value(c.time_step_rank, rank), file, ": time_step_rank = ", to_json(c.time_step_rank), " is no number, nor \"auto\"");
  check_size(file, "time_step_rank", rank);

  Mamba::Options o{.width = D, .inner = inner, .state = c.state_size, .rank = rank, .taps = c.conv_kernel, .conv_bias = c.use_conv_bias,
                   .bias = c.use_bias, .norm_eps = c.model_type == "falcon_mamba" ? c.mixer_rms_eps : 0};
  return mamba_backbone<Mamba>(c, root, o);
}

}  // namespace headrace
