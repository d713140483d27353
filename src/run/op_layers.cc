// Operators that are whole layers, weights and all; and attention-free weights.
#include <algorithm>

#include "ops/aft.h"
#include "ops/feature_maps.h"
#include "ops/tape.h"
#include "ops/whole.h"
#include "run/op_call.h"

namespace headrace::op {
namespace {

int64_t count(const Call& c, const char* key, int64_t parts) {
  const int64_t n = c.window(key);
  expect(n > 0 && parts % n == 0, "op ", c.name, ": parameter ", key, " = ", n, ", which does not divide ", parts);
  return n;
}
Tensor of_state(const Tensor& s, int64_t part) {           // [B,2H,K,V] -> [B,H,K,V], every other
  const int64_t B = s.dim(0), H = s.dim(1) / 2, size = s.dim(2) * s.dim(3);
  return concat_rows({s.view({B * H, 2 * size}).slice(1, part * size, size)}).view({B, H, s.dim(2), s.dim(3)});
}

// Head h of the two states stands at 2h and 2h + 1; q and k are read by both.
void dsla(Call& c) {
  const Tensor x = c.timed("x"), q = linear(x, c.weight("q_proj_weight")), k = linear(x, c.weight("k_proj_weight")),
               v = linear(x, c.weight("v_proj_weight"));
  const int64_t N = x.dim(0), Q = q.dim(1), P = v.dim(1), H = count(c, "heads", Q), K = Q / H, V = P / H;
  expect(P % H == 0, "op dsla: ", H, " heads of ", P, " values");
  const float normaliser = static_cast<float>(c.positive("gate_logit_normalizer", 16)), low = static_cast<float>(c.number("clamp_min", -50));
  const auto gate = [&](const char* w, const char* b) {
    return at_least(1 / normaliser * log_sigmoid(linear(x, c.weight(w), c.weight(b))), low).view({N, H, K});
  };
  const Tensor values = v.view({N, H, V});
  const float scale = 1 / std::sqrt(static_cast<float>(K));
  const Tensor both = c.over_time({q.view({N, H, K}), k.view({N, H, K}), concat({values, values}).view({N, 2 * H, V}),
                                   concat({gate("gk_proj_weight", "gk_proj_bias"), gate("gk_proj2_weight", "gk_proj2_bias")}).view({N, 2 * H, K})},
                                  [=](const std::vector<Tensor>& x, const Slot& slot) {
    return linear_scan({.q = x[0], .k = x[1], .v = x[2], .log_decay = x[3], .scale = scale}, slot);
  }).view({N, H, 2 * V});
  const Tensor alpha = softmax(c.weight("alpha_list").view({1, 2}));
  const auto part = [&](int64_t i) {                       // alpha_i times the answers of state i
    const Tensor share = matmul(alpha.slice(1, i, 1), constant({1, V}, 1, c.device)).view({V});
    return both.slice(-1, i * V, V) * share;
  };
  c.give("o", linear((part(0) + part(1)).view({N, P}), c.weight("o_proj_weight")));
  if (Tensor s = c.state()) c.out["state_far"] = of_state(s, 0), c.out["state_near"] = of_state(s, 1);
}

// Sums of |gamma^(t-s) q_t.k_s| over s <= t of each sequence and head, [N,H]: constants.
Tensor absolute_sums(const Call& c, const Tensor& q, const Tensor& k, const std::vector<double>& log_decay) {
  const PauseTape pause;
  const int64_t H = q.dim(1), K = q.dim(2), most = 256;
  Tensor sums = Tensor::empty({c.B * c.T, H}, DType::f32, c.device);
  for (int64_t b = 0; b < c.B; ++b)
    for (int64_t t = 0; t < c.T; t += most) {
      const int64_t n = std::min(most, c.T - t), L = t + n;
      for (int64_t h = 0; h < H; ++h) {
        Tensor decay = Tensor::zeros({n, L});
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j <= t + i; ++j)
            decay.f32()[i * L + j] = static_cast<float>(std::exp(log_decay[static_cast<size_t>(h)] * static_cast<double>(t + i - j)));
        const Tensor queries = q.slice(0, b * c.T + t, n).slice(1, h, 1).view({n, K}), keys = k.slice(0, b * c.T, L).slice(1, h, 1).view({L, K});
        const Tensor A = matmul(queries, keys, false, true);
        Tensor to = sums.slice(0, b * c.T + t, n).slice(1, h, 1);
        copy_into(sum_columns(unary(Unary::abs, A) * copy_to(decay, c.device)).view({n, 1}), to);
      }
    }
  return sums;
}
// torchscale's parallel form: its two normalisations, constants, matter by the norm's eps alone.
void retention_layer(Call& c) {
  const Tensor x = c.timed("x");
  Tensor q = linear(x, c.weight("q_proj_weight")), k = linear(x, c.weight("k_proj_weight")), v = linear(x, c.weight("v_proj_weight"));
  const int64_t N = x.dim(0), Q = q.dim(1), P = v.dim(1), H = count(c, "heads", Q), K = Q / H, V = P / H;
  expect(P % H == 0 && K % 2 == 0, "op retention_layer: ", H, " heads of ", Q, " keys, ", P, " values; keys turn in pairs");
  Rope turn{.rotary = static_cast<int>(K), .interleaved = true};
  for (int64_t i = 0; i < K / 2; ++i)                      // linspace over [0,1], both ends in it
    turn.inverse_frequency.push_back(static_cast<float>(std::pow(10000.0, K > 2 ? -static_cast<double>(i) / static_cast<double>(K / 2 - 1) : 0.0)));
  const Wholes all(c);
  q = rope(q.view({N, H, K}), turn, all.positions);
  k = 1 / std::sqrt(static_cast<float>(K)) * rope(k.view({N, H, K}), turn, all.positions);
  std::vector<double> log_decay;
  Tensor decay = Tensor::empty({H}), root = Tensor::empty({N, H});
  for (int64_t h = 0; h < H; ++h) {
    log_decay.push_back(std::log1p(-std::exp2(-5.0 - static_cast<double>(h))));
    decay.f32()[h] = static_cast<float>(log_decay.back());
    double sum = 0;                                        // of a row of the mask
    for (int64_t t = 0; t < c.T; ++t) {
      sum += std::exp(log_decay.back() * static_cast<double>(t));
      for (int64_t b = 0; b < c.B; ++b) root.f32()[(b * c.T + t) * H + h] = static_cast<float>(1 / std::sqrt(sum));
    }
  }
  root = copy_to(root, c.device), decay = copy_to(decay, c.device);
  const Tensor y = c.over_time({q, k, v.view({N, H, V})}, [&](const std::vector<Tensor>& x, const Slot& slot) {
    return linear_scan({.q = x[0], .k = x[1], .v = x[2], .log_decay = decay}, slot);
  });
  Tensor factor;
  {
    const PauseTape pause;
    factor = root * reciprocal(at_most(at_least(root * absolute_sums(c, q, k, log_decay), 1), 5e4f));
  }
  const Tensor normed = rms_norm(scale_heads(y, factor), {}, {.eps = static_cast<float>(c.number("eps", 1e-6))}).view({N, P});
  c.give("o", linear(binary(Binary::silu_multiply, linear(x, c.weight("g_proj_weight")), normed), c.weight("out_proj_weight")));
}

void linformer(Call& c) {
  const Tensor x = c.timed("x"), E = c.weight("proj_k"), F = c.weight("proj_v");
  c.check_says("k", E.dim(1)), c.check_says("seq_len", E.dim(0));
  expect(E.dim(0) >= c.T, "op linformer: ", c.T, " tokens where proj_k and proj_v have ", E.dim(0), " rows");
  const Tensor q = linear(x, c.weight("to_q_weight")), k = linear(x, c.weight("to_k_weight")), v = linear(x, c.weight("to_v_weight"));
  const int64_t N = x.dim(0), P = q.dim(1), H = count(c, "heads", P), M = E.dim(1), K = P / H;
  const Wholes all(c);
  const auto projected = [&](const Tensor& along, const Tensor& rows) {
    return each_sequence(all.slot().sequences, [&](int64_t first, int64_t n, int) {
      return matmul(along.slice(0, 0, n), rows.slice(0, first, n), true);
    }).view({c.B * M, H, K});
  };
  std::vector<int64_t> keys;
  for (int64_t b = 0; b <= c.B; ++b) keys.push_back(b * M);
  const Tensor y = attention(q.view({N, H, K}), projected(E, k), projected(F, v), {.causal = false, .keys = {keys}}, all.slot());
  c.give("o", linear(y.view({N, P}), c.weight("to_out_weight"), c.weight("to_out_bias")));
}

void aft(Call& c) {
  const Tensor q = sigmoid(c.timed("q")), k = c.timed("k"), v = c.timed("v"), w = c.weight("w");
  const int64_t near = c.window("local_window");
  const Wholes all(c);
  const auto give = [&](const char* key, const Tensor& y) { c.give(key, q * y); };
  give("o", aft_full(k, v, w, true, all.slot()));
  give("full", aft_full(k, v, w, false, all.slot()));
  give("simple", aft_simple_whole(k, v, all.slot()));
  const auto local = [&] {
    if (near == 0) return aft_full(k, v, 0.f * w, true, all.slot());
    return aft_near({.k = k, .v = v, .w = w, .window = std::min(near, c.T)}, all.positions, all.slot(), all.slot(), all.slot());
  };
  give("local_causal", local());
}

const Entry table[] = {
    {{"aft", "q [B,T,C]; k [B,T,C]; v [B,T,C]; w [T,T]", "local_window", "o [B,T,C]; full [B,T,C]; simple [B,T,C]; local_causal [B,T,C]",
      "sigmoid(q) sum of exp(k_j + w_tj) v_j / sum of exp(k_j + w_tj): o over j <= t, full over all, simple over all with w = 0; "
      "local_causal over j <= t with w = 0 where t - j >= local_window"}, aft},
    {{"dsla", "x [B,T,D]; q_proj_weight [Q,D]; k_proj_weight [Q,D]; v_proj_weight [P,D]; o_proj_weight [E,P]; gk_proj_weight [Q,D]; "
      "gk_proj2_weight [Q,D]; gk_proj_bias [Q]; gk_proj2_bias [Q]; alpha_list [2]", "heads; gate_logit_normalizer = 16; clamp_min = -50",
      "o [B,T,E]; state_far [B,H,K,V]; state_near [B,H,K,V]",
      "o_proj of sum_m softmax(alpha)_m K^-1/2 q S_m, S_m = diag(exp(gk_m)) S_m + k v^T, gk_m = max(logsigmoid(W_m x + b_m) / 16, -50)"}, dsla},
    {{"retention_layer", "x [B,T,D]; q_proj_weight [Q,D]; k_proj_weight [Q,D]; v_proj_weight [P,D]; g_proj_weight [P,D]; out_proj_weight [E,P]",
      "heads; eps = 1e-6", "o [B,T,E]",
      "out_proj(silu(W_g x) norm(o)), o the retention of q, k turned by position, 1 / norm's row sums as in torchscale"}, retention_layer},
    {{"linformer", "x [B,T,D]; proj_k [L,M]; proj_v [L,M]; to_q_weight [P,D]; to_k_weight [P,D]; to_v_weight [P,D]; to_out_weight [E,P]; "
      "to_out_bias [E]",
      "heads", "o [B,T,E]", "softmax(q (E^T k)^T K^-1/2) F^T v by head, E and F the first T rows of proj_k and proj_v"}, linformer},
};

}  // namespace

std::span<const Entry> layer_entries() { return table; }

}  // namespace headrace::op
