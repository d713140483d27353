// S5 (Smith et al. 2022, 2208.04933; equations: s5.h): products into and out of the modes around one complex scan.
#include "mixers/s5.h"

#include <memory>

#include "mixers/hippo.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc S5::doc{
    "s5", "state space", "S5, one diagonal system of many inputs and outputs", "Smith et al. 2022 (2208.04933)",
    "p = e^(lambda dt),  x_t = p x_{t-1} + ((p - 1) / lambda) B u\ny = 2 Re(C x) + D u,  out = gelu(y) * sigmoid(W gelu(y))",
    "Lambda, log_step [N], B [N, d] and C [d, N] complex, D [d], W [d, d]", "2 N", "O(N d + d^2)", "O(T (N d + d^2))",
    "mixers/s5.h"};

S5 S5::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, N = o.state / 2;
  // HiPPO's eigenvectors are unitary: what they make of normal numbers is normal complex numbers again.
  const double fan = 1 / std::sqrt(2.0 * static_cast<double>(D)), state_fan = 1 / std::sqrt(2.0 * static_cast<double>(N));
  auto rate = [](const Init& i) { return i.no_decay().in_group("recurrence"); };
  auto hippo = std::make_shared<Hippo>();                                // made where an initialiser asks for it
  const Init frequency = Init::by_element([=](int64_t i) {
    if (hippo->lambda.empty()) *hippo = hippo_legs(N / o.blocks);
    return hippo->lambda[static_cast<size_t>(i) % hippo->lambda.size()].imag();
  });
  const Tensor re = s("Lambda_re", {N}, rate(Init::constant(-0.5))), im = s("Lambda_im", {N}, rate(frequency));
  const Tensor step = exp(s("log_step", {N}, rate(Init::log_uniform(1e-3, 0.1).log()))), a = re * step, b = im * step, size = exp(a);
  const Complex hold = unary(ComplexUnary::zero_order_hold, Complex{a.view({1, N}), b.view({1, N})});
  const Complex drive = Complex{hold.re.view({N}), hold.im.view({N})} * step;
  return {.o = o,
          .factor = concat({(size * cos(b)).view({1, N}), (size * sin(b)).view({1, N})}).view({2 * N}),
          .D = s("D", {D}, Init::normal(1)),
          .drive = drive,
          .B_re = s.matrix("B_re", {N, D}, Init::normal(fan)),
          .B_im = s.matrix("B_im", {N, D}, Init::normal(fan)),
          .C_re = s.matrix("C_re", {D, N}, Init::normal(state_fan)),
          .C_im = s.matrix("C_im", {D, N}, Init::normal(state_fan)),
          .gate = Linear::bind(s / "out2", D, D, true, Init::fan_in())};
}

Tensor S5::operator()(const Tensor& u, Pass p) const {
  const int64_t N = o.state / 2;
  auto in = linear(u, {{B_re, {}}, {B_im, {}}});
  const Complex driven = Complex{in[0], in[1]} * drive;
  const Tensor x = complex_scan(factor, concat({driven.re, driven.im}), p.slot("s5"));
  const Tensor y = gelu(2.f * (linear(x.slice(-1, 0, N), C_re) - linear(x.slice(-1, N, N), C_im)) + u * D);
  return binary(Binary::sigmoid_multiply, gate(y), y);
}

}  // namespace headrace
