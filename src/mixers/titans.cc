// Titans (Behrouz et al. 2025, 2501.00663; equations: titans.h): the memory is memory_scan; what differs is what it reads and what
// attention reads. In titans_mac a segment's memory learns from what attention made of its own reading, so segments follow one
// another (nn/segments.h).
#include "mixers/titans.h"

#include <cmath>

#include "base/error.h"
#include "nn/segments.h"

namespace headrace {

namespace {
constexpr const char *paper = "Behrouz, Zhong, Mirrokni 2025 (2501.00663)", *source = "mixers/titans.h";
constexpr const char* memory_parameters = "W_q, W_k, W_v, W_o [d, d], convolutions [d, taps], gates 3 [H, d], M_0 [H, P]";
constexpr const char* all_parameters =
    "W_q, W_k, W_v of attention and of the memory, W_o [d, d], convolutions [d, taps], gates 3 [H, d], M_0 [H, P], tokens [P', d]";
}  // namespace

const MixerDoc Titans::doc{
    "titans", "memory", "Titans: the neural memory alone", paper,
    "k, q = l2(silu(conv(W x))),  v = silu(conv(W_v x)),  theta, eta, alpha = sigmoid(W x + b)\n"
    "G = theta g, g = grad 1/2 |M(k) - v|^2 at the batch's first weights (clip: |g| < C);  S = eta S - G;  M = (1 - alpha) M + S\ny = W_o M(q)",
    memory_parameters, "2 H P, with batches 3 H P; P weights of a head's memory", "O(H P)", "O(T H P)", source, "whole, chunk, step", "cpu"};
const MixerDoc TitansMal::doc{
    "titans_mal", "memory", "Titans: memory as a layer before attention", paper,
    "m = M(q) as titans;  y = W_o attention(m) in a window, with P' trained tokens that every query sees",
    all_parameters, "3 H P; keys and values, 2 d a token, at most `window` tokens", "O(H P + window d)", "O(T (H P + window d))", source,
    "whole, chunk, step", "cpu"};
const MixerDoc TitansMag::doc{
    "titans_mag", "memory", "Titans: memory as a gate", paper,
    "m = M(q) as titans;  a = attention(x) in a window, with P' trained tokens that every query sees\ny = W_o (sigmoid(rms(a)) * rms(m))",
    all_parameters, "3 H P; keys and values, 2 d a token, at most `window` tokens", "O(H P + window d)", "O(T (H P + window d))", source,
    "whole, chunk, step", "cpu"};
const MixerDoc TitansMac::doc{
    "titans_mac", "memory", "Titans: memory as context", paper,
    "by segments: h = M(q(x));  a = attention over P' trained tokens, h and x up to the token\n"
    "M learns from a at the segment's end;  y = W_o (a * M(q(a)))",
    all_parameters, "3 H P; keys and values of a segment, 4 d a token", "O(H P + segment d)", "O(T (H P + segment d))", source,
    "whole, chunk, step", "cpu"};

void NeuralMemory::Options::check(const char* name) const {
  expect(width % heads == 0, name, ": memory_heads = ", heads, " does not divide the width ", width);
  expect(batch % chunk == 0, name, ": batch = ", batch, " is no multiple of chunk = ", chunk);
  expect(Memory::can_clip(clip), name, ": clip = ", clip, ", wanted 0 or 1e-6 to 1e12");
  expect(int64_t{width} / heads * expand <= 1 << 20, name, ": a memory ", int64_t{width} / heads * expand, " wide");
}

NeuralMemory NeuralMemory::bind(const Scope& s, Options o, bool reads_apart) {
  const int D = o.width, H = o.heads, K = D / H, F = o.depth > 1 ? o.expand * K : 0;
  const auto gate = [&](const char* name, double bias) { return Linear::bind(s / name, D, H, true, {}, Init::constant(bias)); };
  const auto conv = [&](const char* name) { return o.taps > 0 ? (s / name)("weight", {D, o.taps}, Init::fan_in()) : Tensor{}; };
  NeuralMemory m{.o = o, .q = Linear::bind(s / "to_queries", D, D), .k = Linear::bind(s / "to_keys", D, D),
                 .v = Linear::bind(s / "to_values", D, D),
                 .rate = gate("to_adaptive_step", -2), .momentum = gate("to_momentum", 0), .forget = gate("to_decay_factor", -4),
                 .q_conv = conv("q_conv1d"), .k_conv = conv("k_conv1d"), .v_conv = conv("v_conv1d"),
                 .read_conv = reads_apart ? conv("read_conv1d") : Tensor{},
                 .memory = {.value = K, .initial = {}, .depth = o.depth, .hidden = F, .norm = o.depth > 1, .momentum = true,
                            .eps = o.eps, .chunk = o.chunk,
                            .batch = o.batch, .clip = o.clip}};
  std::vector<Tensor> parts;
  if (m.memory.norm) parts.push_back((s / "memory_model" / "norm")("gamma", {H, K}));
  for (int l = 0; l < o.depth; ++l) {
    const int in = l == 0 ? K : F, to = l + 1 == o.depth ? K : F;
    const double most = std::sqrt(6.0 / (in + to));
    const Tensor w = (s / "memory_model" / "weights")(std::to_string(l), {H, in, to}, Init::uniform(-most, most));
    parts.push_back(w.view({H, int64_t{in} * to}));
  }
  m.memory.initial = concat(parts);
  return m;
}

Tensor NeuralMemory::queries(const Tensor& x, const Tensor& conv, const char* slot, Pass p) const {
  const Tensor y = q(x);
  return l2_norm((conv ? short_conv(y, conv, {}, true, p.slot(slot)) : silu(y)).view({x.dim(0), o.heads, o.width / o.heads}), o.eps);
}
Tensor NeuralMemory::learn(const Tensor& x, Pass p) const {
  const Shape by_head{x.dim(0), o.heads, o.width / o.heads};
  auto in = linear(x, {{k.weight, k.bias}, {v.weight, v.bias}, {rate.weight, rate.bias}, {momentum.weight, momentum.bias},
                       {forget.weight, forget.bias}});
  const auto mixed = [&](const Tensor& y, const Tensor& conv, const char* slot) {
    return (conv ? short_conv(y, conv, {}, true, p.slot(slot)) : silu(y)).view(by_head);
  };
  const Tensor read = queries(x, q_conv, "q_conv", p), keys = l2_norm(mixed(in[0], k_conv, "k_conv"), o.eps), values = mixed(in[1], v_conv, "v_conv");
  const Tensor theta = o.rate * sigmoid(in[2]);
  const Tensor y = memory_scan({.q = read, .k = keys, .v = values, .rate = theta, .momentum = in[3], .forget = in[4], .logits = true}, memory,
                               p.slot("memory"));
  return y.view({x.dim(0), o.width});
}
Tensor NeuralMemory::read(const Tensor& x, Pass p) const {
  return memory_read(queries(x, read_conv, "read_conv", p), memory, p.slot("memory")).view({x.dim(0), o.width});
}

Titans Titans::bind(const Scope& s, const Options& o) {
  return {.memory = NeuralMemory::bind(s, o.memory), .out = Linear::bind(s / "o_proj", o.memory.width, o.memory.width)};
}
Tensor Titans::operator()(const Tensor& x, Pass p) const { return out(memory.learn(x, p)); }

TitansWithAttention TitansWithAttention::bind(const Scope& s, const Options& o, bool gated, bool reads_apart) {
  const int D = o.memory.width;
  return {.memory = NeuralMemory::bind(s / "memory", o.memory, reads_apart), .attend = MergedAttention::bind(s / "attn", o.attend),
          .attention_norm = gated ? Norm::rms(s / "attn_norm", D, o.memory.eps) : Norm{},
          .memory_norm = gated ? Norm::rms(s / "memory_norm", D, o.memory.eps) : Norm{},
          .out = Linear::bind(s / "o_proj", D, D)};
}
Tensor TitansMal::operator()(const Tensor& x, Pass p) const { return out(attend(memory.learn(x, p), {}, p)); }
Tensor TitansMag::operator()(const Tensor& x, Pass p) const {
  return out(binary(Binary::sigmoid_multiply, attention_norm(attend(x, {}, p)), memory_norm(memory.learn(x, p))));
}

TitansMac TitansMac::bind(const Scope& s, Options o) {
  o.memory.chunk = o.memory.batch = o.segment;
  o.attend.attend.window = o.segment;
  o.attend.attend.pattern = std::make_shared<const Pattern>(Pattern{.kind = Pattern::Kind::chunks, .block = o.segment});
  return {TitansWithAttention::bind(s, o, false, true), o.segment};
}
Tensor TitansMac::operator()(const Tensor& x, Pass p) const {
  return out(by_segments(x, p, segment, [this](const Tensor& u, Pass q) {
    const Tensor a = attend(u, memory.read(u, q), q);
    return a * memory.learn(a, q);
  }));
}

}  // namespace headrace
