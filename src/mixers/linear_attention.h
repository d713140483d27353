// The frame that linear attentions with decay share: queries, keys and values of the input (through short convolutions
// where asked), a gate that makes linear_scan's decay of them, an RMS norm, a swish gate, an output matrix.
//
//   q, k, v = W x;  q, k <- f(q), f(k);  q, k, log_decay <- gate(x);  o = scale S^T q, S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T
//   y = W_o(norm(o) silu(W_g x))
//
// A new recurrence is one gate. State: H K V floats. Cost of a decoded token: O(H K V).
//
// retention  a constant decay by head, 1 - 2^(-5-h), and rotary positions (RetNet, Sun et al. 2023, 2307.08621).
// gla        log decay = logsigmoid(W_2 W_1 x + b) / 16 by key channel (Yang et al. 2023, 2312.06635).
// hgrn2      decay = c + (1 - c) sigmoid(f) by key channel, key = 1 - decay, query = silu(q); the layer's lower bound c grows
//            with depth (Qin et al. 2024, 2404.07904). f stands in k's place.
// undecayed  nothing is forgotten (Katharopoulos et al. 2020, 2006.16236, without their normaliser), so f matters: elu(x) + 1, relu, or
//            the learned elementwise product (W_1 x + b_1)(W_2 x + b_2).
#pragma once
#include <optional>

#include "nn/layer.h"

namespace headrace {

struct LinearAttention {
  struct Inputs { Tensor q, k, v, log_decay; };                          // [N,H,K], [N,Hk,K], [N,Hk,V]; as linear_scan has them
  using Gate = std::function<void(const Tensor& x, Inputs& in, Pass p)>;  // x [N,D]
  struct Options {
    std::string name;                                                    // in a blueprint
    int width, heads, kv_heads, key, value;                              // key, value: of a head
    float norm_eps;
    int taps = 0;                                                        // of the short convolutions; 0: none
    bool conv_silu = true, output_gate = true;
    bool norm_by_head = true, norm_weight = true;                        // else over all heads at once; without one
    const char *q_name = "q", *k_name = "k", *v_name = "v", *norm_name = "g_norm";   // of q_proj, q_conv1d, ...
    std::string feature;                                                 // f, by flash-linear-attention's name; empty: none
  };
  struct Conv { Tensor weight, bias; };
  Options o;
  Linear q, k, v, g, out;
  Conv q_conv, k_conv, v_conv;
  Norm norm;
  Gate gate;
  std::function<Tensor(const Tensor&)> q_feature, k_feature;             // null: none

  static LinearAttention bind(const Scope& s, Options o, Gate gate);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
  static std::string text(const Options& o);
};

LinearAttention::Gate retention(int heads, Rope rope, Device device);
LinearAttention::Gate gla(const Scope& s, const LinearAttention::Options& o, int rank, std::optional<float> least = {});   // least log decay
inline LinearAttention::Gate undecayed() { return [](const Tensor&, LinearAttention::Inputs&, Pass) {}; }
// log_bound, above_bound [H K]: log c and 1 - c; empty where c = 0.
LinearAttention::Gate hgrn2(Tensor log_bound, Tensor above_bound);

}  // namespace headrace
