// Dual-state linear attention (Ro, Zhang, Kundu, Wang, Akella 2025, 2506.09316; the survey's RoFly): two gated states that share queries,
// keys and values, one that remembers long, one short; made of a Transformer's layer.
//
//   q, k, v = W x;  g_m = max(logsigmoid(W_m x + b_m) / 16, -50) for m = 1, 2 by key channel
//   S_m,t = diag(e^g_m) S_m,t-1 + k_t v_t^T;  o = K^-1/2 sum_m alpha_m S_m,t^T q_t,  alpha = softmax(alpha_list);  y = W_o o
//
// State: 2 H K V floats. Cost of a decoded token: O(H K V).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Dsla {
  static const MixerDoc doc;
  struct Options {
    int width, heads, key, value;
    float normalizer, least;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads H", heads_range);
      v("key", key, width / heads, "of a head, K", head_range);
      v("value", value, width / heads, "of a head, V", head_range);
      v("normalizer", normalizer, 16, "log decays are divided by it", Range{1e-3, 1e6});
      v("least", least, -50, "log decays are not below", Range{-1e6, 0});
    }
    void check() const;
  };
  Options o;
  Linear q, k, v, out, slow, fast;       // the gates of both states
  Tensor alpha;                          // [1,2], before the softmax

  static Dsla bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
