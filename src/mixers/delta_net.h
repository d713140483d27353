// The frame that delta-rule networks share: each write corrects what the memory answers to its key.
//
//   q, k, v = silu(conv(W x));  q, k <- q / |q|, k / |k| by head;  beta = sigmoid(W_b x), or twice that
//   S <- decay S, then S <- S + beta k (v - S^T k)^T;  o = K^(-1/2) S^T q;  y = W_o(norm(o) act(gate))
//
// State: H K V + 3 (2 Hk K + H V) floats with 4 taps. Cost of a decoded token: O(H K V).
//
// delta_net            no decay (Yang et al. 2024, 2406.06484; Schlag et al. 2021, 2102.11174); beta to 2: Grazzi et al. 2024, 2411.12537.
// gated_delta_net      decay by head, exp(-exp(A_log) softplus(W_a x + dt_bias)) (Yang et al. 2024, 2412.06464); Hk key heads for H value heads.
// gated_delta_product  n such writes a token, one decay before them (Siems et al. 2025, 2502.10297).
// kda                  decay by key channel from a low-rank map (Kimi Linear, Kimi team 2025, 2510.26692); a sigmoid as output gate.
// log_linear_gdn       gated_delta_net over a Fenwick tree of states, read with levels softplus(L * W_l x) (Guo et al. 2025, 2506.04761);
//                      state (levels - 1) H K V.
#pragma once
#include <algorithm>

#include "mixers/heads.h"
#include "mixers/mixer.h"

namespace headrace {

struct DeltaRule {
  using Map = std::function<Tensor(const Tensor& x)>;                    // of the input [N,D]
  struct Options {
    int width, key_heads, heads, key, value, taps;                       // D, Hk, H, K, V; key, value: of a head
    bool output_gate, twice;                                             // twice: beta up to 2
    float norm_eps;
    int writes = 1;                                                      // a token
    int levels = 0;                                                      // of a Fenwick tree; 0: one state
    // Usual: heads, the channels of a head's keys and values.
    void visit(auto& v, int usual_heads, auto usual_key, auto usual_value, bool usual_gate = true, bool usual_twice = false) {
      v("heads", heads, usual_heads, "heads of values H", heads_range);
      v("key_heads", key_heads, heads, "heads of queries and keys; they divide heads", heads_range);
      v("key", key, std::max(1, static_cast<int>(usual_key(heads))), "of a head, K", head_range);
      v("value", value, std::max(1, static_cast<int>(usual_value(heads, key))), "of a head, V", head_range);
      v("conv", taps, 4, "taps of convolutions on q, k and v; 0: none", Range{0, 64});
      v("gate", output_gate, usual_gate, "an output gate");
      v("twice", twice, usual_twice, "beta from 0 to 2: negative eigenvalues");
      v("eps", norm_eps, 1e-5f, "of the norm", eps_range);
    }
    void check(const char* name) const;
  };
  struct Conv { Tensor weight, bias; };
  Options o;
  Linear q, k, v, beta, out;
  Conv q_conv, k_conv, v_conv;
  Norm norm;
  Map log_decay, gate;                                                   // [N,H] or [N,H,K]; [N,H V]. null: none
  Binary activation = Binary::silu_multiply;                             // of the gate
  Levels level;

  static DeltaRule bind(const Scope& s, const Options& o);               // all but the decay
  Tensor operator()(const Tensor& x, Pass p) const;                      // x [N,D]
};

struct DeltaNet {
  static const MixerDoc doc;
  struct Options {
    DeltaRule::Options frame;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      const int D = frame.width;
      frame.visit(v, heads_for(D, std::clamp(D / 4, 1, 128)), [D](int heads) { return D / heads; }, [](int, int key) { return key; }, false);
    }
    void check() const { frame.check("delta_net"); }
  };
  static DeltaRule bind(const Scope& s, const Options& o);
};
struct GatedDeltaNet {
  static const MixerDoc doc;
  struct Options {
    DeltaRule::Options frame;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) { visit(v, false); }
    void visit(auto& v, bool usual_twice) {              // keys are 3/4 of the width, values twice that
      const int D = frame.width, keys = std::max(1, D * 3 / 4);
      frame.visit(v, heads_for(keys, std::clamp(D / 8, 1, 256)), [keys](int heads) { return keys / heads; }, [](int, int key) { return 2 * key; },
                  true, usual_twice);
    }
    void check() const { frame.check("gated_delta_net"); }
  };
  static DeltaRule bind(const Scope& s, const Options& o);
};
struct GatedDeltaProduct {
  static const MixerDoc doc;
  struct Options {
    GatedDeltaNet::Options gated;
    void place(const Place& at) { gated.place(at); }
    void visit(auto& v) {
      gated.visit(v, true);
      v("writes", gated.frame.writes, 2, "delta steps a token, n", Range{1, 64});
    }
    void check() const { gated.frame.check("gated_delta_product"); }
  };
  static DeltaRule bind(const Scope& s, const Options& o) { return GatedDeltaNet::bind(s, o.gated); }
};
struct Kda {
  static const MixerDoc doc;
  struct Options {
    DeltaRule::Options frame;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      const int D = frame.width;
      frame.visit(v, heads_for(D, std::clamp(D / 4, 1, 128)), [D](int heads) { return D / heads; }, [](int, int key) { return key; });
    }
    void check() const { frame.check("kda"); }
  };
  static DeltaRule bind(const Scope& s, const Options& o);
};
struct LogLinearGdn {
  static const MixerDoc doc;
  struct Options {
    GatedDeltaNet::Options gated;
    void place(const Place& at) { gated.place(at); }
    void visit(auto& v) {
      gated.visit(v);
      v("levels", gated.frame.levels, 15, "levels; a sequence has at most 2^(levels - 1) tokens", Range{1, 31});
    }
    void check() const { gated.frame.check("log_linear_gdn"); }
  };
  static DeltaRule bind(const Scope& s, const Options& o) { return GatedDeltaNet::bind(s, o.gated); }
};

}  // namespace headrace
