#include "mixers/catalogue.h"

namespace headrace {
namespace {

constexpr MixerInfo table[] = {
    {"attn", "softmax attention",
        "Vaswani et al. 2017 (1706.03762); Shazeer 2019 (1911.02150); Ainslie et al. 2023 (2305.13245); RoPE: Su et al. 2021 (2104.09864)",
     "q = W_q x, k = W_k x, v = W_v x;  q, k <- rope(norm(q)), rope(norm(k))\n"
     "y = W_o softmax(scale q k^T) v                     over j <= i, with window: i - j < window",
     "heads, kv (key heads, where fewer), dim (of a head, where not d / heads), window",
     "W_q [H D, d], W_k and W_v [Hkv D, d], W_o [d, H D]; biases and norms of q and k where the family has them",
     "keys and values, 2 Hkv D floats a token, at most `window` tokens where there is one", "O(T H D) a token, O(T^2 H D) a sequence",
         "mixers/attention.h"},
    {"retnet", "retention (RetNet)", "Sun et al. 2023 (2307.08621)",
     "q, k <- rope(q), rope(k);  S_t = gamma_h S_{t-1} + k v^T,  gamma_h = 1 - 2^(-5-h)\no = scale S_t^T q;  y = W_o(norm(o) silu(W_g x))",
     "heads, kv (key heads, where fewer), key, value (of a head), conv (taps), feature (of q and k: relu, ...)",
         "W_q, W_k [H K, d], W_v, W_g [H V, d], W_o [d, H V], norm [V]", "H K V floats",
         "O(H K V) a token, O(T H K V) a sequence",
     "mixers/linear_attention.h"},
    {"gla", "gated linear attention", "Yang et al. 2023 (2312.06635)",
     "S_t = diag(exp(g_t)) S_{t-1} + k v^T,  g = logsigmoid(W_2 W_1 x + b) / 16\no = scale S_t^T q;  y = W_o(norm(o) silu(W_g x))",
     "heads, kv (key heads, where fewer), key, value (of a head), conv (taps), feature (of q and k: relu, ...)",
         "W_q, W_k [H K, d], W_v, W_g [H V, d], W_o [d, H V], gate W_1 [rank, d], W_2 [H K, rank], b", "H K V floats",
     "O(H K V) a token, O(T H K V) a sequence", "mixers/linear_attention.h"},
    {"linear_attn", "linear attention", "Katharopoulos et al. 2020 (2006.16236), without their normaliser",
     "q, k <- f(W_q x), f(W_k x);  S_t = S_{t-1} + k v^T\no = scale S_t^T q;  y = W_o norm(o)",
     "heads, kv (key heads, where fewer), key, value (of a head), feature: elementwise_product, elu (plus 1), relu, identity",
         "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V], norm [V]; elementwise_product: two maps [K, K] with biases for q, two for k",
         "H K V floats", "O(H K V) a token, O(T H K V) a sequence", "mixers/linear_attention.h"},
    {"hgrn2", "HGRN2, hierarchically gated linear recurrence", "Qin et al. 2024 (2404.07904)",
     "decay = c + (1 - c) sigmoid(f),  k = 1 - decay,  q = silu(W_q x)       c grows with depth\n"
     "S_t = diag(decay) S_{t-1} + k v^T;  o = S_t^T q;  y = W_o norm(o)",
     "heads, key, value (of a head)", "W_q, W_f [H K, d], W_i [H V, d], W_o [d, H V]; lower bounds of all layers", "H K V floats",
     "O(H K V) a token, O(T H K V) a sequence", "mixers/linear_attention.h"},
    {"mamba", "Mamba, a selective state-space layer (S6)", "Gu and Dao 2023 (2312.00752); Falcon Mamba: Zuo et al. 2024 (2410.05355)",
     "[x; z] = W_in u,  x = silu(conv(x)),  [d; B; C] = W_x x\ndt = softplus(W_dt d + b_dt),  A = -exp(A_log)\n"
     "h[c,n] <- exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c],  y[c] = sum_n C[n] h[c,n] + D[c] x[c]\nout = W_out (y silu(z))",
     "inner, state, rank, taps", "W_in [2 E, d], conv [E, taps], W_x [R + 2 N, E], W_dt [E, R], A_log [E, N], D [E], W_out [d, E]",
         "E (N + taps - 1) floats",
     "O(d E + E N) a token, O(T (d E + E N)) a sequence", "mixers/mamba.h"},
    {"mamba2", "Mamba-2, state-space duality", "Dao and Gu 2024 (2405.21060)",
     "[z; x; B; C; dt] = W_in u;  x, B, C = silu(conv([x; B; C]))\ndt = clamp(softplus(dt + b)),  A = -exp(A_log)         one a head\n"
     "S_t = exp(dt A) S_{t-1} + B (dt x)^T,  y = S_t^T C + D x\nout = W_out rms(y silu(z))",
     "heads, dim, groups, state, taps", "W_in [2 H P + 2 G N + H, d], conv [H P + 2 G N, taps], A_log, D, b [H], norm [H P], W_out [d, H P]",
     "H N P + (H P + 2 G N)(taps - 1) floats", "O(d H P + H N P) a token, times T a sequence", "mixers/mamba2.h"},
    {"rg_lru", "real-gated linear recurrent unit (Griffin, Hawk)", "De et al. 2024 (2402.19427); Botev et al. 2024 (2404.07839)",
     "x = conv(W_x u);  i = sigmoid(W_i x + b_i),  r = sigmoid(W_r x + b_r)\nlog a = -8 r softplus(lambda),  h_t = a h_{t-1} + sqrt(1 - a^2) i x\n"
     "out = W_out (h gelu(W_y u))",
     "lru (channels), heads (blocks of the gates), taps",
         "W_x, W_y [L, d], conv [L, taps], gates [heads, L/heads, L/heads] twice, lambda [L], W_out [d, L]",
     "taps L floats", "O(d L + L^2 / heads) a token, times T a sequence", "mixers/rg_lru.h"},
    {"rwkv4", "RWKV-4 time mix", "Peng et al. 2023 (2305.13048)",
     "x_j = x mu_j + x_before (1 - mu_j);  r, k, v = W x_r, W x_k, W x_v;  w = -exp(time_decay)\n"
     "wkv_t = (sum_{s<t} e^((t-1-s) w + k_s) v_s + e^(u + k_t) v_t) / (the same without v);  y = W_o(sigmoid(r) wkv)",
     "inner", "W_r, W_k, W_v [A, d], W_o [d, A], time_decay, time_first [A], mu [3, d]", "3 A + d floats", "O(d A) a token, times T a sequence",
         "mixers/rwkv4.h"},
    {"rwkv5", "RWKV-5 (Eagle) time mix", "Peng et al. 2024 (2404.05892)",
     "x_j = x mu_j + x_before (1 - mu_j);  r, k, v, g = W x_r, W x_k, W x_v, W x_g;  log w = -exp(time_decay)\n"
     "y_t = (S_{t-1} + diag(u) k v^T)^T r;  S_t = diag(w) S_{t-1} + k v^T;  out = W_o(groupnorm(y) silu(g))",
     "heads", "W_r, W_k, W_v, W_g [A, d], W_o [d, A], time_decay, u [H, K], mu [4, d]", "H K V + d floats",
         "O(d A + H K V) a token, times T a sequence", "mixers/rwkv5.h"},
    {"rwkv6", "RWKV-6 (Finch) time mix", "Peng et al. 2024 (2404.05892)",
     "d = x_before - x;  z = tanh((x + d mu_x) W1) in five parts;  x_j = x + d (mu_j + z_j W2_j)\nlog w_t = -exp(time_decay + tanh(x_w Wd1) Wd2)\n"
     "y_t = (S_{t-1} + diag(u) k v^T)^T r;  S_t = diag(w_t) S_{t-1} + k v^T;  out = W_o(groupnorm(y) silu(g))",
     "heads", "W_r, W_k, W_v, W_g [A, d], W_o [d, A], low-rank W1, W2, Wd1, Wd2, time_decay, u, mu", "H K V + d floats",
         "O(d A + H K V) a token, times T a sequence",
     "mixers/rwkv6.h"},
    {"rwkv7", "RWKV-7 (Goose) time mix: a generalised delta rule", "Peng et al. 2025 (2503.14456)",
     "x_j = x + (x_before - x) x_j;  log w = -e^(-1/2) sigmoid(w0 + tanh(x_w w1) w2),  a = sigmoid(a0 + (x_a a1) a2)\n"
     "kappa = l2norm(k k_k),  k <- k (1 + (a - 1) k_a),  v <- v + (v_first - v) sigmoid(v0 + (x_v v1) v2)\n"
     "S_t = (diag(w) - (a kappa) kappa^T) S_{t-1} + k v^T;  y = W_o((groupnorm(S^T r) + (sum r k r_k) v) g)",
     "heads", "W_r, W_k, W_v [A, d], W_o [d, A], low-rank w, a, v, g, vectors k_k, k_a, r_k", "H K V + d floats",
         "O(d A + H K V) a token, times T a sequence",
     "mixers/rwkv7.h"},
    {"rwkv_channel_mix", "RWKV's feed-forward layer", "Peng et al. 2023 (2305.13048), equations 16 to 18",
     "x_j = x + (x_before - x) mu_j;   y = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2      RWKV-7: without the receptance", "",
         "W_k [F, d], W_v [d, F], W_r [d, d]",
     "d floats", "O(d F) a token", "mixers/rwkv_channel_mix.h"},
    {"swiglu", "gated feed-forward layer, SiLU", "Shazeer 2020 (2002.05202)", "y = W_down(silu(W_gate x) * W_up x)", "",
        "W_gate, W_up [F, d], W_down [d, F]", "none", "O(d F) a token",
     "nn/layer.h"},
    {"geglu", "gated feed-forward layer, GELU", "Shazeer 2020 (2002.05202)", "y = W_down(gelu(W_gate x) * W_up x)", "",
        "W_gate, W_up [F, d], W_down [d, F]", "none", "O(d F) a token",
     "nn/layer.h"},
    {"mlp", "feed-forward layer", "Vaswani et al. 2017 (1706.03762), section 3.3", "y = W_down act(W_up x)", "",
        "W_up [F, d], W_down [d, F], biases", "none", "O(d F) a token", "nn/layer.h"},
};

}  // namespace

std::span<const MixerInfo> mixers() { return table; }
const MixerInfo* find_mixer(std::string_view name) {
  for (const MixerInfo& m : table)
    if (name == m.name) return &m;
  return nullptr;
}

}  // namespace headrace
