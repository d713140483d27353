// S4D (Gu et al. 2022, 2206.11893; equations: s4d.h): the discretised system is long_conv's modes; where lambda begins is an option.
#include "mixers/s4d.h"

#include "mixers/hippo.h"

namespace headrace {

const MixerDoc S4d::doc{
    "s4d", "state space", "diagonal state-space model", "Gu et al. 2022 (2206.11893)",
    "lambda = -exp(log_A_real) + i A_imag,  p = e^(dt lambda),  b = (p - 1) / lambda\n"
    "k_l = 2 Re sum_n C_n b_n p_n^l,  y = k * u + D u\nout = glu(W gelu(y))",
    "C [d, N/2] complex, log_A_real, A_imag [d, N/2], log_dt, D [d], W [2 d, d]", "N d", "O(N d + d^2)",
    "O(T (N d + d^2))", "mixers/s4d.h"};

S4d S4d::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, n = o.state / 2;
  auto imaginary = [&]() -> Init {
    constexpr double pi = 3.141592653589793;
    if (o.init == "lin") return Init::by_column([=](int64_t i) { return pi * static_cast<double>(i); });
    const double N = o.state;
    if (o.init == "inv") return Init::by_column([=](int64_t i) { return N / pi * (N / (2 * static_cast<double>(i) + 1) - 1); });
    return Init::by_column([lambda = hippo_legs(n).lambda](int64_t i) { return lambda[static_cast<size_t>(i)].imag(); });
  };
  auto slow = [](const Init& i) { return i.no_decay().in_group("state_space"); };   // a learning rate of at most 1e-3
  const Scope k = s / "kernel";
  const Complex C = complex_of_pairs(k("C", {D, n, 2}, Init::normal(std::sqrt(0.5)).no_decay()));
  const Tensor dt = exp(k("log_dt", {D}, slow(Init::log_uniform(1e-3, 1e-1).log()))).view({D, 1});
  const Tensor rate = exp(k("log_A_real", {D, n}, slow(Init::constant(std::log(0.5)))));
  const Complex z = Complex{-1.f * rate, k("A_imag", {D, n}, slow(imaginary()))} * dt;
  const bool zoh = o.hold == "zoh";
  const Complex gain = unary(zoh ? ComplexUnary::zero_order_hold : ComplexUnary::bilinear_gain, z) * dt;
  return {.modes = modes_of(exp(zoh ? z : unary(ComplexUnary::bilinear_log, z)), 2.f * (C * gain)),
          .skip = s("D", {D}, Init::normal(1)),
          .out = Linear::bind(s / "output_linear" / 0, D, 2 * D, true, Init::fan_in(), Init::uniform(-1 / std::sqrt(D), 1 / std::sqrt(D)))};
}

Tensor S4d::operator()(const Tensor& u, Pass p) const {
  const int64_t D = u.dim(1);
  const Tensor both = out(gelu_erf(long_conv(u, {.filter = {}, .skip = skip, .modes = modes}, p.slot("conv"))));
  return binary(Binary::sigmoid_multiply, both.slice(1, D, D), both.slice(1, 0, D));
}

}  // namespace headrace
