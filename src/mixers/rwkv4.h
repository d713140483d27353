// RWKV-4 time mix: an exponentially decaying mean by channel, with softmax-like weights (Peng et al. 2023, 2305.13048, section 3.1).
//
//   x_j = x mu_j + x_before (1 - mu_j);  r = W_r x_r, k = W_k x_k, v = W_v x_v;  w = -exp(time_decay), u = time_first
//   wkv_t = (sum_{s<t} e^((t-1-s) w + k_s) v_s + e^(u + k_t) v_t) / (the same without v);  y = W_o(sigmoid(r) wkv)
//
// State: 3 A + D floats (A channels). Cost of a decoded token: O(A).
#pragma once
#include "mixers/token_mix.h"

namespace headrace {

struct Rwkv4 {
  static const MixerDoc doc;
  struct Options {
    int width, inner;
    RwkvDepth depth = {};
    void place(const Place& at) { width = at.width, depth = {at.layer, at.layers, at.width}; }
    void visit(auto& v) { v("inner", inner, width, "channels A"); }
  };
  TokenMix shift;
  Linear key, value, receptance, output;
  Tensor w, u;                           // [A]

  static Rwkv4 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
};

}  // namespace headrace
