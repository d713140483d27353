// Mamba, a selective state-space layer (Gu and Dao 2023, 2312.00752, section 3), and Falcon Mamba's norms inside it
// (Zuo et al. 2024, 2410.05355).
//
//   [x; z] = W_in u,  x = silu(conv(x)),  [d; B; C] = W_x x;  Falcon: d, B, C <- rms(d), rms(B), rms(C), no weight
//   dt = softplus(W_dt d + b_dt),  A = -exp(A_log)
//   h[c,n] <- exp(dt[c] A[c,n]) h[c,n] + dt[c] B[n] x[c],  y[c] = sum_n C[n] h[c,n] + D[c] x[c]
//   out = W_out (y silu(z))
//
// State: E (N + taps - 1) floats for E channels of N numbers. Cost of a token: O(D E + E N), whatever came before.
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Mamba {
  static const MixerDoc doc;
  struct Options {
    int width, inner, state, rank, taps = 4;   // D, E, N, width of d
    bool conv_bias = true, bias = false;       // bias: of in_proj and out_proj
    float norm_eps = 0;                        // Falcon Mamba's; 0: no norms
    int layers = 1;                            // of the stack: the output begins smaller in a deep one
    void place(const Place& at) { width = at.width, layers = at.layers; }
    void visit(auto& v) {
      v("inner", inner, 2 * width, "channels E");
      v("state", state, 16, "numbers N in each channel's state");
      v("rank", rank, (width + 15) / 16, "of the step's matrix");
      v("conv", taps, 4, "taps of the convolution", Range{1, 64});
      v("bias", bias, false, "of the input and output matrices");
      v("conv_bias", conv_bias, true, "of the convolution");
      v("norm_eps", norm_eps, 0, "of RMS norms on the step, B and C (Falcon Mamba: 1e-6); 0: none", Range{0, 1});
    }
  };
  Options o;
  Linear in, x, dt, out;
  Tensor conv, conv_bias, A, D;                // A [E,N], negative

  static Mamba bind(const Scope& s, Options o);
  Tensor operator()(const Tensor& u, Pass p) const;   // u [N,D]
};

}  // namespace headrace
