// LRU, the linear recurrent unit: a diagonal complex recurrence that is stable by construction (Orvieto et al. 2023, 2303.06349, section 3).
//
//   lambda = exp(-exp(nu_log) + i exp(theta_log));  h_t = lambda h_{t-1} + exp(gamma_log) B u_t;  y = Re(C h_t) + D u_t
//   out = W_1 gelu(y) * sigmoid(W_2 gelu(y))
//
// State: 2 N floats for N complex modes. Cost of a token: O(N D + D^2).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Lru {
  static const MixerDoc doc;
  struct Options {
    int width, state;                                      // D, N
    float least, most, phase;
    void visit(auto& v) {
      v("state", state, width, "complex modes N");
      v("least", least, 0.f, "of |lambda| at first", Range{0, 1});
      v("most", most, 0.999f, "of |lambda| at first", Range{0, 1});
      v("phase", phase, 6.28f, "largest angle of lambda at first", Range{1e-6, 6.2832});
    }
    void check() const { expect(least < most && most < 1, "lru: least = ", least, " and most = ", most, " must be 0 <= least < most < 1"); }
  };
  Options o;
  Tensor factor, gamma, D;                                 // [2N], [N], [D]
  Tensor B_re, B_im, C_re, C_im;                           // [N,D], [D,N]
  Linear one, two;

  static Lru bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
