// Hedgehog (Zhang, Bhatia, Kumbong, Re 2024, 2402.04347, section 4): a feature map that learns to imitate softmax.
//
//   q, k, v = W x;  q, k <- rope(q), rope(k);  y = W_phi x by head, one for queries, one for keys
//   map=softmax  phi = [softmax(y); softmax(-y)], at least 1e-12         LoLCATs'
//   map=exp      phi = [exp(y); exp(-y)]                                the paper's
//   map=joint    phi = softmax([2y; -2y])                               flash-linear-attention's
//   o_t = sum_{s<=t} phi(q_t).phi(k_s) v_s / sum_{s<=t} phi(q_t).phi(k_s);  y = W_o o
//
// State: 2 H K (V + 1) floats; exp: H more. Cost of a decoded token: O(H K (K + V)).
#pragma once
#include "mixers/feature_attention.h"

namespace headrace {

struct Hedgehog {
  static const MixerDoc doc;
  struct Options {
    FeatureAttention::Options frame;
    std::string map = "softmax";
    bool by_head;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      frame.visit(v, 10000);
      v("map", map, "softmax", "the feature map", Choice{"softmax", "exp", "joint"});
      v("by_head", by_head, true, "a W_phi for each head; off: one with a bias for all");
    }
    void check() const { frame.check("hedgehog"); }
    bool is_causal() const { return frame.causal; }
  };
  static FeatureAttention bind(const Scope& s, const Options& o);
};

}  // namespace headrace
