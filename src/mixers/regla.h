// ReGLA (Lu, Kobyzev, Rezagholizadeh, Chen, Langlais 2025, 2502.01578; the survey's REGAL): bounded exponential features, a norm instead
// of a denominator, and a gate that refines the gate.
//
//   phi_q = exp(W_q x - max over channels),  phi_k = exp(W_k x - max over channels and positions)        by head
//   f = sigmoid(W_g x + b_g), r = sigmoid(W_r x + b_r);  w = (1-r) f^2 + r (1 - (1-f)^2) = f (2r + (1-2r) f)
//   S_t = diag(w_t) S_{t-1} + phi_k v_t^T;  o = norm(S_t^T phi_q / (e sqrt(K (e^2 - 1))));  y = W_o o
//
// The maximum over positions is the running one: the norm removes the common factor, its eps aside. Head layout, full rank and biases of
// the gates are ours: the paper's text was not at hand. State: H (K V + 1) floats. Cost of a decoded token: O(H K V).
#pragma once
#include "mixers/linear_attention.h"

namespace headrace {

struct Regla {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame{.output_gate = false, .norm_weight = false};
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      v("heads", frame.heads, heads_for(frame.width, 64), "heads H", heads_range);
      v("key", frame.key, frame.width / frame.heads, "of a head, K", head_range);
      v("value", frame.value, frame.width / frame.heads, "of a head, V", head_range);
      v("eps", frame.norm_eps, 1e-5f, "of the norm", eps_range);
      frame.kv_heads = frame.heads;
    }
    void check() const { frame.check("regla"); }
  };
  static LinearAttention bind(const Scope& s, Options o);
};

}  // namespace headrace
