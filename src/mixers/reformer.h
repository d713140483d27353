// Reformer (Kitaev, Kaiser, Levskaya 2020, 2001.04451, section 2): queries are keys; tokens sorted by hash see their chunk of the order.
//
//   q = W_qk x,  v = W_v x,  k = q / (sqrt(mean q^2 + 1e-6) sqrt(K));  hash_r(q) = argmax [q A_r; -q A_r],  A_r [K,buckets/2] drawn once
//   order: by (round, hash, position). A chunk of m sees itself and the one before (the first: the last), j <= i, itself only where it
//   sees nothing else;  o_t = sum_r e^(lse_r,t - log sum_r e^lse_r,t) o_r,t;  y = W_o o
//
// T <= m: attention with these keys. Later tokens move the borders of chunks: nothing can be carried on. Cost of a sequence: O(R T m H K).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Reformer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim, chunk, rounds, buckets;
    bool causal;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads", heads_range);
      v("dim", head_dim, width / heads, "of a head", head_range);
      v("chunk", chunk, 64, "m, tokens of a chunk of the sorted order");
      v("rounds", rounds, 2, "R, hashes of a token", Range{1, 64});
      v("buckets", buckets, 32, "of a hash, an even number", Range{2, 1 << 16});
      v("causal", causal, true, "off: a token sees later ones in its chunks");
    }
    void check() const;
    bool is_causal() const { return false; }               // in the sense of states, whatever the mask
  };
  Options o;
  Linear qk, v, out;
  Tensor A;                              // [H,K,R buckets/2], fixed

  static Reformer bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
