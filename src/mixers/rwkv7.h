// RWKV-7 "Goose" time mix: a generalised delta rule with vector decay (Peng et al. 2025, 2503.14456, section 4).
//
//   x_j = x + (x_before - x) x_j;  r = W_r x_r, k = W_k x_k, v = W_v x_v
//   log w = -e^(-1/2) sigmoid(w0 + tanh(x_w w1) w2)                    decay, in (0.545, 1)
//   a = sigmoid(a0 + (x_a a1) a2),  g = sigmoid(x_g g1) g2             learning rate in context, output gate
//   v <- v + (v_first - v) sigmoid(v0 + (x_v v1) v2)                   v_first: the first layer's v, which has no v0
//   kappa = l2norm(k k_k) by head,  k <- k (1 + (a - 1) k_a)
//   S_t = (diag(w) - (a kappa) kappa^T) S_{t-1} + k v^T;  y = W_o((groupnorm(S^T r) + (sum r k r_k) v) g)
//
// State: H K V + D floats. Cost of a decoded token: O(H K V).
#pragma once
#include "mixers/token_mix.h"

namespace headrace {

struct Rwkv7 {
  struct Options {
    int width, inner, heads;             // inner: heads times head size
    bool first = false;                  // of its stack: it gives v_first and has no v0, v1, v2
    float norm_eps = 64e-5f;
    float key_eps = 1e-12f;              // bounds the norm of a key from below; key_clamp false: added to its square
    bool key_clamp = true;
  };
  struct LowRank {                       // up(f(down x)) + bias
    Tensor down, up, bias;
    static LowRank bind(const Scope& s, const std::string& letter, int in, int out, bool with_bias = true);
  };
  Options o;
  TokenMix shift;
  Linear receptance, key, value, output;
  LowRank w, a, v, g;
  Tensor k_k, k_a, r_k;
  Norm norm;

  static Rwkv7 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
  static std::string text(const Options& o);
};

}  // namespace headrace
