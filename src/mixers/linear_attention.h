// The frame that linear attentions with decay share: queries, keys and values of the input (through short convolutions
// where asked), a gate that makes linear_scan's decay of them, an RMS norm, a swish gate, an output matrix.
//
//   q, k, v = W x;  q, k <- f(q), f(k);  q, k, log_decay <- gate(x);  o = scale S^T q, S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T
//   y = W_o(norm(o) silu(W_g x))
//
// A new recurrence is one gate. State: H K V floats. Cost of a decoded token: O(H K V).
//
// retnet     a constant decay by head, 1 - 2^(-5-h), and rotary positions (RetNet, Sun et al. 2023, 2307.08621).
// gla        log decay = logsigmoid(W_2 W_1 x + b) / 16 by key channel (Yang et al. 2023, 2312.06635).
// simple_gla   one log decay a head, logsigmoid(w x + b) / 16 (flash-linear-attention's SimpleGatedLinearAttention; Mamba-2's recurrence with
//            gla's gate). log_linear: the same over a Fenwick tree of states (Guo et al. 2025, 2506.04761).
// hgrn2      decay = c + (1 - c) sigmoid(f) by key channel, key = 1 - decay, query = silu(q); the layer's lower bound c grows
//            with depth (Qin et al. 2024, 2404.07904). f stands in k's place.
// linear_attn  nothing is forgotten (Katharopoulos et al. 2020, 2006.16236, without their normaliser), so f matters: elu(x) + 1, relu,
//            or the learned elementwise product (W_1 x + b_1)(W_2 x + b_2).
#pragma once
#include <algorithm>
#include <limits>

#include "mixers/heads.h"
#include "mixers/mixer.h"

namespace headrace {

struct LinearAttention {
  struct Inputs { Tensor q, k, v, log_decay; };                          // [N,H,K], [N,Hk,K], [N,Hk,V]; as linear_scan has them
  using Gate = std::function<void(const Tensor& x, Inputs& in, Pass p)>;  // x [N,D]
  struct Options {
    int width, heads, kv_heads, key, value;                              // key, value: of a head
    float norm_eps;
    int taps = 0;                                                        // of the short convolutions; 0: none
    bool conv_silu = true, output_gate = true;
    bool norm_by_head = true, norm_weight = true;                        // else over all heads at once; without one
    int levels = 0;                                                      // of a Fenwick tree of states; 0: one state
    const char *q_name = "q", *k_name = "k", *v_name = "v", *norm_name = "g_norm";   // of q_proj, q_conv1d, ...
    std::string feature = "identity";                                    // f, by flash-linear-attention's name
    Init in = {}, output = {};                                           // of the matrices
    // Usual: heads, the keys and values of all heads as parts of the width, an output gate, a feature map.
    void visit(auto& v, int usual_heads, double keys, double values, bool usual_gate = true, const char* usual_feature = "identity") {
      v("heads", heads, usual_heads, "heads H", heads_range);
      v("kv", kv_heads, heads, "heads of keys and values; they divide heads", heads_range);
      v("key", key, std::max(1, static_cast<int>(width * keys) / heads), "of a head, K", head_range);
      v("value", value, std::max(1, static_cast<int>(width * values) / heads), "of a head, V", head_range);
      v("conv", taps, 0, "taps of convolutions on q, k and v; 0: none", Range{0, 64});
      v("gate", output_gate, usual_gate, "an output gate");
      v("feature", feature, usual_feature, "map of q and k", Choice{"identity", "elementwise_product", "elu", "relu", "relu2", "sqrelu", "sigmoid",
        "logsigmoid", "silu", "swish", "tanh", "gelu"});
      v("norm_weight", norm_weight, true, "the norm has a weight");
      v("eps", norm_eps, 1e-6f, "of the norm", eps_range);
    }
    void check(const char* name) const;
  };
  struct Conv { Tensor weight, bias; };
  Options o;
  Linear q, k, v, g, out;
  Levels level;
  Conv q_conv, k_conv, v_conv;
  Norm norm;
  Gate gate;
  std::function<Tensor(const Tensor&)> q_feature, k_feature;             // null: none

  static LinearAttention bind(const Scope& s, Options o, Gate gate);
  Tensor operator()(const Tensor& x, Pass p) const;   // x [N,D]
};

struct RetNet {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame;
    Rope rope;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      frame.visit(v, heads_for(frame.width, 64), 1, 2);
      v("rope", rope.base, 10000, "base of the rotary positions; 0: none", Range{0, 1e12});
    }
    void check() const { frame.check("retnet"); }
  };
  static LinearAttention bind(const Scope& s, Options o);
};
struct Gla {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame;
    int rank = 16;
    float least = -std::numeric_limits<float>::infinity();
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      frame.visit(v, heads_for(frame.width, std::max(64, frame.width / 4)), 0.5, 1);
      v("rank", rank, 16, "of the gate's matrices");
      v("least", least, -std::numeric_limits<float>::infinity(), "log decays are not below", Range{-std::numeric_limits<double>::infinity(), 0});
    }
    void check() const { frame.check("gla"); }
  };
  static LinearAttention bind(const Scope& s, Options o);
};
struct SimpleGla {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) { frame.visit(v, heads_for(frame.width, std::max(64, frame.width / 4)), 1, 1); }
    void check() const { frame.check("simple_gla"); }
  };
  static LinearAttention bind(const Scope& s, const Options& o);
};
struct LogLinearAttention {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame;
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) {
      frame.visit(v, heads_for(frame.width, 64), 1, 1);
      v("levels", frame.levels, 15, "levels; a sequence has at most 2^(levels - 1) tokens", Range{1, 31});
    }
    void check() const { frame.check("log_linear"); }
    int most_tokens() const { return 1 << (frame.levels - 1); }
  };
  static LinearAttention bind(const Scope& s, const Options& o) { return SimpleGla::bind(s, {o.frame}); }
};
struct LinearAttn {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame{.output_gate = false, .norm_name = "norm"};
    void place(const Place& at) { frame.width = at.width; }
    void visit(auto& v) { frame.visit(v, heads_for(frame.width, 64), 1, 1, false, "elementwise_product"); }
    void check() const { frame.check("linear_attn"); }
  };
  static LinearAttention bind(const Scope& s, const Options& o);
};
struct Hgrn2 {
  static const MixerDoc doc;
  struct Options {
    LinearAttention::Options frame{.conv_silu = false, .output_gate = false, .norm_by_head = false, .k_name = "f", .v_name = "i"};
    bool lower_bound = true;
    int layer = 0, layers = 1;           // of the stack: the bound grows with depth
    void place(const Place& at) { frame.width = at.width, layer = at.layer, layers = at.layers; }
    void visit(auto& v) {
      frame.visit(v, heads_for(frame.width, 128), 1, 1, false);
      v("lower_bound", lower_bound, true, "decays are bounded from below by layer");
    }
    void check() const { frame.check("hgrn2"); }
  };
  // Lower bounds are one parameter of all layers [layers, H K]: `bounds`, or, where it is empty, one at the root of the stack.
  static LinearAttention bind(const Scope& s, Options o, Tensor bounds = {});
};

}  // namespace headrace
