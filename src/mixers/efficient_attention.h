// Efficient Attention (Shen, Zhang, Zhao, Yi, Li 2018, 1812.01243, section 3): softmax of queries over channels, of keys over positions.
//
//   q, k, v = W x;  a_t = softmax over the K channels of q_t;  b_s[d] = softmax over the positions of k_s[d]
//   o_t = sum_s (a_t.b_s) v_s;  y = W_o o
//
// As published a token sees later ones: causal=off. causal=on (not in the paper) takes the softmax over s <= t, with m the running maximum:
//   z_t = e^(m_{t-1} - m_t) z_{t-1} + e^(k_t - m_t);  S_t = diag(e^(m_{t-1} - m_t)) S_{t-1} + e^(k_t - m_t) v_t^T;  o_t = S_t^T (a_t / z_t)
// State (causal): H K (V + 2) floats. Cost of a decoded token (causal): O(H K V).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct EfficientAttention {
  static const MixerDoc doc;
  struct Options {
    int width, heads, key, value;
    bool causal;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads H", heads_range);
      v("key", key, width / heads, "of a head, K", head_range);
      v("value", value, width / heads, "of a head, V", head_range);
      v("causal", causal, false, "softmax over earlier positions alone");
    }
    void check() const;
    bool is_causal() const { return causal; }
  };
  Options o;
  Linear q, k, v, out;

  static EfficientAttention bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
