// Hymba's layer (Dong et al. 2024, 2411.13676, section 2): attention and Mamba side by side on one projection.
//
//   [q; k; v; x; z] = W_in u + b
//   a = attention(rope(q), rope(k), v)                  a window, and the stack's meta tokens, which stay in sight
//   s = mamba(x) silu(z)                                conv, silu; step, B, C each through rms with a weight
//   y = W_out ((rms(a) w_1 + rms(s) w_2) / 2)           a head has E / heads channels, E = inner
//
// State: keys and values, 2 kv E / heads floats a token, of the window and the meta tokens; E (N + taps - 1) of Mamba.
// Cost of a decoded token: O(window E + E N). Values are as wide as keys (the released model's are twice as wide), and no layer
// borrows another's keys.
#pragma once
#include "mixers/attention.h"

namespace headrace {

struct Hymba {
  static const MixerDoc doc;
  struct Options {
    int width, heads, kv_heads, inner, state, rank, taps;
    bool bias;
    Attention attend;
    Rope rope;
    float eps;
    void place(const Place& at) { width = at.width, attend.pattern = first_keys(at.meta); }
    void visit(auto& v) {
      v("inner", inner, 2 * width, "channels E of both paths");
      v("heads", heads, heads_for(inner, 64), "heads of queries", heads_range);
      v("kv", kv_heads, heads % 5 == 0 ? heads / 5 : heads, "heads of keys and values; they divide heads", heads_range);
      v("window", attend.window, 1025, "keys that a query sees, itself included; 0: all", Range{0, 1 << 30});
      v("state", state, 16, "numbers N in each channel's state");
      v("rank", rank, (width + 15) / 16, "of the step's matrix");
      v("conv", taps, 3, "taps of the convolution", Range{1, 64});
      v("bias", bias, false, "of the input and output matrices");
      v("eps", eps, 1e-6f, "of the norms", eps_range);
      v("rope", rope.base, 10000, "base of the rotary positions; 0: none", Range{0, 1e12});
    }
    void check() const {
      expect(inner % heads == 0 && heads % kv_heads == 0, "hymba: heads = ", heads, ", kv = ", kv_heads, " for ", inner, " channels");
    }
  };
  Options o;
  Linear in, x, dt, out;
  Tensor conv, conv_bias, A, D;                // A [E,N], negative
  Norm dt_norm, B_norm, C_norm, attention_norm, mamba_norm;

  static Hymba bind(const Scope& s, Options o);   // in_proj, conv1d, x_proj.0, dt_proj.0, A_log.0, D.0, dt_layernorm, pre_avg_layernorm1, ..
  Tensor operator()(const Tensor& u, Pass p) const;   // u [N,D]
};

}  // namespace headrace
