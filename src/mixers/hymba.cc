// Hymba's layer (Dong et al. 2024, 2411.13676; equations: hymba.h): attention and Mamba read slices of one product; the mean of
// their norms goes on.
#include "mixers/hymba.h"

#include "base/error.h"

namespace headrace {

const MixerDoc Hymba::doc{
    "hymba", "hybrid", "Hymba: attention and Mamba in one layer", "Dong et al. 2024 (2411.13676)",
    "[q; k; v; x; z] = W_in u;  a = attention(rope(q), rope(k), v) in a window;  s = mamba(x) silu(z)\n"
    "y = W_out ((rms(a) w_1 + rms(s) w_2) / 2)                     E channels in both; meta tokens stay in sight",
    "W_in [(3 E + 2 kv E / heads), d], conv [E, taps], W_x [R + 2 N, E], W_dt [E, R], A_log [E, N], D [E], norms, W_out [d, E]",
    "keys and values, 2 kv E / heads a token, of the window; E (N + taps - 1)", "O(d E + window E + E N)", "O(T (d E + window E + E N))",
    "mixers/hymba.h"};

Hymba Hymba::bind(const Scope& s, Options o) {
  const int64_t D = o.width, E = o.inner, K = E / o.heads, N = o.state;
  if (o.rope.base > 0) o.rope.rotary = static_cast<int>(K / 2 * 2);
  fill_frequencies(o.rope);
  if (o.attend.window <= 0) o.attend.pattern = {};           // all are in sight
  const auto norm = [&](const char* name, int64_t width) { return Norm::rms(s / name, width, o.eps); };
  return {.o = o,
          .in = Linear::bind(s / "in_proj", D, 3 * E + 2 * o.kv_heads * K, o.bias),
          .x = Linear::bind(s / "x_proj" / 0, E, o.rank + 2 * N, false, Init::fan_in()),
          .dt = Linear::bind(s / "dt_proj" / 0, o.rank, E, true, Init::fan_in(), Init::step_size(1e-3, 0.1)),
          .out = Linear::bind(s / "out_proj", E, D, o.bias),
          .conv = (s / "conv1d")("weight", {E, o.taps}, Init::fan_in()),
          .conv_bias = (s / "conv1d")("bias", {E}, Init::conv_bias(o.taps)),
          .A = -1.f * exp((s / "A_log")("0", {E, N}, Init::by_column([](int64_t n) { return std::log(n + 1.0); }).no_decay())),
          .D = (s / "D")("0", {E}, Init::ones()),
          .dt_norm = norm("dt_layernorm", o.rank), .B_norm = norm("B_layernorm", N), .C_norm = norm("C_layernorm", N),
          .attention_norm = norm("pre_avg_layernorm1", E), .mamba_norm = norm("pre_avg_layernorm2", E)};
}

Tensor Hymba::operator()(const Tensor& u, Pass p) const {
  const int64_t N = u.dim(0), E = o.inner, K = E / o.heads, G = o.kv_heads * K, R = o.rank, S = o.state;
  const Tensor all = in(u);
  const auto heads = [&](int64_t begin, int64_t count) { return all.slice(-1, begin, count * K).view({N, count, K}); };
  const auto turned = [&](int64_t begin, int64_t count) { return headrace::rope(heads(begin, count), o.rope, p.positions()); };
  const Tensor a = attention(turned(0, o.heads), turned(E, o.kv_heads), heads(E + G, o.kv_heads), o.attend, p.slot("kv"));
  const Tensor c = short_conv(all.slice(-1, E + 2 * G, E), conv, conv_bias, true, p.slot("conv")), dBC = x(c);
  const Tensor step = softplus(dt(dt_norm(dBC.slice(-1, 0, R))));
  const Tensor h = selective_scan(c, step, A, B_norm(dBC.slice(-1, R, S)), C_norm(dBC.slice(-1, R + S, S)), p.slot("ssm"));
  const Tensor s = binary(Binary::silu_multiply, all.slice(-1, 2 * E + 2 * G, E), h + c * D);
  return out(0.5f * (attention_norm(a.view({N, E})) + mamba_norm(s)));
}

}  // namespace headrace
