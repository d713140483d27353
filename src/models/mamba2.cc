// Mamba-2: x += mamba2(norm(x)), nothing else. Dao and Gu 2024 (2405.21060); Mamba-Codestral.
#include "mixers/mamba2.h"

#include "models/families.h"
#include "models/mamba_backbone.h"

namespace headrace {
namespace {

struct Mamba2Config {
  int vocab_size, hidden_size, num_hidden_layers, num_heads, head_dim, state_size, n_groups = 8, conv_kernel = 4;
  float layer_norm_epsilon = 1e-5f;
  std::vector<float> time_step_limit;
  bool use_bias = false, use_conv_bias = true, tie_word_embeddings = false;
  std::string hidden_act = "silu";
  void visit(auto& v) {
    v("vocab_size", vocab_size), v("hidden_size", hidden_size), v("num_hidden_layers", num_hidden_layers);
    v("num_heads", num_heads), v("head_dim", head_dim), v("state_size", state_size);
    v.optional("n_groups", n_groups), v.optional("conv_kernel", conv_kernel), v.optional("layer_norm_epsilon", layer_norm_epsilon);
    v.optional("time_step_limit", time_step_limit), v.optional("use_bias", use_bias), v.optional("use_conv_bias", use_conv_bias);
    v.optional("tie_word_embeddings", tie_word_embeddings), v.optional("hidden_act", hidden_act);
  }
};

}  // namespace

Model mamba2(const Value& config, const Scope& root, const std::string& file) {
  auto c = read_config<Mamba2Config>(config, file);
  check_size(file, "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(file, "hidden_size", c.hidden_size), check_size(file, "vocab_size", c.vocab_size);
  check_size(file, "num_heads", c.num_heads, 65536), check_size(file, "head_dim", c.head_dim, 65536);
  check_size(file, "num_heads * head_dim", int64_t{c.num_heads} * c.head_dim);
  check_size(file, "n_groups", c.n_groups, c.num_heads), check_size(file, "state_size", c.state_size, 65536);
  check_size(file, "conv_kernel", c.conv_kernel, 1024);
  expect(c.num_heads % c.n_groups == 0, file, ": num_heads = ", c.num_heads, " is no multiple of n_groups = ", c.n_groups);
  expect(gate_from_name(c.hidden_act, file) == Gate::silu, file, ": hidden_act = '", c.hidden_act, "'; mamba2 needs silu");
  const int D = c.hidden_size;
  Mamba2::Options o{.width = D, .heads = c.num_heads, .head_dim = c.head_dim, .groups = c.n_groups, .state = c.state_size,
                    .taps = c.conv_kernel, .conv_bias = c.use_conv_bias, .bias = c.use_bias, .norm_eps = c.layer_norm_epsilon};
  if (!c.time_step_limit.empty()) {
    expect(c.time_step_limit.size() == 2 && c.time_step_limit[0] <= c.time_step_limit[1], file, ": time_step_limit must be [least, most]");
    o.dt_least = c.time_step_limit[0], o.dt_most = c.time_step_limit[1];
  }

  return mamba_backbone<Mamba2>(c, root, o);
}

}  // namespace headrace
