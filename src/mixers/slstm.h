// sLSTM: scalar memory with exponential gates and recurrent maps by head (xLSTM, Beck et al. 2024, 2405.04517, section 2.2 and appendix A).
//
//   c = silu(conv(x));  [i; f; z; o] = W [c; c; x; x] + R h_{t-1} + b          W and R block diagonal, one block a head
//   m_t = max(i, m_{t-1} + log s(f)),  i' = e^(i - m_t),  f' = e^(m_{t-1} + log s(f) - m_t)
//   c_t = f' c_{t-1} + i' tanh(z),  n_t = f' n_{t-1} + i',  h_t = s(o) c_t / n_t;   y = norm(h) by head
//
// State: (4 + taps - 1) D floats. Cost of a token: O(D^2 / heads). Tokens follow one another.
#pragma once
#include <algorithm>

#include "mixers/mixer.h"

namespace headrace {

struct Slstm {
  static const MixerDoc doc;
  struct Options {
    int width, heads, taps;                                // D, H
    float norm_eps;
    int layer = 0, layers = 1;                             // forget biases spread out with depth
    void place(const Place& at) { width = at.width, layer = at.layer, layers = at.layers; }
    void visit(auto& v) {
      v("heads", heads, heads_for(width, std::max(1, width / 4)), "heads H", heads_range);
      v("conv", taps, 4, "taps of the convolution before the gates i and f; 0: none", Range{0, 64});
      v("eps", norm_eps, 1e-5f, "of the norm", eps_range);
    }
    void check() const { expect(width % heads == 0, "slstm: heads = ", heads, " do not divide the width ", width); }
  };
  Options o;
  Tensor i, f, z, out;                                     // [H,P,P] each
  Tensor recurrent, bias;                                  // [4*D,P], rows by gate and head; [4*D]
  Tensor conv, conv_bias;
  Norm norm;

  static Slstm bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};

}  // namespace headrace
