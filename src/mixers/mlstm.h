// mLSTM: matrix memory with exponential gates (xLSTM, Beck et al. 2024, 2405.04517, section 2.3), in the two layers that were published.
//
//   m_t = max(log s(f) + m_{t-1}, i),  S_t = e^(log s(f) + m_{t-1} - m_t) S_{t-1} + e^(i - m_t) k v^T,  n_t alike with v = 1
//   h_t = S_t^T q / (max(|n_t.q|, e^-m_t) + 1e-6), q times P^(-1/2)
//
// mlstm        the block of 2024: [a; z] = W_up x, each E = 2 D;  c = silu(conv(a));  q, k of c and v of a by blocks of 4 channels;
//              [i; f] = W [q; k; v] + b;  y = W_down ((norm(h) (1 + w) + skip c) silu(z))                 norm: layer norm by head
// mlstm_large  the layer of xLSTM 7B (Beck et al. 2025, 2503.13427): q, k, v = W x;  i, f = 15 tanh((W x + b) / 15)
//              y = W_out (norm(h) w sigmoid(W_o x))
//
// State: H (K V + K + 1) floats, mlstm 3 E more. Cost of a token: O(D E + H K V).
#pragma once
#include <algorithm>

#include "mixers/mixer.h"

namespace headrace {

struct MlstmBlock {
  static const MixerDoc doc;
  struct Options {
    int width, inner, heads, block, taps;                  // D, E, H
    float norm_eps;
    int layers = 1;                                        // of the stack: the output begins smaller in a deep one
    void place(const Place& at) { width = at.width, layers = at.layers; }
    void visit(auto& v) {
      v("inner", inner, round_up(2.0 * width, 64), "channels E; twice the width in steps of 64");
      v("heads", heads, 4, "heads H; they divide E", heads_range);
      v("block", block, 4, "channels of E that a q, k or v reads; it divides E");
      v("conv", taps, 4, "taps of the convolution", Range{1, 64});
      v("eps", norm_eps, 1e-5f, "of the norm", eps_range);
    }
    void check() const {
      expect(inner % heads == 0 && inner % block == 0, "mlstm: inner = ", inner, " is no multiple of heads = ", heads, " and block = ", block);
      expect(int64_t{inner} * block <= 1 << 26, "mlstm: inner = ", inner, " in blocks of ", block, " are too many weights");
    }
  };
  Options o;
  Linear up, down;
  Tensor conv, conv_bias;                                  // [E,taps], [E]
  Tensor q, k, v;                                          // [E/block,block,block]: block, in, out
  Linear input, forget;                                    // [H,3E] of [q; k; v]
  Tensor skip;                                             // [E]
  Norm norm;

  static MlstmBlock bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

struct MlstmLarge {
  static const MixerDoc doc;
  struct Options {
    int width, heads, key, value;                          // D, H, K, V
    float gate_cap, norm_eps;
    int layers = 1;
    void place(const Place& at) { width = at.width, layers = at.layers; }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, std::clamp(width / 4, 1, 512)), "heads H", heads_range);
      v("key", key, std::max(1, width / 2 / heads), "of a head, K; half of the values", head_range);
      v("value", value, std::max(1, width / heads), "of a head, V", head_range);
      v("gate_cap", gate_cap, 15, "gates i and f become cap tanh(gate / cap); 0: none", Range{0, 1e6});
      v("eps", norm_eps, 1e-6f, "of the norm", eps_range);
    }
    void check() const {
      expect(int64_t{heads} * std::max(key, value) <= 1 << 24, "mlstm_large: heads = ", heads, " of key = ", key, ", value = ", value);
    }
  };
  Options o;
  Linear q, k, v, output_gate, input, forget, out;
  Norm norm;

  static MlstmLarge bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
