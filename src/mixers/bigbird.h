// BigBird (Zaheer et al. 2020, 2007.14062, section 2): blocks of queries see the blocks beside them, the first and the last, and a few at
// random; the first and the last see all.
//
//   q, k, v = W x + b;  o_i = softmax(q_i k^T / sqrt(K)) v over the blocks {0, i-1, i, i+1, n-1} and R_i, each once;  y = W_o o + b
//
// R_i: `random` blocks drawn by head and row from the layer's seed and the number of blocks. Fewer than 5 + 2 random blocks: all see all.
// Not causal, as published. Cost of a sequence: O(T b (5 + random) H K).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct BigBirdMixer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim, block, random, seed;
    int nth = 0;                         // the layer among its like: each draws other blocks
    void place(const Place& at) { width = at.width, nth = at.nth; }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads", heads_range);
      v("dim", head_dim, width / heads, "of a head", head_range);
      v("block", block, 64, "tokens of a block");
      v("random", random, 3, "blocks at random", Range{0, 1 << 10});
      v("seed", seed, 0, "of the blocks at random, with the layer", Range{0, 1 << 30});
    }
    void check() const;
    bool is_causal() const { return false; }
  };
  Options o;
  Linear q, k, v, out;

  static BigBirdMixer bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
