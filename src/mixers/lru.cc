// LRU (Orvieto et al. 2023, 2303.06349; equations: lru.h): complex numbers as two real ones; the factor is made when the layer is bound.
#include "mixers/lru.h"

#include "ops/sequence.h"

namespace headrace {

const MixerDoc Lru::doc{
    "lru", "state space", "LRU, linear recurrent unit", "Orvieto et al. 2023 (2303.06349)",
    "lambda = exp(-exp(nu_log) + i exp(theta_log)),  h_t = lambda h_{t-1} + exp(gamma_log) B u\ny = Re(C h) + D u\n"
    "out = W_1 gelu(y) * sigmoid(W_2 gelu(y))",
    "nu_log, theta_log, gamma_log [N], B [N, d] and C [d, N] complex, D [d], W_1, W_2 [d, d]", "2 N", "O(N d + d^2)", "O(T (N d + d^2))",
    "mixers/lru.h"};

Lru Lru::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, N = o.state;
  // |lambda|^2 is spread evenly over the ring's squares, one mode a share, so that gamma can begin as what makes up for it.
  auto square = [=](int64_t i) {
    const double share = (static_cast<double>(i) + 0.5) / static_cast<double>(N);
    return share * (double{o.most} * o.most - double{o.least} * o.least) + double{o.least} * o.least;
  };
  auto rate = [](const Init& i) { return i.no_decay().in_group("recurrence"); };
  const Init B = Init::normal(1 / std::sqrt(2.0 * static_cast<double>(D))), C = Init::normal(1 / std::sqrt(static_cast<double>(N)));
  const Tensor nu = s("nu_log", {N}, rate(Init::by_element([=](int64_t i) { return std::log(-0.5 * std::log(square(i))); })));
  const Tensor theta = s("theta_log", {N}, rate(Init::uniform(0, o.phase).log()));
  const Tensor size = exp(-1.f * exp(nu)), angle = exp(theta);
  return {.o = o,
          .factor = concat({(size * cos(angle)).view({1, N}), (size * sin(angle)).view({1, N})}).view({2 * N}),
          .gamma = exp(s("gamma_log", {N}, rate(Init::by_element([=](int64_t i) { return 0.5 * std::log1p(-square(i)); })))),
          .D = s("D", {D}, Init::normal(1)),
          .B_re = s.matrix("B_re", {N, D}, B),
          .B_im = s.matrix("B_im", {N, D}, B),
          .C_re = s.matrix("C_re", {D, N}, C),
          .C_im = s.matrix("C_im", {D, N}, C),
          .one = Linear::bind(s / "out1", D, D, true, Init::fan_in()),
          .two = Linear::bind(s / "out2", D, D, true, Init::fan_in())};
}

Tensor Lru::operator()(const Tensor& u, Pass p) const {
  auto in = linear(u, {{B_re, {}}, {B_im, {}}});
  const Tensor h = complex_scan(factor, concat({in[0] * gamma, in[1] * gamma}), p.slot("lru"));
  const Tensor y = gelu(linear(h.slice(-1, 0, o.state), C_re) - linear(h.slice(-1, o.state, o.state), C_im) + u * D);
  auto ends = linear(y, {{two.weight, two.bias}, {one.weight, one.bias}});
  return binary(Binary::sigmoid_multiply, ends[0], ends[1]);
}

}  // namespace headrace
