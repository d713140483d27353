// Multi-head latent attention (DeepSeek-V2 2024, 2405.04434; V3, 2412.19437): keys and values of all heads are linear functions of one
// latent, a small part of the key carries the position. r: latent, n: channels without position, e: with, V: of a value.
//
//   c_t = rms(W_dkv x_t) [r],  kR_t = rope(W_kr x_t) [e], one for all heads;  [qN; qR] = W_uq rms(W_dq x_t) or W_q x_t, qR <- rope(qR)
//   naive     k_s = [W_uk c_s; kR_s],  v_s = W_uv c_s:                  attention with scale (n+e)^(-1/2)
//   absorbed  q' = W_uk^T qN;  score = (q' . c_s + qR . kR_s) scale;    o = W_uv sum_s p_s c_s
//
// Both give the same. Naive is cheaper over many new tokens and keeps H (n+e+V) floats a token; absorbed is attention with one key head,
// and keeps 2 r + e: the latent is both key and value, and pages hold each.
#pragma once
#include <algorithm>

#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct Mla {
  static const MixerDoc doc;
  struct Options {
    int width, heads, latent, query_latent, nope, value;
    Rope rope;
    bool absorbed;
    float norm_eps = 1e-6f;
    void visit(auto& v) {
      v("heads", heads, heads_for(width, 64), "heads", heads_range);
      v("latent", latent, std::max(1, width / 2), "r, of keys and values");
      v("q_latent", query_latent, 0, "of queries; 0: none", Range{0, 1 << 20});
      v("nope", nope, width / heads, "channels of a head without position", head_range);
      v("rotary", rope.rotary, 2 * ((width / heads + 3) / 4), "channels of a head with position, even", Range{0, 65536});
      v("value", value, width / heads, "channels of a head's value", head_range);
      v("rope", rope.base, 10000, "base of the rotary positions", Range{1, 1e12});
      v("interleaved", rope.interleaved, true, "adjacent dimensions turn together");
      v("absorbed", absorbed, true, "one key head of latent + rotary, and only that is kept");
    }
    void check() const;
  };
  Options o;
  Linear q, q_down, kv_down, out;
  Norm q_norm, kv_norm;
  Tensor kv_up;                          // naive: [H (n+V), r], by head key rows, then value rows
  std::vector<Tensor> key_up, value_up;  // absorbed, a head each: W_uk^T [r,n], W_uv [V,r]

  static Mla bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
