#include "mixers/hyena.h"

#include "ops/sequence.h"

namespace headrace {

const MixerDoc Hyena::doc{
    "hyena", "convolution", "gated long convolutions by implicit filters", "Poli et al. 2023 (2302.10866)",
    "x_0, .., x_{N-1}, v = split(conv3(W_in u))\nv <- k_i * (v x_i) + b_i (v x_i) for i = N-1 .. 1,  out = W_out (v x_0)\n"
    "k_l = (MLP of sines)(z_l) exp(-t_l |delta|)",
    "W_in [(N+1) d, d], conv [(N+1) d, 3], MLP: [F, 2 bands + 1], [F, F] twice, [(N-1) d, F], freq [F], b [(N-1) d], W_out [d, d]",
    "2 (N+1) d + 2 (N-1) length d", "O(N d log^2 length + N d^2)", "O(N d F length + N T d log T + N T d^2)", "mixers/hyena.h"};

Hyena Hyena::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, E = D * (o.order - 1), I = D * (o.order + 1), F = o.filter, L = o.length, Z = 2 * o.bands + 1;
  auto uniform = [](int64_t in) { return Init::uniform(-1 / std::sqrt(in), 1 / std::sqrt(in)); };
  auto linear_of = [&](const Scope& at, int64_t in, int64_t width, bool bias) {
    return Linear::bind(at, in, width, bias, Init::fan_in(), uniform(in));
  };
  const Scope f = s / "filter_fn", mlp = f / "implicit_filter";
  auto own = [](const Init& i) { return i.no_decay().in_group("filter"); };            // a learning rate of its own, 1e-3
  // Bands from 1e-4 to bands - 1, over the whole length: a filter of half the length is another one.
  const Init positions = Init::by_element([=, bands = o.bands](int64_t i) {
    const double l = static_cast<double>(i / Z), column = static_cast<double>(i % Z), B = bands;
    if (i % Z == 0) return l / static_cast<double>(L - 1);
    const bool sine = column > B;
    const double band = sine ? column - 1 - B : column - 1, rate = B > 1 ? 1e-4 + band * (B - 1 - 1e-4) / (B - 1) : 1e-4;
    const double angle = rate * 6.283185307179586 * l / static_cast<double>(L);
    return sine ? -std::sin(angle) : std::cos(angle);
  });
  Tensor h = f("pos_emb.z", {L, Z}, positions.no_decay().in_group("positions"));
  const Tensor freq = (mlp / 1)("freq", {F}, own(Init::constant(o.frequency)));
  for (int at : {0, 2, 4}) {
    const int64_t in = at == 0 ? Z : F;
    h = sin(linear(h, (mlp / at)("weight", {F, in}, own(Init::fan_in())), (mlp / at)("bias", {F}, own(uniform(in)))) * freq);
  }
  h = linear(h, (mlp / 6)("weight", {E, F}, own(Init::fan_in())));                        // [L,E]
  const Tensor t = Tensor::empty({L, 1});
  for (int64_t l = 0; l < L; ++l) t.f32()[l] = static_cast<float>(l) / static_cast<float>(L - 1);
  const Tensor deltas = f("modulation.deltas", {1, E}, Init::linspace(std::log(1e-2) / 1.5, std::log(1e-2) / 0.3).no_decay());
  h = h * exp(-1.f * matmul(copy_to(t, h.device()), unary(Unary::abs, deltas)));
  return {.o = o,
          .in = linear_of(s / "in_proj", D, I, true),
          .out = linear_of(s / "out_proj", D, D, true),
          .taps = (s / "short_filter")("weight", {I, 3}, Init::fan_in()),
          .taps_bias = (s / "short_filter")("bias", {I}, Init::conv_bias(3)),
          .filter = transposed(h),
          .bias = f("bias", {E}, Init::normal(1))};
}

Tensor Hyena::operator()(const Tensor& u, Pass p) const {
  static constexpr const char* slots[] = {"conv1", "conv2", "conv3", "conv4"};
  const int64_t D = u.dim(1);
  const Tensor x = short_conv(in(u), taps, taps_bias, false, p.slot("short"));
  Tensor v = x.slice(1, o.order * D, D);
  for (int64_t i = o.order - 1, n = 0; i > 0; --i, ++n)
    v = long_conv(v * x.slice(1, i * D, D), {.filter = filter.slice(0, n * D, D), .skip = bias.slice(0, n * D, D)}, p.slot(slots[n]));
  return out(v * x.slice(1, 0, D));
}

}  // namespace headrace
