// AFT's four forms (Zhai et al. 2021, 2105.14103; equations: aft.h), a call each: the table of weights w is made once, when the
// layer is bound; without one, and causal, it is RWKV-4's scan with nothing forgotten and no bonus.
#include "mixers/aft.h"

#include "base/error.h"
#include "ops/aft.h"
#include "ops/feature_maps.h"
#include "ops/sequence.h"
#include "ops/whole.h"

namespace headrace {

const MixerDoc AftMixer::doc{
    "aft", "linear attention", "attention-free transformer", "Zhai et al. 2021 (2105.14103)",
    "y_t = sigmoid(q_t) sum_s e^(k_s + w_ts) v_s / sum_s e^(k_s + w_ts);  out = W_o y        over s <= t\n"
    "simple: w = 0;  full: w_ts = a_t.b_s;  local: 0 beyond the window;  conv: w by head and distance, 0 beyond",
    "W_q, W_k, W_v [A, d], W_o [d, A], biases; a, b [T_max, rank] or w [T_max, T_max]; conv: w [H, window]",
    "3 A; local, conv: (2 window + 3) A; full: 2 A a token", "O(A); O(window A); O(T A)", "O(T A); O(T window A); O(T^2 A)", "mixers/aft.h",
    "whole, chunk, step", "cpu; cuda: simple"};

void AftMixer::Options::check() const {
  expect(inner % heads == 0, "aft: heads = ", heads, " does not divide inner = ", inner);
  expect(causal || form != "conv", "aft: form=conv is causal");
  expect(int64_t{inner} * window <= 1 << 28, "aft: inner = ", inner, ", window = ", window);
}

AftMixer AftMixer::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, A = o.inner, H = o.heads, T = o.longest, W = o.window;
  const auto uniform = [](int64_t in) { return Init::uniform(-1 / std::sqrt(in), 1 / std::sqrt(in)); };
  const auto map = [&](const char* name, int64_t in, int64_t rows) { return Linear::bind(s / name, in, rows, true, Init::fan_in(), uniform(in)); };
  AftMixer m{.o = o, .q = map("to_q", D, A), .k = map("to_k", D, o.form == "conv" ? H : A), .v = map("to_v", D, A),
             .out = map("project", A, D), .w = {}};
  if (o.form == "conv") {
    const Tensor w = layer_norm(s("wbias", {H, W}, Init::normal(0.02)), {}, {}, 1e-5f);
    const Tensor by_head = w * s("gain", {H}, Init::ones()).view({H, 1}) + s("shift", {H}).view({H, 1});
    std::vector<int64_t> head;
    for (int64_t c = 0; c < A; ++c) head.push_back(c / (A / H));
    m.w = take_rows(by_head, head);
  } else if (o.form != "simple") {
    m.w = o.rank == 0 ? s("wbias", {T, T}, Init::zeros())
                      : matmul(s("wbias_a", {T, o.rank}, Init::normal(0.01)), s("wbias_b", {T, o.rank}, Init::normal(0.01)), false, true);
    if (o.form == "local" && !o.causal && m.w.device() != Device::meta) {   // both sides of the window; the causal form takes it as it is
      Tensor near = Tensor::zeros({T, T});
      for (int64_t t = 0; t < T; ++t)
        for (int64_t j = std::max<int64_t>(0, t - W + 1); j < std::min(T, t + W); ++j) near.f32()[t * T + j] = 1;
      m.w = m.w * copy_to(near, m.w.device());
    }
  }
  return m;
}

Tensor AftMixer::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), A = o.inner, H = o.heads;
  const auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const Tensor &keys = qkv[1], &values = qkv[2];
  const auto weighted = [&]() -> Tensor {
    if (o.form == "simple") {
      const Tensor none = Tensor::zeros({A}, DType::f32, x.device());
      return o.causal ? rwkv4_scan(none, none, keys, values, p.slot("sums")) : aft_simple_whole(keys, values, p.slot("whole"));
    }
    if (o.form == "full" || !o.causal) return aft_full(keys, values, w, o.causal, p.slot("kv"));
    const Tensor by_channel = o.form == "conv" ? scale_heads(constant({N, H, A / H}, 1, x.device()), keys).view({N, A}) : keys;
    return aft_near({.k = by_channel, .v = values, .w = w, .window = o.window}, p.positions(), p.slot("window"), p.slot("largest"), p.slot("sums"));
  };
  return out(binary(Binary::sigmoid_multiply, qkv[0], weighted()));
}

}  // namespace headrace
