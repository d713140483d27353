// S5: one diagonal state-space system of many inputs and outputs (Smith et al. 2022, 2208.04933, section 3), zero-order hold.
//
//   dt = exp(log_step), p = e^(lambda dt);  x_t = p x_{t-1} + ((p - 1) / lambda) B u_t;  y = 2 Re(C x_t) + D u_t
//   out = gelu(y) * sigmoid(W gelu(y))
//
// N complex modes, half of the state: the others are their conjugates. State: 2 N floats. Cost of a token: O(N D + D^2).
#pragma once
#include "mixers/mixer.h"
#include "ops/complex.h"

namespace headrace {

struct S5 {
  static const MixerDoc doc;
  struct Options {
    int width, state, blocks;                              // D; state = 2 N
    void visit(auto& v) {
      v("state", state, width + width % 2, "size of the whole state, 2 N");
      v("blocks", blocks, 1, "blocks of HiPPO's matrix that lambda begins with");
    }
    void check() const { expect(state % (2 * blocks) == 0, "s5: 2 blocks = ", 2 * blocks, " do not divide state = ", state); }
  };
  Options o;
  Tensor factor, D;                                        // p as [2N]; [D]
  Complex drive;                                           // (p - 1) / lambda [N]
  Tensor B_re, B_im, C_re, C_im;                           // [N,D], [D,N]
  Linear gate;

  static S5 bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
