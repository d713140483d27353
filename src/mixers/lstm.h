// LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000) and GRU (Cho et al. 2014, 1406.1078, section 2.3; reset after
// the product), with PyTorch's names and order of gates. Tokens follow one another: nothing here is parallel over time.
//
//   lstm   [i; f; g; o] = W_ih x + b_ih + W_hh h_{t-1} + b_hh;  c_t = s(f) c_{t-1} + s(i) tanh(g);  h_t = s(o) tanh(c_t)
//   gru    [r; z] = s(W x + b + W_h h_{t-1} + b_h);  n = tanh(W_n x + b_n + r (W_hn h_{t-1} + b_hn));  h_t = (1 - z) n + z h_{t-1}
//   y = h, or W_o h where the hidden width is not the layer's
//
// State: 2 A floats (lstm), A floats (gru) for A hidden channels. Cost of a token: O(A (A + D)).
#pragma once
#include "mixers/mixer.h"

namespace headrace {

struct Cells {                                             // what both are made of
  struct Options {
    int width, hidden;                                     // D, A
    void visit(auto& v) { v("hidden", hidden, width, "hidden channels A"); }
  };
  Linear in, out;                                          // out: where A is not D
  Tensor recurrent, recurrent_bias;                        // [G*A,A], [G*A]

  static Cells bind(const Scope& s, const Options& o, int gates, const Init& bias);
  Tensor result(const Tensor& h) const { return out.weight ? out(h) : h; }
};

struct Lstm : Cells {
  static const MixerDoc doc;
  static Lstm bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;        // x [N,D]
};
struct Gru : Cells {
  static const MixerDoc doc;
  static Gru bind(const Scope& s, const Options& o);
  Tensor operator()(const Tensor& x, Pass p) const;
};

}  // namespace headrace
