// Adaptively sparse attention (Correia, Niculae, Martins 2019, 1909.00015): alpha-entmax instead of softmax, alpha learned by head.
//
//   p = entmax_alpha(q k^T / sqrt(K)),  p_i = [1 + (alpha-1) (z_i - t)]_+^(1/(alpha-1)),  alpha_h = 1 + sigmoid(a_h);  y = W_o p v
//
// State: keys and values, 2 Hkv K floats a token. Cost of a decoded token: O(T H K), of which keys without weight cost no values.
#pragma once
#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct EntmaxAttention {
  static const MixerDoc doc;
  struct Options {
    int width, heads, kv_heads, head_dim;
    Rope rope;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads of queries", heads_range);
      v("kv", kv_heads, heads, "heads of keys and values; they divide heads", heads_range);
      v("dim", head_dim, width / heads, "of a head", head_range);
      v("rope", rope.base, 10000, "base of the rotary positions; 0: none", Range{0, 1e12});
    }
    void check() const {
      expect(heads % kv_heads == 0, "entmax: kv = ", kv_heads, " does not divide heads = ", heads);
      expect(int64_t{heads} * head_dim <= 1 << 24, "entmax: heads = ", heads, " of dim = ", head_dim);
    }
  };
  Options o;
  Linear q, k, v, out;
  Tensor sharpness;                      // a [H]

  static EntmaxAttention bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
