// RWKV's feed-forward layer ("channel mix"; Peng et al. 2023, 2305.13048, equations 16 to 18; RWKV-7 drops the receptance):
//
//   x_j = x + (x_before - x) mu_j;   y = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2      RWKV-7: y = W_v relu(W_k x_k)^2
//
// State: D floats (the token before).
#pragma once
#include "mixers/token_mix.h"

namespace headrace {

struct RwkvChannelMix {
  enum class Kind { share, maa, plain };            // time_mix_k (RWKV-4, 5), time_maa_k (6), x_k without receptance (7)
  struct Options { int width, hidden; Kind kind; };
  TokenMix shift;
  Linear key, value, receptance;

  static RwkvChannelMix bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;
};

}  // namespace headrace
