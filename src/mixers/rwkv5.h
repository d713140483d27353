// RWKV-5 "Eagle" time mix: a matrix state by head, decayed by a constant, with a bonus for the current token
// (Peng et al. 2024, 2404.05892, section 3). 5.2 as published: decay and bonus by channel, and an output gate; 5.1: by head.
//
//   x_j = x mu_j + x_before (1 - mu_j);  r, k, v, g = W x_r, W x_k, W x_v, W x_g;  log w = -exp(time_decay)
//   y_t = (S_{t-1} + diag(u) k v^T)^T r;  S_t = diag(w) S_{t-1} + k v^T;  out = W_o(groupnorm(y) silu(g))
//
// State: H K V + D floats. Cost of a decoded token: O(H K V).
#pragma once
#include "mixers/token_mix.h"

namespace headrace {

struct Rwkv5 {
  static const MixerDoc doc;
  struct Options {
    int width, inner, heads;
    bool gate = true;
    bool by_channel = true;              // decay and bonus [H,K], else [H]
    bool log_bonus = false;              // 5.0 and 5.1 store time_first = log u instead of time_faaaa = u
    float norm_eps = 64e-5f;             // 1e-5 after a division of y by 8
    RwkvDepth depth = {};
    void place(const Place& at) { width = at.width, depth = {at.layer, at.layers, at.width}; }
    void visit(auto& v) {
      v("inner", inner, width, "channels A");
      v("heads", heads, heads_for(inner, 64), "heads H", heads_range);
      v("gate", gate, true, "an output gate (5.1 and later)");
      v("by_channel", by_channel, true, "decay and bonus by channel (5.2), else by head");
      v("log_bonus", log_bonus, false, "the bonus is kept as its logarithm (5.0, 5.1)");
      v("eps", norm_eps, 64e-5f, "of the norm", eps_range);
    }
    void check() const { expect(inner % heads == 0, "rwkv5: heads = ", heads, " do not divide inner = ", inner); }
  };
  Options o;
  TokenMix shift;
  Linear key, value, receptance, gate, output;
  Tensor log_decay, bonus;               // [1,H,K] or [H]; [H,K]
  Norm norm;

  static Rwkv5 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
};

}  // namespace headrace
