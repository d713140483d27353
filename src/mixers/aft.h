// Attention-free transformer (Zhai et al. 2021, 2105.14103, section 3): weights by pair of positions and by key, one quotient by channel.
//
//   q, k, v = W x + b;  y_t = sigmoid(q_t) sum_s e^(k_s + w_ts) v_s / sum_s e^(k_s + w_ts)      over s <= t;  out = W_o y + b
//   form=simple  w = 0
//   form=full    w [T_max,T_max], or w_ts = a_t.b_s of rank 128
//   form=local   as full where |t-s| < window, 0 beyond: earlier tokens still count
//   form=conv    w by head and distance, gamma (w - mean) / std + beta, 0 beyond; k one number a head
//
// causal=off: over all s, as published for images; not of conv. State: simple 3 A floats; local, conv (2 window + 3) A; full 2 A a token.
// Cost of a decoded token: O(A); O(window A); O(T A).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct AftMixer {
  static const MixerDoc doc;
  struct Options {
    int width, inner, heads, window, longest, rank;
    bool causal;
    std::string form = "simple";
    void visit(auto& v) {
      v("inner", inner, width, "channels A");
      v("form", form, "simple", "weights of positions", Choice{"simple", "full", "local", "conv"});
      v("causal", causal, true, "off: a token sees later ones too, and nothing is carried on");
      v("window", window, 32, "of local and conv, the token itself included", Range{1, 1 << 16});
      v("longest", longest, 1024, "T_max of full and local", Range{1, 1 << 15});
      v("rank", rank, 128, "of full's and local's w; 0: w itself is learned", Range{0, 1 << 12});
      v("heads", heads, heads_for(inner, 64), "of conv; they divide the channels", heads_range);
    }
    void check() const;
    bool is_causal() const { return causal; }
    int most_tokens() const { return form == "full" || form == "local" ? longest : 0; }
  };
  Options o;
  Linear q, k, v, out;
  Tensor w;                              // full, local: [T_max,T_max]; conv: [A,window], column t - s

  static AftMixer bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
