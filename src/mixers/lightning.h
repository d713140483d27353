// Linear attention with a constant decay by head and layer, a norm over all heads and a gate.
//
//   S_t = e^-s S_{t-1} + k_t v_t^T,  o_t = S_t^T q_t, no scale;  s grows with the head and falls with the layer
//
// lightning    MiniMax-01's layer (MiniMax 2025, 2501.08313; Lightning Attention, Qin et al. 2024, 2401.04658): q, k, v = silu(W_qkv x), rows
//              head by head;  y = W_o (rms(o) w sigmoid(W_g x));  s = 2^(-8 (h+1) / H) (1 - l / (L - 1 + 1e-5) + 1e-5)
// transnormer  TransNormerLLM's (Qin et al. 2023, 2307.14995): q, k = silu of theirs, v and u as they are; y = W_o (rms(o) u), no weight;
//              in the first layer q <- [q cos(t theta); q sin(t theta)], k alike (LRPE, theta learned);  s = slope_h (1 - l / (L - 1) + 1e-5)
//
// State: H K V floats (transnormer's first layer: twice that). Cost of a token: O(D H K + H K V). Their exact tiles are linear_scan's chunks.
#pragma once
#include <algorithm>

#include "mixers/mixer.h"

namespace headrace {

struct Lightning {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim;                            // D, H, K = V
    float norm_eps;
    int layer = 0, layers = 1;
    void place(const Place& at) { width = at.width, layer = at.layer, layers = at.layers; }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, std::clamp(width / 4, 1, 128)), "heads H", heads_range);
      v("dim", head_dim, std::max(1, width / heads), "of a head, K", head_range);
      v("eps", norm_eps, 1e-6f, "of the norm", eps_range);
    }
    void check() const { expect(int64_t{heads} * head_dim <= 1 << 22, "lightning: heads = ", heads, " of dim = ", head_dim); }
  };
  Options o;
  Linear qkv, gate, out;                                   // qkv: q, k, v of head 0, then of head 1, ...
  Norm norm;
  Tensor log_decay;                                        // [H]

  static Lightning bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

struct TransNormer {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim;
    std::string lrpe;
    float norm_eps;
    int layer = 0, layers = 1;
    void place(const Place& at) { width = at.width, layer = at.layer, layers = at.layers; }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, std::clamp(width / 4, 1, 128)), "heads H", heads_range);
      v("dim", head_dim, std::max(1, width / heads), "of a head, K", head_range);
      v("lrpe", lrpe, "first", "layers whose q and k turn with learned angles", Choice{"first", "all", "none"});
      v("eps", norm_eps, 1e-6f, "of the norm", eps_range);
    }
    void check() const { expect(int64_t{heads} * head_dim <= 1 << 22, "transnormer: heads = ", heads, " of dim = ", head_dim); }
  };
  Options o;
  Linear qkvu, out;
  Tensor theta;                                            // [1,H K]; none: no positions
  Tensor log_decay;                                        // [H]

  static TransNormer bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
