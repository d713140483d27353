// RWKV-6 "Finch" time mix: RWKV-5 with token shift and decay that depend on the data (Peng et al. 2024, 2404.05892, section 4).
//
//   d = x_before - x;  z = tanh((x + d mu_x) W1) in five parts;  x_j = x + d (mu_j + z_j W2_j), j = w, k, v, r, g
//   log w = -exp(time_decay + tanh(x_w Wd1) Wd2);  r, k, v, g = W x_r, W x_k, W x_v, W x_g
//   y_t = (S_{t-1} + diag(u) k v^T)^T r;  S_t = diag(w_t) S_{t-1} + k v^T;  out = W_o(groupnorm(y) silu(g))
//
// State: H K V + D floats. Cost of a decoded token: O(H K V).
#pragma once
#include "mixers/token_mix.h"

namespace headrace {

struct Rwkv6 {
  static const MixerDoc doc;
  struct Options {
    int width, heads;
    int keys, values;                    // heads times K, heads times V
    int mix_rank, decay_rank;            // R, R2
    float norm_eps = 64e-5f;
    RwkvDepth depth = {};
    void place(const Place& at) { width = at.width, depth = {at.layer, at.layers, at.width}; }
    void visit(auto& v) {
      v("keys", keys, width, "channels of keys, H K");
      v("values", values, keys, "channels of values, H V");
      v("heads", heads, heads_for(keys, 64), "heads H", heads_range);
      v("mix_rank", mix_rank, width < 4096 ? 32 : 64, "of the token shift's matrices");
      v("decay_rank", decay_rank, width < 4096 ? 64 : 128, "of the decay's matrices");
      v("eps", norm_eps, 64e-5f, "of the norm", eps_range);
    }
    void check() const {
      expect(keys % heads == 0 && values % heads == 0, "rwkv6: heads = ", heads, " do not divide keys = ", keys, " and values = ", values);
    }
  };
  Options o;
  Tensor mu_x, mu;                       // [D]; [5 D] in the order w, k, v, r, g
  Tensor w1, w2;                         // [5 R, D]; [5,R,D]
  Tensor decay, decay_w1, decay_w2;      // [keys]; [R2,D]; [keys,R2]
  Tensor bonus;                          // [H,K]
  Linear key, value, receptance, gate, output;
  Norm norm;

  static Rwkv6 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
};

}  // namespace headrace
