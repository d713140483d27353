// Longformer (Beltagy, Peters, Cohan 2020, 2004.05150, section 3): a sliding window, and a few global tokens that see all and are seen by all.
//
//   q, k, v = W x + b;  q', k', v' = W' x + b', a second set for the queries of global tokens
//   i not in M: softmax(q k^T / sqrt(K)) v over {j : |i-j| <= w} and M;  i in M: softmax(q' k'^T / sqrt(K)) v' over all;  y = W_o o + b_o
//
// M: the first `global` tokens of a sequence. As published a token sees later ones; causal=on is the window alone, j <= i, without M.
// Dilation is not known. State (causal): keys and values of w + 1 tokens. Cost of a token: O((w + |M|) H K).
#pragma once
#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct Longformer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim, window, global;
    bool causal;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads", heads_range);
      v("dim", head_dim, width / heads, "of a head", head_range);
      v("causal", causal, false, "the window before a token alone, no global tokens");
      v("window", window, 256, "w, tokens seen on each side", Range{0, 1 << 24});
      v("global", global, causal ? 0 : 1, "the first tokens, which see all and are seen by all", Range{0, 1 << 16});
    }
    void check() const;
    bool is_causal() const { return causal; }
  };
  struct Set { Linear q, k, v; };
  Options o;
  Set local, global;                     // global: where there are such tokens
  Linear out;

  static Longformer bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
