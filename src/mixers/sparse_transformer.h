// Sparse Transformer (Child, Gray, Radford, Sutskever 2019, 1904.10509): two sets of about sqrt(T) keys instead of T.
//
//   strided   A1(i) = {j : i - j < l}, A2(i) = {j : (i - j) mod l = 0}
//   fixed     A1(i) = {j : floor(j/l) = floor(i/l)}, A2(i) = {j : j mod l >= l - c}
//   y = W_o softmax(q k^T / sqrt(K) over j <= i in the sets) v
//
// "merged" is one softmax over A1 + A2 of strided; "fixed" that of fixed; "alternating": A1 and A2 of strided in turn by layer.
// State: keys and values, 2 H K floats a token. Cost of a decoded token: O(H K T) at most, (l + T/l) H K of it with weight.
#pragma once
#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct SparseTransformer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim, stride, summary;
    int nth = 0, layers = 1;             // the layer among its like; of the stack: the output begins smaller in a deep one
    std::string pattern = "merged";
    void place(const Place& at) { width = at.width, nth = at.nth, layers = at.layers; }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads", heads_range);
      v("dim", head_dim, width / heads, "of a head", head_range);
      v("pattern", pattern, "merged", "sets of keys", Choice{"merged", "fixed", "alternating"});
      v("stride", stride, 128, "l, about sqrt(T)");
      v("summary", summary, 8, "c, the last of a block of l that all later tokens see, with fixed");
    }
    void check() const {
      expect(int64_t{heads} * head_dim <= 1 << 24, "sparse_transformer: heads = ", heads, " of dim = ", head_dim);
      expect(summary <= stride, "sparse_transformer: summary = ", summary, " of stride = ", stride);
    }
  };
  Options o;
  Attention attend;
  Linear q, k, v, out;

  static SparseTransformer bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
