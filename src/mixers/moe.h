// Mixture of experts: each token goes to k of E gated feed-forward layers (Shazeer et al. 2017, 1701.06538; Switch: Fedus et al.
// 2021, 2101.03961; Mixtral: Jiang et al. 2024, 2401.04088; Jamba: Lieber et al. 2024, 2403.19887).
//
//   p = softmax(W_r x);  K = the k largest;  y = sum_{e in K} w_e W_down,e (silu(W_gate,e x) * W_up,e x)
//   w_e = p_e, or p_e / sum_K p where normalised
//
// Equal scores: the lower index. Tokens are gathered by expert in their order, one product an expert, and summed back in the order
// of each token's choices, so the same bits come out however tokens are batched. No token is dropped.
// While a tape records, E sum_e f_e P_e (f: mean over tokens of how many of their choices are e; P: mean of p) is added to the batch's
// shared "moe.balance": the loss that keeps experts in use, for the trainer to add times its coefficient.
//
// State: none. Cost of a token: O(k D F + D E).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Moe {
  static const MixerDoc doc;
  struct Options {
    int width, experts, top, hidden;
    bool normalise;
    int layers = 1;                      // of the stack: outputs begin smaller in a deep one
    void place(const Place& at) { width = at.width, layers = at.layers; }
    void visit(auto& v) {
      v("experts", experts, 8, "experts E", Range{1, 4096});
      v("top", top, experts < 2 ? 1 : 2, "experts that a token goes to", Range{1, 4096});
      v("hidden", hidden, round_up(width * 8.0 / 3, 64), "hidden channels of an expert");
      v("normalise", normalise, true, "weights of the chosen sum to 1 (Mixtral); off: as they are (Jamba)");
    }
    void check() const { expect(top <= experts, "moe: top = ", top, " of experts = ", experts); }
  };
  Options o;
  Linear router;
  std::vector<GatedMlp> experts;

  static Moe bind(const Scope& s, Options o);        // router, experts.E.{gate_proj, up_proj, down_proj}
  Tensor operator()(const Tensor& x, Pass p) const;  // x [N,D]
};

}  // namespace headrace
