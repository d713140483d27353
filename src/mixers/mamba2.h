// Mamba-2, state-space duality (Dao and Gu 2024, 2405.21060, sections 6 and 7): one decay a head, a matrix as state.
//
//   [z; x; B; C; dt] = W_in u;  x, B, C = silu(conv([x; B; C]))        H heads of P, B and C in G groups of N
//   dt = clamp(softplus(dt + b)),  A = -exp(A_log)                     one a head
//   S_t = exp(dt A) S_{t-1} + B (dt x)^T,  y = S_t^T C + D x           head h reads group h / (H/G)
//   out = W_out rms(y silu(z))                                         statistics over each group's H P / G channels
//
// State: H N P + (H P + 2 G N)(taps - 1) floats. Cost of a token: O(D H P + H N P), whatever came before.
//
// log_linear_mamba2: the same over a Fenwick tree of states (Guo et al. 2025, 2506.04761): W_in u has levels of logits l for each head too,
//   S_t^T C becomes sum_j softplus(L_j l_j) S_t^(j)T C, S^(j) the state over the tokens s with bit width of (t XOR s) = j;
//   the norm is over all channels at once
// State of the tree: (levels - 1) H N P floats, log2(t) of them read.
#pragma once
#include <limits>

#include "mixers/mixer.h"

namespace headrace {

struct Mamba2 {
  static const MixerDoc doc;
  struct Options {
    int width, heads, head_dim, groups, state, taps = 4;   // D, H, P, G, N
    bool conv_bias = true, bias = false;                   // bias: of in_proj and out_proj
    float norm_eps = 1e-5f;
    float dt_least = 0, dt_most = std::numeric_limits<float>::infinity();
    int64_t inner() const { return int64_t{heads} * head_dim; }
    int64_t mixed() const { return inner() + 2 * int64_t{groups} * state; }   // channels of the convolution
    int levels = 0;                                        // of a Fenwick tree; 0: one state
    int layers = 1;                                        // of the stack: the output begins smaller in a deep one
    void place(const Place& at) { width = at.width, layers = at.layers; }
    void visit(auto& v) {
      v("heads", heads, heads_for(2 * width, 64), "heads H", heads_range);
      v("dim", head_dim, 2 * width / heads, "of a head, P", head_range);
      v("groups", groups, 1, "of heads that share B and C, G", heads_range);
      v("state", state, 128, "rows N of a head's state");
      v("conv", taps, 4, "taps of the convolution", Range{1, 64});
      v("bias", bias, false, "of the input and output matrices");
      v("conv_bias", conv_bias, true, "of the convolution");
      v("eps", norm_eps, 1e-5f, "of the norm", eps_range);
      v("dt_least", dt_least, 0, "the step is not below", Range{0, 1e6});
      v("dt_most", dt_most, std::numeric_limits<float>::infinity(), "the step is not above", Range{0, std::numeric_limits<double>::infinity()});
    }
    void check() const;
  };
  Options o;
  Linear in, out;
  Tensor conv, conv_bias, dt_bias, A, D;                   // A [H] negative, D [HP]
  Tensor level_scale;                                      // L [1,H levels]
  Norm norm;

  static Mamba2 bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};
struct LogLinearMamba2 {
  static const MixerDoc doc;
  struct Options {
    Mamba2::Options mamba;
    void place(const Place& at) { mamba.place(at); }
    void visit(auto& v) {
      mamba.visit(v);
      v("levels", mamba.levels, 15, "levels; a sequence has at most 2^(levels - 1) tokens", Range{1, 31});
    }
    void check() const { mamba.check(); }
  };
  static Mamba2 bind(const Scope& s, const Options& o) { return Mamba2::bind(s, o.mamba); }
};

}  // namespace headrace
