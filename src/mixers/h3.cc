// H3 (Fu et al. 2023, 2212.14052; equations: h3.h): both systems become long_conv's filters, the shift as taps, the diagonal one as modes.
#include "mixers/h3.h"

#include "mixers/hippo.h"

namespace headrace {

const MixerDoc H3::doc{
    "h3", "state space", "hungry hungry hippos: a shift and a diagonal system, gated", "Fu et al. 2023 (2212.14052)",
    "k' = shift(W_k u) + D_k (W_k u),  s = diag(k' v) + D k' v\nout = W_o (q s)",
    "W_q, W_k, W_v, W_o [d, d], shift: B, C [d, N], D_k [d], diag: B, C [d, N/2] complex, inv_A_real, A_imag [d, N/2], log_dt, D [d]",
    "5 N d", "O(d log^2 N + N d + d^2)", "O(T (N d + d^2))", "mixers/h3.h"};

H3 H3::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, N = o.state, n = N / 2;
  auto slow = [](const Init& i) { return i.no_decay().in_group("state_space"); };   // a learning rate of at most 1e-3
  auto project = [&](const char* name) { return Linear::bind(s / name, D, D, true); };
  const Scope shift = s / "ssm_k_kernel" / "kernel", k = s / "kernel" / "kernel";
  const Tensor dt = exp(k("log_dt", {D}, slow(Init::log_uniform(1e-3, 1e-1).log()))).view({D, 1});
  const Tensor rate = exp(k("inv_A_real", {D, n}, slow(Init::constant(std::log(0.5)))));
  const Init first = Init::by_column([](int64_t i) { return i == 0; });
  const Init frequency = Init::by_column([](int64_t i) { return 3.141592653589793 * static_cast<double>(i); });
  const Complex z = Complex{-1.f * rate, k("A_imag", {D, n}, slow(frequency))} * dt;
  const Complex B = complex_of_pairs(k("B", {D, n, 2}, slow(first)));
  const Complex C = complex_of_pairs(k("C", {D, n, 2}, Init::normal(std::sqrt(0.5)).no_decay()));
  const Complex residue = 2.f * (B * C * unary(ComplexUnary::bilinear_gain, z) * dt);
  return {.q = project("q_proj"), .k = project("k_proj"), .v = project("v_proj"), .out = project("output_linear"),
          .shift = shift_filter(shift("B", {D, N}, slow(first)), shift("C", {D, N}, Init::fan_in().no_decay())),
          .shift_skip = s("ssm_k_D", {D}, Init::normal(1)),
          .skip = s("D", {D}, Init::normal(1)),
          .diag = modes_of(exp(unary(ComplexUnary::bilinear_log, z)), residue)};
}

Tensor H3::operator()(const Tensor& u, Pass p) const {
  const auto qkv = linear(u, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const Tensor shifted = long_conv(qkv[1], {.filter = shift, .skip = shift_skip}, p.slot("shift"));
  return out(long_conv(shifted * qkv[2], {.filter = {}, .skip = skip, .modes = diag}, p.slot("conv")) * qkv[0]);
}

}  // namespace headrace
