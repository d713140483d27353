// S4 (Gu et al. 2022, 2111.00396; equations: s4.h): all channels share Lambda, P and B, and differ in C and the step. The filter
// is made when the layer is bound, the recurrence when a state or a long sequence first asks for it.
#include "mixers/s4.h"

#include <memory>
#include <mutex>

#include "mixers/hippo.h"
#include "ops/tape.h"

namespace headrace {

const MixerDoc S4::doc{
    "s4", "state space", "structured state-space model from HiPPO-LegS", "Gu et al. 2022 (2111.00396); HiPPO: Gu et al. 2020 (2008.07669)",
    "x' = A x + B u,  y = C x + D u,  A = Lambda - P P^*, bilinear with step dt\nk_t = C Ab^t Bb,  out = glu(W gelu(k * u + D u))",
    "A_real, A_imag [1, N/2], B, P [1, N/2] complex, C [d, N/2] complex, inv_dt [d, 1], D [d], W [2 d, d]", "N d", "O(N d + d^2)",
    "O(d N length + T d log T + T d^2); beyond length O(d N length + T (N d + d^2))", "mixers/s4.h"};

namespace {

// A tape wants them recorded on it, each time; else they are made once, by whichever thread is first.
std::function<Modes()> made_once(std::function<Modes()> make) {
  struct Made {
    std::once_flag once;
    Modes modes;
  };
  return [make = std::move(make), made = std::make_shared<Made>()] {
    if (Tape::current()) return make();
    std::call_once(made->once, [&] { made->modes = make(); });
    return made->modes;
  };
}

}  // namespace

S4 S4::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, n = o.state / 2;
  const Hippo h = hippo_legs(n);
  auto slow = [](const Init& i) { return i.no_decay().in_group("state_space"); };   // a learning rate of at most 1e-3
  auto pairs = [&](const std::vector<std::complex<double>>& x) {                      // of the half with negative imaginary parts
    return slow(Init::by_element([x](int64_t i) { return i % 2 ? -x[static_cast<size_t>(i / 2)].imag() : x[static_cast<size_t>(i / 2)].real(); }));
  };
  const Scope k = s / "layer" / "kernel";
  const Init frequency = Init::by_column([lambda = h.lambda](int64_t i) { return lambda[static_cast<size_t>(i)].imag(); });
  const Tensor rate = exp(k("A_real", {1, n}, slow(Init::constant(std::log(0.5))))), A_imag = k("A_imag", {1, n}, slow(frequency));
  const Complex B = complex_of_pairs(k("B", {1, n, 2}, pairs(h.B))), P = complex_of_pairs(k("P", {1, n, 2}, pairs(h.P)));
  const Complex Ct = complex_of_pairs(k("C", {D, n, 2}, Init::normal(std::sqrt(0.5)).no_decay()));
  const Tensor dt = exp(k("inv_dt", {D, 1}, slow(Init::log_uniform(1e-3, 1e-1).log())));
  // One system for all channels, but for C and the step.
  const Tensor none = Tensor::zeros({D, n}, DType::f32, dt.device());
  auto all = [&](const Tensor& row) { return none + row.view({n}); };
  const DplrSystem system{.lambda = {all(-1.f * rate), all(-1.f * A_imag)}, .B = {all(B.re), all(B.im)}, .P = {all(P.re), all(P.im)}, .dt = dt};
  return {.filter = dplr_filter(system, Ct, o.length, o.length),
          .skip = s("D", {D}, Init::normal(1)),
          .recurrence = made_once([=, length = o.length] { return dplr_recurrence(system, Ct, length); }),
          .out = Linear::bind(s / "output_linear" / 0, D, 2 * D, true, Init::fan_in(), Init::uniform(-1 / std::sqrt(D), 1 / std::sqrt(D)))};
}

Tensor S4::operator()(const Tensor& u, Pass p) const {
  const int64_t D = u.dim(1);
  const Tensor both = out(gelu_erf(long_conv(u, {.filter = filter, .skip = skip, .recurrence = recurrence}, p.slot("conv"))));
  return binary(Binary::sigmoid_multiply, both.slice(1, D, D), both.slice(1, 0, D));
}

}  // namespace headrace
