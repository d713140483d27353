// Operators whose state is a memory that is trained on the way (Titans), and Hymba's block.
#include "ops/tape.h"
#include "run/op_call.h"

namespace headrace::op {
namespace {

using Tensors = std::vector<Tensor>;

// Numbers of each head's state as a tensor of their own, in this shape. states [B,H,R]
Tensor part(const Tensor& states, int64_t begin, int64_t n, const Shape& shape) { return concat({states.slice(2, begin, n)}).view(shape); }

// C of a gradient `times` theirs; absent or 0: off.
float clip(const Call& c, double times) {
  const float most = static_cast<float>(c.number("clip", 0) * times);
  expect(Memory::can_clip(most), "op ", c.name, ": parameter clip = ", c.number("clip", 0), ", wanted 0 or ", 1e-6 / times, " to ", 1e12 / times);
  return most;
}
void titans_linear_memory(Call& c) {
  const int64_t H = c.in.at("q").dim(2), K = c.in.at("q").dim(3), V = c.in.at("v").dim(3);
  const Memory memory{.value = static_cast<int>(V), .clip = clip(c, 1)};
  c.give("o", c.over_time({c.timed("q"), c.timed("k"), c.timed("v"), c.timed("theta"), c.timed("eta"), c.timed("alpha")},
                          [&](const Tensors& x, const Slot& slot) {
    return memory_scan({.q = x[0], .k = x[1], .v = x[2], .rate = x[3], .momentum = x[4], .forget = x[5]}, memory, slot);
  }));
  c.out["final_state"] = part(c.state(), 0, K * V, {c.B, H, K, V});
  c.out["final_momentum"] = part(c.state(), K * V, K * V, {c.B, H, K, V});
}

// A count that may be absent or null: 0 then.
int64_t count(const Call& c, const char* key) {
  const Value* v = c.parameters.find(key);
  int64_t n = 0;
  expect(!v || (read_value(*v, n) && n >= 1 && n < (1 << 24)), "op ", c.name, ": parameter ", key, " = ", v ? to_json(*v).substr(0, 80) : "",
         ", wanted a count of 1 to ", (1 << 24) - 1);
  return n;
}
// titans-pytorch's NeuralMemory: its loss is the mean over channels, so theirs is 2 / K of ours; its gates are sigmoids of means over a chunk.
// clip is ours, and of the gradient of that loss.
void titans_neural_memory(Call& c) {
  constexpr float eps = 0x1p-23f;                        // of torch's RMSNorm where none is given
  const int64_t N = c.B * c.T, H = c.in.at("to_momentum_0_bias").dim(0), K = c.in.at("memory_model_norm_gamma").dim(0);
  const int64_t F = c.in.at("memory_model_model_weights_0").dim(1);
  c.check_says("dim_head", K);
  const Value* normed = c.parameters.find("qk_rmsnorm");
  bool norms = c.has("q_norm_gamma");
  expect(norms == c.has("k_norm_gamma"), "op ", c.name, ": inputs q_norm_gamma and k_norm_gamma: one without the other");
  expect(!normed || (read_value(*normed, norms) && norms == c.has("q_norm_gamma")), "op ", c.name, ": parameter qk_rmsnorm = ",
         normed ? to_json(*normed).substr(0, 80) : "", ", but q_norm_gamma and k_norm_gamma are ", c.has("q_norm_gamma") ? "given" : "missing");
  const int64_t chunk = std::max<int64_t>(1, count(c, "chunk_size")), batch = count(c, "batch_size");
  expect(count(c, "heads") == 0 || count(c, "heads") == H, "op ", c.name, ": parameter heads = ", count(c, "heads"), ", but the weights are for ", H);
  expect(c.in.at("to_queries_weight").dim(0) == H * K && (H > 1 || K == c.in.at("x").dim(2)), "op ", c.name, ": to_queries_weight ",
         c.in.at("to_queries_weight").shape(), " for ", H, " heads of ", K);
  expect(batch % chunk == 0, "op ", c.name, ": parameter batch_size = ", batch, " is no multiple of chunk_size = ", chunk);
  expect(H == 1 || (c.has("combine_heads_weight") && c.has("retrieve_gate_0_weight")), "op ", c.name,
         ": missing inputs: combine_heads_weight, retrieve_gate_0_weight; ", H, " heads need them");
  const Tensor x = c.timed("x"), read = rms_norm(x, c.weight("retrieve_norm_weight"), {.eps = eps});
  const Tensor learnt = rms_norm(x, c.weight("store_norm_weight"), {.eps = eps});
  const auto by_head = [&](const Tensor& from, const char* weight, const char* gamma) {
    const Tensor y = linear(from, c.weight(weight)).view({N, H, K});
    if (!c.has(gamma)) return y;
    const Tensor n = rms_norm(y, {}, {.eps = eps});
    return n + n * c.weight(gamma).view({H, K});
  };
  const float most = static_cast<float>(c.number("max_lr", 1) * 2 / static_cast<double>(K));
  const Tensor rate = most * sigmoid(linear(learnt, c.weight("to_adaptive_step_0_weight"), c.weight("to_adaptive_step_0_bias")));
  const float most_of_gradient = clip(c, static_cast<double>(K) / 2);
  const Tensor initial = concat({c.weight("memory_model_parameters_0").view({H, K}), c.weight("memory_model_parameters_1").view({H, K * F}),
                                 c.weight("memory_model_parameters_2").view({H, F * K})});
  Tensor y = c.over_time({by_head(read, "to_queries_weight", "q_norm_gamma"), by_head(learnt, "to_keys_weight", "k_norm_gamma"),
                          linear(learnt, c.weight("to_values_weight")).view({N, H, K}), rate,
                          linear(learnt, c.weight("to_momentum_0_weight"), c.weight("to_momentum_0_bias")),
                          linear(learnt, c.weight("to_decay_factor_0_weight"), c.weight("to_decay_factor_0_bias"))},
                         [&](const Tensors& x, const Slot& slot) {
    return memory_scan({.q = x[0], .k = x[1], .v = x[2], .rate = x[3], .momentum = x[4], .forget = x[5], .logits = true},
                       {.value = static_cast<int>(K), .initial = initial, .depth = 2, .hidden = static_cast<int>(F), .norm = true, .chunk = chunk,
                        .batch = batch, .clip = most_of_gradient}, slot);
  });
  if (H > 1) y = scale_heads(y, sigmoid(linear(read, c.weight("retrieve_gate_0_weight"))));
  y = y.view({N, H * K});
  c.give("o", H > 1 ? linear(y, c.weight("combine_heads_weight")) : y);
  const Tensor end = c.state();
  c.out["final_norm_gamma"] = part(end, 0, K, {c.B * H, K});
  c.out["final_model_weights_0"] = part(end, K, K * F, {c.B * H, K, F});
  c.out["final_model_weights_1"] = part(end, K + K * F, F * K, {c.B * H, F, K});
}

void hymba_block(Call& c) {
  const int64_t N = c.B * c.T, E = c.in.at("mamba_D_0").dim(0), S = c.in.at("mamba_A_log_0").dim(1);
  const int64_t R = c.in.at("mamba_dt_layernorm_weight").dim(0);
  const int64_t H = c.window("heads"), G = c.window("kv_heads"), K = H > 0 ? E / H : 0, I = c.in.at("in_proj_bias").dim(0);
  expect(H > 0 && G > 0 && H % G == 0 && E % H == 0 && I == 3 * E + 2 * G * K, "op ", c.name, ": in_proj_bias [", I, "] for ", H, " heads, ", G,
         " of keys and values, ", E, " channels");
  expect(c.in.at("mamba_x_proj_0_weight").dim(0) == R + 2 * S, "op ", c.name, ": mamba_x_proj_0_weight ", c.in.at("mamba_x_proj_0_weight").shape(),
         " for a step of rank ", R, " and ", S, " numbers of state");
  c.check_says("dt_rank", R), c.check_says("state", S), c.check_says("conv", c.in.at("mamba_conv1d_weight").dim(2));
  const RmsNorm norm{.eps = 1e-6f};
  const Tensor p = linear(c.timed("x"), c.weight("in_proj_weight"), c.weight("in_proj_bias"));
  Rope rope{.rotary = static_cast<int>(K / 2 * 2), .interleaved = false, .factor = 1, .inverse_frequency = {}};
  rope.base = c.positive("rope_base", 10000);
  for (int i = 0; i < rope.rotary / 2; ++i)
    rope.inverse_frequency.push_back(static_cast<float>(std::pow(rope.base, -2.0 * i / static_cast<double>(K))));
  std::vector<int32_t> positions;
  for (int64_t i = 0; i < N; ++i) positions.push_back(static_cast<int32_t>(i % c.T));
  const auto turned = [&](int64_t begin, int64_t heads) { return headrace::rope(p.slice(1, begin, heads * K).view({N, heads, K}), rope, positions); };
  const int64_t window = c.window("window") + 1;       // both ends are counted
  const Tensor a = c.over_time({turned(0, H), turned(E, G), p.slice(1, E + G * K, G * K).view({N, G, K})}, [&](const Tensors& x, const Slot& slot) {
    return attention(x[0], x[1], x[2], {.window = window, .sinks = {}, .slopes = {}}, slot);
  }, {}, !Tape::current());                              // between pieces no gradient flows to keys
  const Tensor taps = c.weight("mamba_conv1d_weight").view({E, c.in.at("mamba_conv1d_weight").dim(2)}), bias = c.weight("mamba_conv1d_bias");
  const Tensor u = c.over_time({p.slice(1, E + 2 * G * K, E)},
                               [&](const Tensors& x, const Slot& slot) { return short_conv(x[0], taps, bias, true, slot); });
  const Tensor dBC = linear(u, c.weight("mamba_x_proj_0_weight"));
  const auto normed = [&](int64_t begin, int64_t n, const char* weight) { return rms_norm(dBC.slice(1, begin, n), c.weight(weight), norm); };
  const Tensor dt = softplus(linear(normed(0, R, "mamba_dt_layernorm_weight"), c.weight("mamba_dt_proj_0_weight"), c.weight("mamba_dt_proj_0_bias")));
  const Tensor A = -1.f * exp(c.weight("mamba_A_log_0"));
  const Tensor h = c.over_time({u, dt, normed(R, S, "mamba_B_layernorm_weight"), normed(R + S, S, "mamba_C_layernorm_weight")},
                               [&](const Tensors& x, const Slot& slot) { return selective_scan(x[0], x[1], A, x[2], x[3], slot); });
  const Tensor s = binary(Binary::silu_multiply, p.slice(1, I - E, E), h + u * c.weight("mamba_D_0"));
  const Tensor both = rms_norm(a.view({N, E}), c.weight("pre_avg_layernorm1_weight"), norm) +
                      rms_norm(s, c.weight("pre_avg_layernorm2_weight"), norm);
  c.give("o", linear(0.5f * both, c.weight("out_proj_weight"), c.weight("out_proj_bias")));
}

const Entry table[] = {
    {{"titans_linear_memory", "q [B,T,H,K]; k [B,T,H,K]; v [B,T,H,V]; theta [B,T,H]; eta [B,T,H]; alpha [B,T,H]", "clip = 0",
      "o [B,T,H,V]; final_state [B,H,K,V]; final_momentum [B,H,K,V]",
      "g = k (k^T M - v)^T; S = eta S - theta g; M = (1 - alpha) M + S; o = q^T M; clip > 0: g clip / sqrt(clip^2 + |g|^2) for g"},
     titans_linear_memory},
    {{"titans_neural_memory",
      "x [B,T,D]; retrieve_norm_weight [D]; store_norm_weight [D]; memory_model_norm_gamma [K]; memory_model_model_weights_0 [K,F]; "
      "memory_model_model_weights_1 [F,K]; memory_model_parameters_0 [H,K]; memory_model_parameters_1 [H,K,F]; memory_model_parameters_2 [H,F,K]; "
      "to_queries_weight [I,D]; to_keys_weight [I,D]; to_values_weight [I,D]; to_adaptive_step_0_weight [H,D]; to_adaptive_step_0_bias [H]; "
      "to_momentum_0_weight [H,D]; to_momentum_0_bias [H]; to_decay_factor_0_weight [H,D]; to_decay_factor_0_bias [H]; (q_norm_gamma [H,1,K]; "
      "k_norm_gamma [H,1,K]; combine_heads_weight [D,I]; retrieve_gate_0_weight [H,D])",
      "heads; chunk_size = 1; batch_size = null; dim_head; max_lr = 1; qk_rmsnorm; clip = 0",
      "o [B,T,D]; final_norm_gamma [S,K]; final_model_weights_0 [S,K,F]; final_model_weights_1 [S,F,K]",
      "S = B H; gradients g of mean |M(k) - v|^2 at the weights of the batch's start; M(k) = k + norm(gelu(k W_0) W_1) (1 + gamma); clip > 0: "
      "a token's g in a head's memory becomes g clip / sqrt(clip^2 + |g|^2)"},
     titans_neural_memory},
    {{"hymba_block",
      "x [B,T,D]; pre_avg_layernorm1_weight [E]; pre_avg_layernorm2_weight [E]; in_proj_weight [I,D]; in_proj_bias [I]; out_proj_weight [D,E]; "
      "out_proj_bias [D]; mamba_conv1d_weight [E,1,taps]; mamba_conv1d_bias [E]; mamba_dt_proj_0_weight [E,R]; mamba_dt_proj_0_bias [E]; "
      "mamba_A_log_0 [E,N]; mamba_D_0 [E]; mamba_dt_layernorm_weight [R]; mamba_B_layernorm_weight [N]; mamba_C_layernorm_weight [N]; "
      "mamba_x_proj_0_weight [X,E]",
      "window; heads; kv_heads; dt_rank; state; conv; rope_base = 10000", "o [B,T,D]",
      "q, k, v, x, z = W x; o = W_o (rms(attention(rope(q), rope(k), v)) + rms(mamba(x, z))) / 2, keys with i - j <= window"}, hymba_block},
};

}  // namespace

std::span<const Entry> memory_entries() { return table; }

}  // namespace headrace::op
