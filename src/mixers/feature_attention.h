// The frame of linear attentions that are weighted means, as softmax attention is, with a feature map in place of the exponential.
//
//   q, k, v = W x;  q, k <- rope(q), rope(k) where asked
//   o_t = sum_s phi(q_t).phi(k_s) v_s / (sum_s phi(q_t).phi(k_s) + eps)     over s <= t; with causal=off over all s;  y = W_o o
//
// A new one is its map. State: H F (V + 1) floats, F features; of a map that keeps its keys' largest exponent H more. Cost of a decoded
// token: O(H F V).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct FeatureAttention {
  struct Features { Tensor q, k, log_decay = {}; };                      // [N,H,F] x2; of the common factor of keys [N,H], or none
  using Map = std::function<Features(const Tensor& q, const Tensor& k, Pass p)>;   // [N,H,K] x2, whole
  struct Options {
    int width, heads, key, value;
    bool bias = false, causal = true;
    float eps;
    Rope rope;
    void visit(auto& v, double usual_base) {
      v("heads", heads, heads_for(width, 64), "heads H", heads_range);
      v("key", key, width / heads, "of a head, K", head_range);
      v("value", value, width / heads, "of a head, V", head_range);
      v("causal", causal, true, "off: a token sees later ones too, and nothing is carried on");
      v("rope", rope.base, usual_base, "base of the rotary positions; 0: none", Range{0, 1e12});
      v("bias", bias, false, "of the matrices for q, k, v");
      v("eps", eps, 1e-6f, "added to the sum of weights", eps_range);
    }
    void check(const char* name) const;
  };
  Options o;
  Linear q, k, v, out;
  Map map;

  static FeatureAttention bind(const Scope& s, Options o, Map map);
  Tensor operator()(const Tensor& x, Pass p) const;                      // x [N,D]
};

// What keeps sums of e^exponent in range: c, taken from each exponent [N,H,F], is the largest of a head up to now (of the sequence, where
// later tokens are seen), and what was kept decays by how it rose.
struct KeyRange { Tensor c, log_decay; };                                // [N,H,1]; [N,H] or none
KeyRange range_of_keys(const Tensor& exponent, bool causal, Pass p);

}  // namespace headrace
