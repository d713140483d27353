// Performer (Choromanski et al. 2020, 2009.14794, sections 2.3 and 2.4): positive orthogonal random features of softmax, FAVOR+.
//
//   x' = K^-1/4 x for q and k;  phi(x) = M^-1/2 (exp(W x' - |x'|^2/2 - c) + 1e-4),  W [M,K] drawn once: E phi(q).phi(k) = e^(q.k/sqrt(K))
//   o_t = sum_{s<=t} phi(q_t).phi(k_s) v_s / (sum_{s<=t} phi(q_t).phi(k_s) + 1e-6);  y = W_o o
//
// c: of a query its largest W x'; of keys the largest exponent of the head up to now, or of the sequence with causal=off. kernel=relu:
// phi(x) = relu(W x') + 1e-3. State: H M (V + 1) floats and H. Cost of a decoded token: O(H M (K + V)).
#pragma once
#include "mixers/feature_attention.h"

namespace headrace {

struct Performer {
  static const MixerDoc doc;
  struct Options {
    FeatureAttention::Options frame;
    int features;
    std::string kernel = "softmax";
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      frame.visit(v, 0);
      v("features", features, std::max(1, static_cast<int>(frame.key * std::log(frame.key))), "M, random directions");
      v("kernel", kernel, "softmax", "what the features stand for", Choice{"softmax", "relu"});
    }
    void check() const { frame.check("performer"); }
    bool is_causal() const { return frame.causal; }
  };
  static FeatureAttention bind(const Scope& s, const Options& o);
};

}  // namespace headrace
