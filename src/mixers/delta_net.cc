// The delta rule's frame and the gates of its members (papers, equations: delta_net.h). Several writes a token are as many rows of
// one scan: the decay comes before the first, the query after the last, so no primitive of its own is needed.
#include "mixers/delta_net.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc DeltaNet::doc{
    "delta_net", "linear attention", "DeltaNet: writes that correct an error", "Yang et al. 2024 (2406.06484)",
    "q, k, v = silu(conv(W x));  q, k of length 1 by head;  beta = sigmoid(W_b x)\n"
    "S_t = S_{t-1} + beta k (v - S_{t-1}^T k)^T\no = K^(-1/2) S_t^T q;  y = W_o norm(o)",
    "W_q, W_k [H K, d], W_v [H V, d], W_b [H, d], W_o [d, H V], conv [channels, taps], norm [V]", "H K V + (taps - 1) H (2 K + V)", "O(H K V)",
    "O(T H K V)", "mixers/delta_net.h"};
const MixerDoc GatedDeltaNet::doc{
    "gated_delta_net", "linear attention", "Gated DeltaNet", "Yang et al. 2024 (2412.06464)",
    "q, k, v = silu(conv(W x));  q, k of length 1 by head;  beta = sigmoid(W_b x)\ng = -exp(A_log) softplus(W_a x + dt_bias)\n"
    "S <- e^g S;  S <- S + beta k (v - S^T k)^T\no = K^(-1/2) S^T q;  y = W_o(norm(o) silu(W_g x))",
    "W_q, W_k [Hk K, d], W_v, W_g [H V, d], W_a, W_b [H, d], A_log, dt_bias [H], W_o [d, H V], conv [channels, taps], norm [V]",
    "H K V + (taps - 1) (2 Hk K + H V)", "O(H K V)", "O(T H K V)", "mixers/delta_net.h"};
const MixerDoc GatedDeltaProduct::doc{
    "gated_delta_product", "linear attention", "Gated DeltaProduct: several Householder steps a token", "Siems et al. 2025 (2502.10297)",
    "k_j, v_j = silu(conv(W_j x)), beta_j = 2 sigmoid(W_bj x), j = 1..n;  g as in gated_delta_net\n"
    "S <- e^g S;  S <- S + beta_j k_j (v_j - S^T k_j)^T for j = 1..n\no = K^(-1/2) S^T q;  y = W_o(norm(o) silu(W_g x))",
    "gated_delta_net's, with n W_k [Hk K, d], W_v [H V, d], W_b [H, d]", "H K V + (taps - 1) ((1 + n) Hk K + n H V)", "O(n H K V)", "O(T n H K V)",
    "mixers/delta_net.h"};
const MixerDoc Kda::doc{
    "kda", "linear attention", "Kimi delta attention: a decay by key channel", "Kimi team 2025 (2510.26692)",
    "q, k, v = silu(conv(W x));  q, k of length 1 by head;  beta = sigmoid(W_b x)\ng = -exp(A_log) softplus(W_f2 W_f1 x + dt_bias)\n"
    "S <- diag(e^g) S;  S <- S + beta k (v - S^T k)^T\no = K^(-1/2) S^T q;  y = W_o(norm(o) sigmoid(W_g2 W_g1 x))",
    "W_q, W_k [H K, d], W_v [H V, d], W_b [H, d], W_f1, W_g1 [V, d], W_f2 [H K, V], W_g2 [H V, V], A_log [H], dt_bias [H K], W_o [d, H V], norm [V]",
    "H K V + (taps - 1) H (2 K + V)", "O(H K V)", "O(T H K V)", "mixers/delta_net.h"};
const MixerDoc LogLinearGdn::doc{
    "log_linear_gdn", "linear attention", "log-linear attention over Gated DeltaNet", "Guo et al. 2025 (2506.04761)",
    "lambda = softplus(L * W_l x);  level of s for t: bit width of t XOR s\n"
    "o = K^(-1/2) sum_l lambda_l S^(l)T q,  S^(l): gated_delta_net's state over the tokens of level l",
    "gated_delta_net's, W_l [H levels, d], L [H, levels]", "(levels - 1) H K V", "O(log T H K V)", "O(T log T H K V)", "mixers/delta_net.h"};

void DeltaRule::Options::check(const char* name) const {
  expect(heads % key_heads == 0, name, ": key_heads = ", key_heads, " does not divide heads = ", heads);
  expect(int64_t{heads} * std::max(key, value) * writes <= 1 << 24, name, ": heads = ", heads, " of key = ", key, ", value = ", value);
}

DeltaRule DeltaRule::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, Q = int64_t{o.key_heads} * o.key, K = Q * o.writes, A = int64_t{o.heads} * o.value, V = A * o.writes;
  DeltaRule m{.o = o,
              .q = Linear::bind(s / "q_proj", D, Q),
              .k = Linear::bind(s / "k_proj", D, K),
              .v = Linear::bind(s / "v_proj", D, V),
              .beta = Linear::bind(s / "b_proj", D, int64_t{o.heads} * o.writes),
              .out = Linear::bind(s / "o_proj", A, D),
              .norm = Norm::rms(s / "o_norm", o.value, o.norm_eps)};
  const auto conv = [&](const char* name, int64_t channels) {
    const Scope c = s / name;
    return Conv{c("weight", {channels, o.taps}, Init::fan_in()), c.maybe("bias", {channels})};
  };
  if (o.taps > 0) m.q_conv = conv("q_conv1d", Q), m.k_conv = conv("k_conv1d", K), m.v_conv = conv("v_conv1d", V);
  if (o.levels > 0) m.level = Levels::bind(s, D, o.heads, o.levels);
  return m;
}

Tensor DeltaRule::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, G = o.key_heads, K = o.key, V = o.value, n = o.writes, M = N * n;
  auto rows = linear(x, {{q.weight, {}}, {k.weight, {}}, {v.weight, {}}, {beta.weight, {}}});
  const auto mixed = [&](const Tensor& t, const Conv& c, const char* slot) {
    return o.taps > 0 ? short_conv(t, c.weight, c.bias, true, p.slot(slot)) : silu(t);
  };
  Tensor qh = l2_norm(mixed(rows[0], q_conv, "q_conv").view({N, G, K}));
  const Tensor kh = repeat_heads(l2_norm(mixed(rows[1], k_conv, "k_conv").view({M, G, K})), H / G);
  const Tensor vh = mixed(rows[2], v_conv, "v_conv").view({M, H, V});
  Tensor strength = sigmoid(rows[3]).view({M, H}), decay = log_decay ? log_decay(x) : Tensor{}, y;
  if (o.twice) strength = 2.f * strength;
  const float scale = 1 / std::sqrt(static_cast<float>(K));
  if (o.levels > 0) {
    y = log_linear({.q = repeat_heads(qh, H / G), .k = kh, .v = vh, .levels = level(x), .log_decay = decay, .beta = strength, .scale = scale},
                   p.positions(), p.slot("scan"));
  } else if (n == 1) {
    y = linear_scan({.q = qh, .k = kh, .v = vh, .log_decay = decay, .beta = strength, .scale = scale}, p.slot("scan"));
  } else {
    // A token is n rows: it decays before the first and is read after the last.
    const Tensor none = Tensor::zeros({N, (n - 1) * G * K}, DType::f32, x.device());
    qh = concat({none, qh.view({N, G * K})}).view({M, G, K});
    if (decay) decay = concat({decay, Tensor::zeros({N, (n - 1) * H}, DType::f32, x.device())}).view({M, H});
    Slot slot = p.slot("scan");
    std::vector<int64_t> offsets(slot.sequences.offsets.begin(), slot.sequences.offsets.end());
    for (int64_t& at : offsets) at *= n;
    slot.sequences.offsets = offsets;
    y = linear_scan({.q = qh, .k = kh, .v = vh, .log_decay = decay, .beta = strength, .scale = scale}, slot);
    y = concat({y.view({N, n * H * V}).slice(-1, (n - 1) * H * V, H * V)}).view({N, H, V});
  }
  y = norm(y).view({N, H * V});
  return out(gate ? binary(activation, gate(x), y) : y);
}

namespace {
// -exp(A_log) softplus(W x + dt_bias), A_log by head.
struct Decay { Tensor A, dt_bias; };
Decay decay_of(const Scope& s, int heads, int64_t channels, double least) {
  const Tensor A = -1.f * exp(s("A_log", {heads}, Init::uniform(least, 16).log().no_decay()));
  return {channels > 1 ? over_channels(A, channels) : A, s("dt_bias", {heads * channels}, Init::step_size(1e-3, 0.1))};
}
}  // namespace

DeltaRule DeltaNet::bind(const Scope& s, const Options& o) {
  DeltaRule m = DeltaRule::bind(s, o.frame);
  if (o.frame.output_gate) m.gate = Linear::bind(s / "g_proj", o.frame.width, int64_t{o.frame.heads} * o.frame.value);
  return m;
}

DeltaRule GatedDeltaNet::bind(const Scope& s, const Options& o) {
  const DeltaRule::Options& f = o.frame;
  DeltaRule m = DeltaRule::bind(s, f);
  if (f.output_gate) m.gate = Linear::bind(s / "g_proj", f.width, int64_t{f.heads} * f.value);
  m.log_decay = [a = Linear::bind(s / "a_proj", f.width, f.heads), d = decay_of(s, f.heads, 1, 0)](const Tensor& x) {
    return softplus(a(x) + d.dt_bias) * d.A;
  };
  return m;
}

DeltaRule Kda::bind(const Scope& s, const Options& o) {
  const DeltaRule::Options& f = o.frame;
  const int64_t H = f.heads, K = f.key, V = f.value, D = f.width;
  const auto low_rank = [&](const std::string& name, int64_t channels) {
    return [down = Linear::bind(s / (name + "_a_proj"), D, V), up = Linear::bind(s / (name + "_b_proj"), V, channels)](const Tensor& x) {
      return up(down(x));
    };
  };
  DeltaRule m = DeltaRule::bind(s, f);
  m.log_decay = [=, map = low_rank("f", H * K), d = decay_of(s, f.heads, K, 1)](const Tensor& x) {
    return (softplus(map(x) + d.dt_bias) * d.A).view({x.dim(0), H, K});
  };
  if (f.output_gate) m.gate = low_rank("g", H * V), m.activation = Binary::sigmoid_multiply;
  return m;
}

}  // namespace headrace
