// Hyena (Poli et al. 2023, 2302.10866; equations: hyena.h): the filter is a network of the position, or modes (Laughing Hyena,
// Massaroli et al. 2023, 2310.18780), and the layer the same for both. with_modes turns the first into the second.
#include "mixers/hyena.h"

#include "ops/complex.h"
#include "ops/tape.h"

namespace headrace {

const MixerDoc Hyena::doc{
    "hyena", "convolution", "gated long convolutions by implicit filters", "Poli et al. 2023 (2302.10866)",
    "x_0, .., x_{N-1}, v = split(conv3(W_in u))\nv <- k_i * (v x_i) + b_i (v x_i) for i = N-1 .. 1,  out = W_out (v x_0)\n"
    "k_l = (MLP of sines)(z_l) exp(-t_l |delta|)",
    "W_in [(N+1) d, d], conv [(N+1) d, 3], MLP: [F, 2 bands + 1], [F, F] twice, [(N-1) d, F], freq [F], b [(N-1) d], W_out [d, d]",
    "2 (N+1) d + 2 (N-1) length d; of M modes 2 (N+1) d + 2 (N-1) M d", "O(N d log^2 length + N d^2); modes O(N M d + N d^2)",
    "O(N d F length + N T d log T + N T d^2); modes O(T (N M d + N d^2))", "mixers/hyena.h"};

namespace {

Init uniform(int64_t in) { return Init::uniform(-1 / std::sqrt(in), 1 / std::sqrt(in)); }
// The decay of channel c at the end of the filter, |delta|: from slow to fast.
Init decays() { return Init::linspace(std::log(1e-2) / 1.5, std::log(1e-2) / 0.3); }

// Modes that begin as waves of 0 to bands - 1 turns over the length, with the decays that the implicit filter has: the published code begins
// with those of a trained filter.
Modes modal(const Scope& f, const Hyena::Options& o) {
  const int64_t E = int64_t{o.width} * (o.order - 1), M = o.modes;
  const double L = o.length, slow = -std::log(1e-2) / 1.5, fast = -std::log(1e-2) / 0.3;
  auto own = [](const Init& i) { return i.no_decay().in_group("filter"); };
  const Init poles = Init::by_element([=, bands = o.bands](int64_t i) {
    const double c = static_cast<double>(i / (2 * M)), n = static_cast<double>(i / 2 % M);
    if (i % 2) return 6.283185307179586 / L * n * (bands - 1) / static_cast<double>(std::max<int64_t>(1, M - 1));
    return std::log((slow + (fast - slow) * c / static_cast<double>(std::max<int64_t>(1, E - 1))) / L);
  });
  const Complex p = complex_of_pairs(f("poles", {E, M, 2}, own(poles)));
  return modes_of(exp(Complex{-1.f * exp(p.re), p.im}), complex_of_pairs(f("residues", {E, M, 2}, own(Init::normal(0.3 / std::sqrt(M))))));
}

// [E,length], by the MLP.
Tensor implicit(const Scope& f, const Hyena::Options& o) {
  const int64_t E = int64_t{o.width} * (o.order - 1), F = o.filter, L = o.length, Z = 2 * o.bands + 1;
  const Scope mlp = f / "implicit_filter";
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
  const Tensor deltas = f("modulation.deltas", {1, E}, decays().no_decay());
  // Element by element: a product of matrices may round times to bf16.
  const Tensor rates = Tensor::zeros({L, E}, DType::f32, h.device()) + unary(Unary::abs, deltas).view({E});
  return transposed(h * exp(-1.f * (rates * copy_to(t, h.device()))));
}

}  // namespace

Hyena Hyena::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, I = D * (o.order + 1);
  auto linear_of = [&](const Scope& at, int64_t in, int64_t width, bool bias) {
    return Linear::bind(at, in, width, bias, Init::fan_in(), uniform(in));
  };
  const Scope f = s / "filter_fn";
  return {.o = o,
          .in = linear_of(s / "in_proj", D, I, true),
          .out = linear_of(s / "out_proj", D, D, true),
          .taps = (s / "short_filter")("weight", {I, 3}, Init::fan_in()),
          .taps_bias = (s / "short_filter")("bias", {I}, Init::conv_bias(3)),
          .filter = o.modes > 0 ? Tensor{} : implicit(f, o),
          .bias = f("bias", {D * (o.order - 1)}, Init::normal(1)),
          .modes = o.modes > 0 ? modal(f, o) : Modes{}};
}

Tensor Hyena::operator()(const Tensor& u, Pass p) const {
  static constexpr const char* slots[] = {"conv1", "conv2", "conv3", "conv4"};
  const int64_t D = u.dim(1);
  const Tensor x = short_conv(in(u), taps, taps_bias, false, p.slot("short"));
  Tensor v = x.slice(1, o.order * D, D);
  for (int64_t i = o.order - 1, n = 0; i > 0; --i, ++n) {
    const Tensor taps_of_n = filter ? filter.slice(0, n * D, D) : Tensor{};
    LongConv conv{.filter = taps_of_n, .skip = bias.slice(0, n * D, D)};
    if (modes.pole) conv.modes = {modes.pole.slice(1, n * D, D), modes.residue.slice(1, n * D, D)};
    v = long_conv(v * x.slice(1, i * D, D), conv, p.slot(slots[n]));
  }
  return out(v * x.slice(1, 0, D));
}

ModalHyena with_modes(const Scope& s, const Hyena::Options& o, int modes) {
  expect(o.modes == 0 && s.source().device == Device::cpu && !s.source().pack, "hyena: modes are made of taps, with plain matrices on the CPU");
  PauseTape pause;
  const Hyena h = Hyena::bind(s, o);
  ModalHyena m{.tensors = {}, .fit = fit_modes(h.filter, modes)};
  const int64_t E = h.filter.dim(0);
  Tensor poles = m.fit.log_pole.contiguous_copy();
  for (int64_t i = 0; i < E * modes; ++i) poles.f32()[2 * i] = std::log(-poles.f32()[2 * i]);
  auto give = [&](const Scope& at, const char* name, const Tensor& t) { m.tensors.emplace_back((at / name).path(), t); };
  const Scope f = s / "filter_fn", taps = s / "short_filter";
  give(s / "in_proj", "weight", h.in.weight), give(s / "in_proj", "bias", h.in.bias);
  give(s / "out_proj", "weight", h.out.weight), give(s / "out_proj", "bias", h.out.bias);
  give(taps, "weight", h.taps), give(taps, "bias", h.taps_bias);
  give(f, "bias", h.bias + m.fit.rest), give(f, "poles", poles), give(f, "residues", m.fit.residue);
  return m;
}

}  // namespace headrace
