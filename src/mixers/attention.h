// Softmax attention with its usual options: multi-head, multi-query (Shazeer 2019, 1911.02150) and grouped-query (Ainslie et
// al. 2023, 2305.13245), rotary positions (Su et al. 2021, 2104.09864), query and key norms, soft cap, sliding window.
//
//   q = W_q x, k = W_k x, v = W_v x;  q, k <- rope(norm(q)), rope(norm(k));  y = W_o softmax(scale q k^T) v
//
// State: keys and values, 2 Hkv D floats a token (at most `window` tokens). Cost of a decoded token: O(T H D).
#pragma once
#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

// The window of attention and, beyond it, the first `count` keys; null for none.
std::shared_ptr<const Pattern> first_keys(int count);

struct AttentionMixer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, kv_heads, head_dim;
    Attention attend;                    // scale, cap, window
    Rope rope;
    bool qkv_bias = false, out_bias = false;
    bool qk_norm = false;                // RMS over a head, one weight [head_dim] for all heads
    bool alibi = false;                  // scores fall with the distance, by head (Press et al. 2021, 2108.12409)
    float norm_eps = 1e-6f, norm_offset = 0;
    int layers = 1;                      // of the stack: the output begins smaller in a deep one
    void place(const Place& at) { width = at.width, layers = at.layers, attend.pattern = first_keys(at.meta); }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads of queries", heads_range);
      v("kv", kv_heads, heads, "heads of keys and values; they divide heads", heads_range);
      v("dim", head_dim, width / heads, "of a head", head_range);
      v("window", attend.window, 0, "keys that a query sees, itself included; 0: all", Range{0, 1 << 30});
      v("rope", rope.base, 10000, "base of the rotary positions; 0: none", Range{0, 1e12});
      v("rotary", rope.rotary, rope.base > 0 ? head_dim / 2 * 2 : 0, "dimensions of a head that turn", Range{0, 65536});
      v("interleaved", rope.interleaved, false, "adjacent dimensions turn together");
      v("bias", qkv_bias, false, "of the matrices for q, k, v");
      v("out_bias", out_bias, qkv_bias, "of the output matrix");
      v("qk_norm", qk_norm, false, "RMS norms of q and k by head");
      v("scale", attend.scale, 0, "of the scores; 0: 1 / sqrt(dim)", Range{0, 1e6});
      v("cap", attend.cap, 0, "scores become cap tanh(score / cap); 0: none", Range{0, 1e6});
      v("alibi", alibi, false, "scores fall with the distance, each head's by its slope");
    }
    void check() const;
  };
  Options o;
  Linear q, k, v, out;
  Norm q_norm, k_norm;

  static void check(const std::string& file, int heads, int kv_heads, int head_dim);   // numbers from a file
  // q_proj, k_proj, v_proj, o_proj, q_norm, k_norm. A rope without frequencies gets those of its base.
  static AttentionMixer bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
