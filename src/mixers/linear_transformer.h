// Linear Transformer (Katharopoulos, Vyas, Pappas, Fleuret 2020, 2006.16236, section 3): softmax attention with elu(x) + 1 as feature map.
//
//   q, k, v = W x;  phi(x) = x + 1 (x > 0), e^x (x <= 0)
//   S_t = S_{t-1} + phi(k_t) v_t^T,  z_t = z_{t-1} + phi(k_t);  o_t = S_t^T phi(q_t) / (phi(q_t).z_t + 1e-6);  y = W_o o
//
// State: H K (V + 1) floats. Cost of a decoded token: O(H K V). (`linear_attn` is flash-linear-attention's layer, a norm for the quotient.)
#pragma once
#include "mixers/feature_attention.h"

namespace headrace {

struct LinearTransformer {
  static const MixerDoc doc;
  struct Options {
    FeatureAttention::Options frame;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) { frame.visit(v, 0); }
    void check() const { frame.check("linear_transformer"); }
    bool is_causal() const { return frame.causal; }
  };
  static FeatureAttention bind(const Scope& s, const Options& o);
};

}  // namespace headrace
