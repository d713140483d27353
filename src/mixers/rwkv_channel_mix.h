// RWKV's feed-forward layer ("channel mix"; Peng et al. 2023, 2305.13048, equations 16 to 18; RWKV-7 drops the receptance):
//
//   x_j = x + (x_before - x) mu_j;   y = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2      RWKV-7: y = W_v relu(W_k x_k)^2
//
// State: D floats (the token before).
#pragma once
#include <algorithm>

#include "mixers/token_mix.h"

namespace headrace {

struct RwkvChannelMix {
  static const MixerDoc doc;
  struct Options {
    int width, version, hidden;          // parameters: time_mix_k, time_mix_r (RWKV-4, 5), time_maa_k, time_maa_r (6), x_k alone (7)
    RwkvDepth depth = {};
    void place(const Place& at) { width = at.width, depth = {at.layer, at.layers, at.width}; }
    void visit(auto& v) {
      v("version", version, 7, "of RWKV", Range{4, 7});
      v("hidden", hidden, version == 4 || version == 7 ? 4 * width : std::max(1, static_cast<int>(width * 3.5) / 32 * 32), "hidden channels F");
    }
  };
  TokenMix shift;
  Linear key, value, receptance;

  static RwkvChannelMix bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;
};

}  // namespace headrace
