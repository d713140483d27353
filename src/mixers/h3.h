// H3: a shift and a diagonal state-space model with products between, which compare and remember (Fu et al. 2023, 2212.14052).
//
//   k' = shift(W_k u) + D_k (W_k u),  s = diag(k' v) + D k' v,  y = q s,  out = W_o y        v = W_v u, q = W_q u; channel by channel
//   shift: N taps, the correlation of C with B; diag: S4D with bilinear steps
//
// State: 4 N D + 2 length D floats, what the two convolutions keep. Cost of a token: O(D log^2 length + D^2) on average.
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct H3 {
  static const MixerDoc doc;
  struct Options {
    int width, state, length;
    void visit(auto& v) {
      v("state", state, 64, "states N of a channel, in both systems", Range{2, 1024});
      v("length", length, 1024, "taps of the diagonal system's filter", Range{1, 1 << 20});
    }
    void check() const { expect(state % 2 == 0, "h3: state = ", state, " is odd"); }
  };
  Linear q, k, v, out;
  Tensor shift, shift_skip, diag, skip;                    // [D,N], [D], [D,length], [D]

  static H3 bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
