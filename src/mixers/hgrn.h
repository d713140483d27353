// HGRN, a gated linear recurrence whose forgetting is bounded from below by depth (Qin et al. 2023, 2311.04823, section 3; the
// real form, as flash-linear-attention has it).
//
//   i, f, g = W_i x, W_f x, W_g x;  w = c + (1 - c) sigmoid(f)                  c: bound of the layer, 0 in the first
//   h_t = w h_{t-1} + (1 - w) silu(i);  y = W_o (norm(h) silu(g))
//   c of layer l: the sum of softmax(bounds) over layers 1 .. l
//
// State: D floats. Cost of a token: O(D^2) for the matrices, O(D) for the recurrence.
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Hgrn {
  static const MixerDoc doc;
  struct Options {
    int width;                                             // D
    float norm_eps;
    bool lower_bound;
    int nth = 0, of = 1;                                   // among the stack's hgrn layers
    void place(const Place& at) { width = at.width, nth = at.nth, of = at.of; }
    void visit(auto& v) {
      v("lower_bound", lower_bound, true, "forget gates are bounded from below by layer");
      v("eps", norm_eps, 1e-5f, "of the norm", eps_range);
    }
  };
  Options o;
  Linear i, f, g, out;
  Norm norm;
  Tensor log_bound, free;                                  // log c and 1 - c [D]; none: c = 0

  static Hgrn bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
