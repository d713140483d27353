// H3: a shift and a diagonal state-space model with products between, which compare and remember (Fu et al. 2023, 2212.14052).
//
//   k' = shift(W_k u) + D_k (W_k u),  s = diag(k' v) + D k' v,  y = q s,  out = W_o y        v = W_v u, q = W_q u; channel by channel
//   shift: N taps, the correlation of C with B; diag: S4D with bilinear steps
//
// State: 5 N D floats, the shift's inputs and waiting sums, the modes. Cost of a token: O(D log^2 N + N D + D^2) on average.
#pragma once
#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct H3 {
  static const MixerDoc doc;
  struct Options {
    int width, state;
    void visit(auto& v) {
      v("state", state, 64, "states N of a channel, in both systems", Range{2, 1024});
    }
    void check() const { expect(state % 2 == 0, "h3: state = ", state, " is odd"); }
  };
  Linear q, k, v, out;
  Tensor shift, shift_skip, skip;                          // [D,N], [D], [D]
  Modes diag;                                              // [N,D]

  static H3 bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
