// Attention over several disjoint sets of keys as one softmax: results are merged by the logs of their denominators. Trained tokens
// that every query sees (Titans' persistent memory) are such a set.
#pragma once
#include <span>
#include <vector>

#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

Tensor merged(const std::vector<Attended>& parts);                       // [N,H,V]
// Where a token's position is below `first` it saw no key of this part.
Attended seen_from(const Attended& part, std::span<const int32_t> positions, int64_t first);

struct MergedAttention {
  struct Options {
    int width, heads, tokens;
    Attention attend;
    Rope rope;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads of attention", heads_range);
      v("tokens", tokens, 16, "trained tokens that every query sees, P", Range{0, 1 << 16});
      v("rope", rope.base, 10000, "base of the rotary positions; 0: none", Range{0, 1e12});
    }
    void check(const char* name) const { expect(width % heads == 0, name, ": heads = ", heads, " does not divide the width ", width); }
  };
  Options o;
  Linear q, k, v;
  Tensor token_keys, token_values;       // [P,H,D/H], of the trained tokens, which have no positions

  static MergedAttention bind(const Scope& s, Options o);                // q_proj, k_proj, v_proj, persistent
  // x [N,D] sees itself as o.attend says, the trained tokens, and as it sees itself, `context` [N,D]. -> [N,D]
  Tensor operator()(const Tensor& x, const Tensor& context, Pass p) const;
};

}  // namespace headrace
