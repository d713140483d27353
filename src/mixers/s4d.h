// S4D: a diagonal state-space model by channel (Gu, Gupta, Goel and Re 2022, 2206.11893): a long convolution with a modal filter.
//
//   lambda = -exp(log_A_real) + i A_imag,  dt = exp(log_dt),  N/2 of N states kept
//   zoh:       p = e^(dt lambda),  b = (p - 1) / lambda;     bilinear: p = (1 + dt lambda/2) / (1 - dt lambda/2), b = dt / (1 - dt lambda/2)
//   k_l = 2 Re sum_n C_n b_n p_n^l,  y = k * u + D u,  out = glu(W gelu(y))
//
// State: N D floats, the modes. Cost of a token: O(N D + D^2).
#pragma once
#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct S4d {
  static const MixerDoc doc;
  struct Options {
    int width, state;
    std::string init, hold;
    void visit(auto& v) {
      v("state", state, 64, "states N of a channel, in conjugate pairs", Range{2, 1024});
      v("init", init, "lin", "imaginary parts: pi n; (N/pi)(N/(2n+1) - 1); HiPPO-LegS's", Choice{"lin", "inv", "legs"});
      v("hold", hold, "zoh", "discretisation", Choice{"zoh", "bilinear"});
    }
    void check() const { expect(state % 2 == 0, "s4d: state = ", state, " is odd"); }
  };
  Modes modes;                                             // [N,D]
  Tensor skip;                                             // [D]
  Linear out;

  static S4d bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
