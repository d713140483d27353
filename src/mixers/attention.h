// Softmax attention with its usual options: multi-head, multi-query (Shazeer 2019, 1911.02150) and grouped-query (Ainslie et
// al. 2023, 2305.13245), rotary positions (Su et al. 2021, 2104.09864), query and key norms, soft cap, sliding window.
//
//   q = W_q x, k = W_k x, v = W_v x;  q, k <- rope(norm(q)), rope(norm(k));  y = W_o softmax(scale q k^T) v
//
// State: keys and values, 2 Hkv D floats a token (at most `window` tokens). Cost of a decoded token: O(T H D).
#pragma once
#include "nn/layer.h"
#include "ops/sequence.h"

namespace headrace {

struct AttentionMixer {
  struct Options {
    int width, heads, kv_heads, head_dim;
    Attention attend;                    // scale, cap, window
    Rope rope;
    bool qkv_bias = false, out_bias = false;
    bool qk_norm = false;                // RMS over a head, one weight [head_dim] for all heads
    float norm_eps = 1e-6f, norm_offset = 0;
  };
  Options o;
  Linear q, k, v, out;
  Norm q_norm, k_norm;

  static void check(const std::string& file, int heads, int kv_heads, int head_dim);   // numbers from a file
  static AttentionMixer bind(const Scope& s, Options o);   // q_proj, k_proj, v_proj, o_proj, q_norm, k_norm
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
  static std::string text(const Options& o);
};

}  // namespace headrace
