// Griffin's and Hawk's recurrent block around the real-gated linear recurrent unit (De et al. 2024, 2402.19427, section 2.4;
// RecurrentGemma, Botev et al. 2024, 2404.07839).
//
//   x = conv(W_x u);  i = sigmoid(W_i x + b_i),  r = sigmoid(W_r x + b_r)       gates block diagonal, one block a head
//   log a = -8 r softplus(lambda),  h_t = a h_{t-1} + sqrt(1 - a^2) i x         the first token's gain is 1
//   out = W_out (h gelu(W_y u))
//
// State: taps L floats for L channels. Cost of a token: O(D L + L^2 / heads), whatever came before.
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct RgLru {
  static const MixerDoc doc;
  struct Options {
    int width, lru, heads, taps = 4;                       // D, L
    int layers = 1;                                        // of the stack: the output begins smaller in a deep one
    void place(const Place& at) { width = at.width, layers = at.layers; }
    void visit(auto& v) {
      v("lru", lru, width, "channels L");
      v("heads", heads, heads_for(lru, 256), "blocks of the gates", heads_range);
      v("conv", taps, 4, "taps of the convolution", Range{1, 64});
    }
    void check() const { expect(lru % heads == 0, "rg_lru: heads = ", heads, " do not divide lru = ", lru); }
  };
  struct BlockLinear {
    Tensor weight, bias;                                   // [heads, in, out], [heads, out]
    Tensor operator()(const Tensor& x) const { return block_linear(x, weight, bias); }
  };
  Options o;
  Linear in_x, in_y, out;
  Tensor conv, conv_bias, rate;                            // rate: -8 softplus(lambda) [L]
  BlockLinear admit, forget;

  static RgLru bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
