// S4: a state-space model by channel whose state matrix is diagonal plus rank one, from HiPPO-LegS (Gu, Goel and Re 2022, 2111.00396),
// run as a long convolution where the sequence is whole, and as its recurrence where it goes on.
//
//   x' = A x + B u,  y = C x + D u,  A = Lambda - P P^*,  bilinear with step dt;  out = glu(W gelu(y))
//   k_t = C Ab^t Bb from its generating function at the roots of unity (mixers/hippo.h): C is kept as C (1 - Ab^length)
//
// The filter has the first `length` taps of the recurrence, which has no end: it runs where there is a state or a sequence is longer.
// State: N D floats. Cost of a token: O(N D + D^2).
#pragma once
#include <functional>

#include "mixers/mixer.h"
#include "ops/sequence.h"

namespace headrace {

struct S4 {
  static const MixerDoc doc;
  struct Options {
    int width, state, length;
    void visit(auto& v) {
      v("state", state, 64, "states N of a channel, in conjugate pairs", Range{2, 1024});
      v("length", length, 1024, "taps of the filter, a power of two; longer sequences run as a recurrence", Range{1, 1 << 20});
    }
    void check() const {
      expect(state % 2 == 0, "s4: state = ", state, " is odd");
      expect((length & (length - 1)) == 0, "s4: length = ", length, " is not a power of two");
    }
  };
  Tensor filter, skip;                                     // [D,length], [D]
  std::function<Modes()> recurrence;                       // [N,D], made when it is first asked for
  Linear out;

  static S4 bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& u, Pass p) const;        // u [N,D]
};

}  // namespace headrace
