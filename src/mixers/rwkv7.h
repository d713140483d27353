// RWKV-7 "Goose" time mix: a generalised delta rule with vector decay (Peng et al. 2025, 2503.14456, section 4).
//
//   x_j = x + (x_before - x) x_j;  r = W_r x_r, k = W_k x_k, v = W_v x_v
//   log w = -e^(-1/2) sigmoid(w0 + tanh(x_w w1) w2)                    decay, in (0.545, 1)
//   a = sigmoid(a0 + (x_a a1) a2),  g = sigmoid(x_g g1) g2             learning rate in context, output gate
//   v <- v + (v_first - v) sigmoid(v0 + (x_v v1) v2)                   v_first: the first layer's v, which has no v0
//   kappa = l2norm(k k_k) by head,  k <- k (1 + (a - 1) k_a)
//   S_t = (diag(w) - (a kappa) kappa^T) S_{t-1} + k v^T;  y = W_o((groupnorm(S^T r) + (sum r k r_k) v) g)
//
// State: H K V + D floats. Cost of a decoded token: O(H K V).
#pragma once
#include <algorithm>
#include <cmath>

#include "mixers/token_mix.h"

namespace headrace {

struct Rwkv7 {
  static const MixerDoc doc;
  struct Options {
    int width, inner, heads;             // inner: heads times head size
    bool first = false;                  // of its stack: it gives v_first and has no v0, v1, v2
    float norm_eps = 64e-5f;
    float key_eps = 1e-12f;              // bounds the norm of a key from below; key_clamp false: added to its square
    bool key_clamp = true;
    bool twice = false;                  // a kappa times 2: eigenvalues of the transition reach -1, not w - 1 (Grazzi et al. 2024, 2411.12537)
    int decay_rank, rate_rank, value_rank, gate_rank;   // of w, a, v, g
    RwkvDepth depth = {};
    void place(const Place& at) { width = at.width, first = at.nth == 0, depth = {at.layer, at.layers, at.width}; }
    int usual_rank(double c) const { return std::max(1, static_cast<int>(std::lround(c * std::sqrt(width) / 32))) * 32; }
    void visit(auto& v) {
      v("inner", inner, width, "channels A");
      v("heads", heads, heads_for(inner, 64), "heads H", heads_range);
      v("decay_rank", decay_rank, usual_rank(2.5), "of the decay's matrices");
      v("rate_rank", rate_rank, usual_rank(2.5), "of the learning rate's matrices");
      v("value_rank", value_rank, usual_rank(1.7), "of the value mix's matrices; the first layer has none");
      v("gate_rank", gate_rank, usual_rank(5), "of the gate's matrices");
      v("eps", norm_eps, 64e-5f, "of the norm", eps_range);
      v("key_eps", key_eps, 1e-12f, "bounds the norm of a key from below", eps_range);
      v("key_clamp", key_clamp, true, "off: key_eps is added to the norm's square");
      v("twice", twice, false, "twice as much is taken away: negative eigenvalues");
    }
    void check() const { expect(inner % heads == 0, "rwkv7: heads = ", heads, " do not divide inner = ", inner); }
  };
  struct LowRank {                       // up(f(down x)) + bias
    Tensor down, up, bias;
    static LowRank bind(const Scope& s, const std::string& letter, int in, int out, int rank, const Init* bias);
  };
  Options o;
  TokenMix shift;
  Linear receptance, key, value, output;
  LowRank w, a, v, g;
  Tensor k_k, k_a, r_k;
  Norm norm;

  static Rwkv7 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
};

}  // namespace headrace
