// LFM2's short convolution between two gates (Liquid AI 2025, 2511.23404).
//
//   [b; c; x] = W_in u,  out = W_out (c conv(b x))             by channel, no bias, no activation
//
// State: (taps - 1) D floats. Cost of a token: O(D^2).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Lfm2Conv {
  static const MixerDoc doc;
  struct Options {
    int width, taps;
    bool bias;
    void visit(auto& v) {
      v("conv", taps, 3, "taps of the convolution", Range{1, 64});
      v("bias", bias, false, "of the projections and the convolution");
    }
  };
  Linear in, out;
  Tensor conv, conv_bias;                                  // [D,taps], [D] or none

  static Lfm2Conv bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
