// Hyena: long convolutions by implicit filters, with gates between (Poli et al. 2023, 2302.10866).
//
//   x_0, .., x_{N-1}, v = split(conv3(W_in u));  v <- k_i * (v x_i) + b_i (v x_i) for i = N-1 .. 1;  out = W_out (v x_0)
//   k_l = (MLP of sines)(z_l) exp(-t_l |delta|),  z_l = [t_l, cos, -sin of bands], t_l = l / (length - 1)
//
// `order` N counts as the published code does: N + 1 projections, N - 1 long convolutions; the paper's Hyena-2 and Hyena-3 are N = 3
// and 4, Hyena-1 (one long convolution) N = 2. The filter has `length` taps. State: 2 (N+1) D + 2 (N-1) length D floats.
//
// modes = M: filters are sums of modes in place of an MLP, so that the state is constant (Laughing Hyena: Massaroli et al. 2023, 2310.18780;
// StripedHyena learns them so):  k_l = Re sum_m R_m p_m^l,  log p = -exp(a) + i theta. State: 2 (N+1) D + 2 (N-1) M D floats.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "mixers/mixer.h"
#include "mixers/modal_fit.h"
#include "ops/sequence.h"

namespace headrace {

struct Hyena {
  static const MixerDoc doc;
  struct Options {
    int width, order, length, filter, bands, modes;
    float frequency;
    void visit(auto& v) {
      v("order", order, 2, "projections less one", Range{2, 5});
      v("length", length, 1024, "taps of the filters", Range{2, 1 << 20});
      v("filter", filter, 64, "width of the filters' MLP");
      v("bands", bands, 16, "sines and cosines of the position", Range{1, 512});
      v("frequency", frequency, 1, "of the MLP's sines at the start; 14 on the Pile", Range{0.01, 1000});
      v("modes", modes, 0, "modes of a filter, in place of the MLP; 0: none", Range{0, 1024});
    }
  };
  Options o;
  Linear in, out;
  Tensor taps, taps_bias, filter, bias;                    // [(N+1) D, 3], [(N+1) D], [(N-1) D, length] or none, [(N-1) D]
  Modes modes;                                             // [2 M, (N-1) D] or none

  static Hyena bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

// What hyena(modes=..) needs in order to do what a hyena does whose tensors are under this scope (rows of f32): by their full names, with how
// well each filter is met.
struct ModalHyena {
  std::vector<std::pair<std::string, Tensor>> tensors;
  ModalFit fit;
};
ModalHyena with_modes(const Scope& hyena, const Hyena::Options& o, int modes);

}  // namespace headrace
