// The frame of linear attentions with decay, and RetNet, GLA, linear_attn and HGRN2 in it (papers, equations: linear_attention.h):
// a member is the gate that makes the decay of the input, a few lines each.
#include "mixers/linear_attention.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "nn/arranged.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

std::function<Tensor(const Tensor&)> feature(const std::string& name, const Scope& s, int key) {
  static constexpr std::pair<const char*, Unary> plain[] = {
      {"relu", Unary::relu}, {"sigmoid", Unary::sigmoid}, {"logsigmoid", Unary::log_sigmoid}, {"silu", Unary::silu}, {"swish", Unary::silu},
      {"sqrelu", Unary::relu_squared}, {"relu2", Unary::relu_squared}, {"tanh", Unary::tanh}, {"gelu", Unary::gelu_tanh}};
  for (const auto& [known, f] : plain)
    if (name == known) return [f = f](const Tensor& x) { return unary(f, x); };
  if (name == "elu") return [](const Tensor& x) { return exp(at_most(x, 0)) + unary(Unary::relu, x); };   // elu(x) + 1
  if (name == "elementwise_product")
    return [one = Linear::bind(s / "layer1", key, key, true), two = Linear::bind(s / "layer2", key, key, true)](const Tensor& x) {
      const Tensor rows = x.contiguous_or_copy().view({x.dim(0) * x.dim(1), x.dim(2)});
      auto y = linear(rows, {{one.weight, one.bias}, {two.weight, two.bias}});
      return (y[0] * y[1]).view(x.shape());
    };
  if (name != "identity") fail("linear attention has no feature map '", name, "'");
  return {};
}

// Rows of a key head, once for each query head that reads it.
Tensor repeated(const Tensor& x, int heads, int kv_heads) {
  if (heads == kv_heads) return x;
  Shape shape = x.shape();
  shape[0] = shape[0] / kv_heads * heads;
  if (x.device() == Device::meta) return Tensor::empty(shape, DType::f32, Device::meta);
  std::vector<int64_t> rows;
  for (int h = 0; h < heads; ++h) rows.push_back(h / (heads / kv_heads));
  return take_rows(x.view({kv_heads, x.count() / kv_heads}), rows).view(shape);
}

// The lower bound c of each channel in `layer`: the softmax over layers, summed up to it, without the first's share. bounds [L,C].
struct Bound { Tensor log, above; };                   // log c and 1 - c; empty where c = 0
Bound bound_of_layer(const Tensor& bounds, int layer) {
  const Tensor planned = Tensor::empty({bounds.dim(1)}, DType::f32, Device::meta);
  if (bounds.device() == Device::meta) return {planned, planned};
  const Tensor share = softmax(transposed(bounds));    // [C,L]
  const int64_t after = bounds.dim(0) - layer - 1;
  const Tensor first = sum_columns(share.slice(-1, 0, 1));
  return {log(sum_columns(share.slice(-1, 1, layer))), after > 0 ? first + sum_columns(share.slice(-1, layer + 1, after)) : first};
}

}  // namespace

const MixerDoc RetNet::doc{
    "retnet", "linear attention", "retention (RetNet)", "Sun et al. 2023 (2307.08621)",
    "q, k <- rope(q), rope(k);  S_t = gamma_h S_{t-1} + k v^T,  gamma_h = 1 - 2^(-5-h)\no = scale S_t^T q;  y = W_o(norm(o) silu(W_g x))",
    "W_q, W_k [H K, d], W_v, W_g [H V, d], W_o [d, H V], norm [V]", "H K V", "O(H K V)", "O(T H K V)", "mixers/linear_attention.h"};
const MixerDoc Gla::doc{
    "gla", "linear attention", "gated linear attention", "Yang et al. 2023 (2312.06635)",
    "S_t = diag(exp(g_t)) S_{t-1} + k v^T,  g = logsigmoid(W_2 W_1 x + b) / 16\no = scale S_t^T q;  y = W_o(norm(o) silu(W_g x))",
    "W_q, W_k [H K, d], W_v, W_g [H V, d], W_o [d, H V], gate W_1 [rank, d], W_2 [H K, rank], b", "H K V", "O(H K V)", "O(T H K V)",
    "mixers/linear_attention.h"};
const MixerDoc SimpleGla::doc{
    "simple_gla", "linear attention", "gated linear attention with one gate a head", "Yang et al. 2023 (2312.06635); Dao, Gu 2024 (2405.21060)",
    "S_t = exp(g_t) S_{t-1} + k v^T,  g = logsigmoid(w_h x + b) / 16\no = scale S_t^T q;  y = W_o(norm(o) silu(W_g x))",
    "W_q, W_k [H K, d], W_v, W_g [H V, d], W_o [d, H V], gate w [H, d], b", "H K V", "O(H K V)", "O(T H K V)", "mixers/linear_attention.h"};
const MixerDoc LogLinearAttention::doc{
    "log_linear", "linear attention", "log-linear attention over simple_gla", "Guo et al. 2025 (2506.04761)",
    "lambda = softplus(L * W_l x);  level of s for t: bit width of t XOR s\n"
    "o = scale sum_j lambda_j S^(j)T q,  S^(j): simple_gla's state over the tokens of level j;  y = W_o(norm(o) silu(W_g x))",
    "simple_gla's, W_l [H levels, d], L [H, levels]", "(levels - 1) H K V", "O(log T H K V)", "O(T log T H K V)", "mixers/linear_attention.h"};
const MixerDoc LinearAttn::doc{
    "linear_attn", "linear attention", "linear attention", "Katharopoulos et al. 2020 (2006.16236), without their normaliser",
    "q, k <- f(W_q x), f(W_k x);  S_t = S_{t-1} + k v^T\no = scale S_t^T q;  y = W_o norm(o)",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V], norm [V]; elementwise_product: two maps [K, K] with biases for q, two for k",
    "H K V", "O(H K V)", "O(T H K V)", "mixers/linear_attention.h"};
const MixerDoc Hgrn2::doc{
    "hgrn2", "linear attention", "HGRN2, hierarchically gated linear recurrence", "Qin et al. 2024 (2404.07904)",
    "decay = c + (1 - c) sigmoid(f),  k = 1 - decay,  q = silu(W_q x)       c grows with depth\n"
    "S_t = diag(decay) S_{t-1} + k v^T;  o = S_t^T q;  y = W_o norm(o)",
    "W_q, W_f [H K, d], W_i [H V, d], W_o [d, H V]; lower bounds of all layers", "H K V", "O(H K V)", "O(T H K V)", "mixers/linear_attention.h"};

void LinearAttention::Options::check(const char* name) const {
  expect(heads % kv_heads == 0, name, ": kv = ", kv_heads, " does not divide heads = ", heads);
  expect(int64_t{heads} * std::max(key, value) <= 1 << 24, name, ": heads = ", heads, " of key = ", key, ", value = ", value);
}
LinearAttention LinearAttention::bind(const Scope& s, Options o, Gate gate) {
  const int64_t D = o.width, Q = int64_t{o.heads} * o.key, K = int64_t{o.kv_heads} * o.key;
  const int64_t V = int64_t{o.kv_heads} * o.value, A = int64_t{o.heads} * o.value;
  const std::string qn = o.q_name, kn = o.k_name, vn = o.v_name;
  LinearAttention m{.o = o,
                    .q = Linear::bind(s / (qn + "_proj"), D, Q, false, o.in),
                    .k = Linear::bind(s / (kn + "_proj"), D, K, false, o.in),
                    .v = Linear::bind(s / (vn + "_proj"), D, V, false, o.in),
                    .out = Linear::bind(s / "o_proj", A, D, false, o.output),
                    .gate = std::move(gate)};
  if (o.output_gate) m.g = Linear::bind(s / "g_proj", D, A, false, o.in);
  auto conv = [&](const std::string& name, int64_t channels) {
    Scope c = s / (name + "_conv1d");
    return Conv{c("weight", {channels, o.taps}, Init::fan_in()), c.maybe("bias", {channels})};
  };
  if (o.taps > 0) m.q_conv = conv(qn, Q), m.k_conv = conv(kn, K), m.v_conv = conv(vn, V);
  // The norm is named for what follows it.
  const Scope n = o.output_gate && !s.has("g_norm.weight") ? s / "g_norm_swish_gate" : s / o.norm_name;
  m.norm = {.eps = o.norm_eps};
  if (o.norm_weight) m.norm.weight = n("weight", {o.norm_by_head ? o.value : A}, Init::ones());
  if (o.levels > 0) m.level = Levels::bind(s, o.width, o.heads, o.levels);
  m.q_feature = feature(o.feature, s / "feature_map_q", o.key), m.k_feature = feature(o.feature, s / "feature_map_k", o.key);
  return m;
}

Tensor LinearAttention::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, G = o.kv_heads;
  auto qkvg = o.output_gate ? linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}, {g.weight, g.bias}})
                            : linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  auto convolved = [&](Tensor& t, const Conv& c, const char* slot) {
    if (o.taps > 0) t = short_conv(t, c.weight, c.bias, o.conv_silu, p.slot(slot));
  };
  convolved(qkvg[0], q_conv, "q_conv"), convolved(qkvg[1], k_conv, "k_conv"), convolved(qkvg[2], v_conv, "v_conv");
  Inputs in{qkvg[0].view({N, H, o.key}), qkvg[1].view({N, G, o.key}), qkvg[2].view({N, G, o.value}), {}};
  if (q_feature) in.q = q_feature(in.q), in.k = k_feature(in.k);
  gate(x, in, p);
  const float scale = 1 / std::sqrt(static_cast<float>(o.key));
  Tensor y;
  if (o.levels == 0) {
    y = linear_scan({.q = in.q, .k = in.k, .v = in.v, .log_decay = in.log_decay, .scale = scale}, p.slot("scan"));
  } else {
    y = log_linear({.q = in.q, .k = repeat_heads(in.k, H / G), .v = repeat_heads(in.v, H / G), .levels = level(x), .log_decay = in.log_decay,
                    .scale = scale}, p.positions(), p.slot("scan"));
  }
  if (!o.norm_by_head) y = y.view({N, H * o.value});
  y = norm(y).view({N, H * o.value});
  return out(o.output_gate ? binary(Binary::silu_multiply, qkvg[3], y) : y);
}

LinearAttention RetNet::bind(const Scope& s, Options o) {
  LinearAttention::Options& f = o.frame;
  f.in = Init::xavier(std::exp2(-2.5)), f.output = Init::xavier(0.5);
  Rope& r = o.rope;
  if (r.inverse_frequency.empty() && r.base > 0) r.rotary = f.key / 2 * 2, fill_frequencies(r);
  std::vector<float> decay;
  for (int h = 0; h < f.heads; ++h) decay.push_back(static_cast<float>(std::log1p(-std::exp2(-5.0 - h))));
  const Tensor log_decay = constants(decay, {f.heads}, s.source().device);
  return LinearAttention::bind(s, f, [log_decay, rope = r](const Tensor& x, LinearAttention::Inputs& in, Pass p) {
    in.q = headrace::rope(in.q, rope, p.positions());
    in.k = headrace::rope(in.k, rope, p.positions());
    in.log_decay = log_decay;
  });
}

LinearAttention Gla::bind(const Scope& s, Options o) {
  const LinearAttention::Options& f = o.frame;
  const int H = f.heads, G = f.kv_heads, K = f.key;
  const Scope gate = s / "gk_proj";
  const Linear down = Linear::bind(gate / 0, f.width, o.rank);
  const Linear up{H == G ? gate.matrix("1.weight", {G * K, o.rank}) : arranged(s.source(), repeated(gate("1.weight", {G * K, o.rank}), H, G)),
                  repeated(gate("1.bias", {G * K}), H, G)};
  return LinearAttention::bind(s, f, [=](const Tensor& x, LinearAttention::Inputs& in, Pass) {
    const Tensor log_decay = 1.f / 16 * log_sigmoid(up(down(x)));
    in.log_decay = (std::isfinite(o.least) ? at_least(log_decay, o.least) : log_decay).view({x.dim(0), H, K});
  });
}

LinearAttention SimpleGla::bind(const Scope& s, const Options& o) {
  const Linear gate = Linear::bind(s / "gk_proj", o.frame.width, o.frame.heads, true);
  return LinearAttention::bind(s, o.frame, [=](const Tensor& x, LinearAttention::Inputs& in, Pass) {
    in.log_decay = 1.f / 16 * log_sigmoid(gate(x));
  });
}

LinearAttention LinearAttn::bind(const Scope& s, const Options& o) {
  return LinearAttention::bind(s, o.frame, [](const Tensor&, LinearAttention::Inputs&, Pass) {});
}

LinearAttention Hgrn2::bind(const Scope& s, Options o, Tensor bounds) {
  if (!bounds && o.lower_bound) bounds = (s.root() / "hgrn2")("lower_bounds", {o.layers, int64_t{o.frame.heads} * o.frame.key});
  const Bound bound = o.lower_bound && o.layer > 0 ? bound_of_layer(bounds, o.layer) : Bound{};
  return LinearAttention::bind(s, o.frame, [bound](const Tensor&, LinearAttention::Inputs& in, Pass) {
    Tensor f = unary(Unary::negate, in.k), remembered = softplus(f);
    in.q = silu(in.q);
    in.k = sigmoid(f);
    if (!bound.log) {
      in.log_decay = unary(Unary::negate, remembered);
      return;
    }
    in.log_decay = softplus(f + bound.log) - remembered;   // log(c + (1 - c) sigmoid(-f))
    in.k = in.k * bound.above;
  });
}

}  // namespace headrace
