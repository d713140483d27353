// LSTM and GRU (papers, equations: lstm.h): the input's product for all tokens at once, the recurrent one in cell_scan.
#include "mixers/lstm.h"

#include "ops/sequence.h"

namespace headrace {

const MixerDoc Lstm::doc{
    "lstm", "recurrence", "long short-term memory", "Hochreiter and Schmidhuber 1997; Gers et al. 2000",
    "[i; f; g; o] = W_ih x + b_ih + W_hh h_{t-1} + b_hh\nc_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),  h_t = sigmoid(o) tanh(c_t)",
    "W_ih [4 A, d], W_hh [4 A, A], two biases [4 A]; W_o [d, A] where A is not d", "2 A", "O(A (A + d))", "O(T A (A + d)), token after token",
    "mixers/lstm.h"};
const MixerDoc Gru::doc{
    "gru", "recurrence", "gated recurrent unit", "Cho et al. 2014 (1406.1078), reset after the product",
    "r, z = sigmoid(W x + b + W_h h_{t-1} + b_h),  n = tanh(W_n x + b_n + r (W_hn h_{t-1} + b_hn))\nh_t = (1 - z) n + z h_{t-1}",
    "W_ih [3 A, d], W_hh [3 A, A], two biases [3 A]; W_o [d, A] where A is not d", "A", "O(A (A + d))", "O(T A (A + d)), token after token",
    "mixers/lstm.h"};

Cells Cells::bind(const Scope& s, const Options& o, int gates, const Init& bias) {
  const int64_t A = o.hidden, rows = gates * A;
  const double bound = 1 / std::sqrt(static_cast<double>(A));
  const Init uniform = Init::uniform(-bound, bound);
  return {.in = {s.matrix("weight_ih_l0", {rows, o.width}, uniform), s("bias_ih_l0", {rows}, bias)},
          .out = o.hidden == o.width ? Linear{} : Linear::bind(s / "o_proj", o.hidden, o.width, false, Init::fan_in()),
          .recurrent = s("weight_hh_l0", {rows, A}, uniform),
          .recurrent_bias = s("bias_hh_l0", {rows}, uniform)};
}

Lstm Lstm::bind(const Scope& s, const Options& o) {
  // Something is remembered at first: 1 on the forget gate (Jozefowicz et al. 2015).
  const int64_t A = o.hidden;
  return {Cells::bind(s, o, 4, Init::by_element([A](int64_t i) { return i / A == 1 ? 1.0 : 0.0; }))};
}
Tensor Lstm::operator()(const Tensor& x, Pass p) const { return result(lstm_scan(in(x), recurrent, recurrent_bias, p.slot("lstm"))); }

Gru Gru::bind(const Scope& s, const Options& o) {
  const double bound = 1 / std::sqrt(static_cast<double>(o.hidden));
  return {Cells::bind(s, o, 3, Init::uniform(-bound, bound))};
}
Tensor Gru::operator()(const Tensor& x, Pass p) const { return result(gru_scan(in(x), recurrent, recurrent_bias, p.slot("gru"))); }

}  // namespace headrace
