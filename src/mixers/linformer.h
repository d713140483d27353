// Linformer (Wang, Li, Khabsa, Fang, Ma 2020, 2006.04768, section 4): keys and values projected along the sequence to a few rows.
//
//   q, k, v = W x;  K' = E^T K [m,K],  V' = F^T V [m,V],  E, F [T_max,m], the first T rows;  o = softmax(q K'^T / sqrt(K)) V';  y = W_o o + b
//
// Every row of K' holds all positions: not causal, and nothing can be carried on. Cost of a sequence: O(T m H K).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Linformer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim, rows, longest;
    std::string share = "heads";
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads H", heads_range);
      v("dim", head_dim, width / heads, "of a head, K", head_range);
      v("rows", rows, 256, "m, keys and values that are left");
      v("longest", longest, 1024, "T_max, the longest sequence");
      v("share", share, "heads", "of E and F: heads have one pair, E = F, layers have one matrix", Choice{"none", "heads", "kv", "layers"});
    }
    void check() const;
    bool is_causal() const { return false; }
    int most_tokens() const { return longest; }
  };
  Options o;
  Linear q, k, v, out;
  Tensor E, F;                           // [T_max,m]; share=none: [H,T_max,m]

  static Linformer bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
