#include "mixers/linear_attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

std::function<Tensor(const Tensor&)> feature(const std::string& name, const Scope& s, int key) {
  static constexpr std::pair<const char*, Unary> plain[] = {
      {"relu", Unary::relu}, {"sigmoid", Unary::sigmoid}, {"logsigmoid", Unary::log_sigmoid}, {"silu", Unary::silu}, {"swish", Unary::silu},
      {"sqrelu", Unary::relu_squared}, {"relu2", Unary::relu_squared}, {"tanh", Unary::tanh}, {"gelu", Unary::gelu_tanh}};
  for (const auto& [known, f] : plain)
    if (name == known) return [f](const Tensor& x) { return unary(f, x); };
  if (name == "elu") return [](const Tensor& x) { return exp(at_most(x, 0)) + unary(Unary::relu, x); };   // elu(x) + 1
  if (name == "elementwise_product")
    return [one = Linear::bind(s / "layer1", key, key, true), two = Linear::bind(s / "layer2", key, key, true)](const Tensor& x) {
      const Tensor rows = x.contiguous_or_copy().view({x.dim(0) * x.dim(1), x.dim(2)});
      auto y = linear(rows, {{one.weight, one.bias}, {two.weight, two.bias}});
      return (y[0] * y[1]).view(x.shape());
    };
  if (!name.empty() && name != "identity") fail("linear attention has no feature map '", name, "'");
  return {};
}

// Rows of a key head, once for each query head that reads it.
Tensor repeated(const Tensor& x, int heads, int kv_heads) {
  Shape shape = x.shape();
  shape[0] = shape[0] / kv_heads * heads;
  if (x.device() == Device::meta) return Tensor::empty(shape, DType::f32, Device::meta);
  const Tensor from = copy_to(x, Device::cpu), to = Tensor::empty(shape);
  const int64_t head = from.count() / kv_heads;
  for (int h = 0; h < heads; ++h) std::copy_n(from.f32() + h / (heads / kv_heads) * head, head, to.f32() + h * head);
  return copy_to(to, x.device());
}

}  // namespace

LinearAttention LinearAttention::bind(const Scope& s, Options o, Gate gate) {
  const int D = o.width, Q = o.heads * o.key, K = o.kv_heads * o.key, V = o.kv_heads * o.value, A = o.heads * o.value;
  const std::string qn = o.q_name, kn = o.k_name, vn = o.v_name;
  LinearAttention m{.o = o,
                    .q = Linear::bind(s / (qn + "_proj"), D, Q),
                    .k = Linear::bind(s / (kn + "_proj"), D, K),
                    .v = Linear::bind(s / (vn + "_proj"), D, V),
                    .out = Linear::bind(s / "o_proj", A, D),
                    .gate = std::move(gate)};
  if (o.output_gate) m.g = Linear::bind(s / "g_proj", D, A);
  auto conv = [&](const std::string& name, int channels) {
    Scope c = s / (name + "_conv1d");
    return Conv{c("weight", {channels, o.taps}), c.maybe("bias", {channels})};
  };
  if (o.taps > 0) m.q_conv = conv(qn, Q), m.k_conv = conv(kn, K), m.v_conv = conv(vn, V);
  // The norm is named for what follows it.
  const Scope n = o.output_gate && !s.has("g_norm.weight") ? s / "g_norm_swish_gate" : s / o.norm_name;
  m.norm = {.eps = o.norm_eps};
  if (o.norm_weight) m.norm.weight = n("weight", {o.norm_by_head ? o.value : A});
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
  Tensor y = linear_scan({.q = in.q, .k = in.k, .v = in.v, .log_decay = in.log_decay, .scale = scale}, p.slot("scan"));
  if (!o.norm_by_head) y = y.view({N, H * o.value});
  y = norm(y).view({N, H * o.value});
  return out(o.output_gate ? binary(Binary::silu_multiply, qkvg[3], y) : y);
}

std::string LinearAttention::text(const Options& o) {
  std::string s = headrace::text(o.name, "(heads=", o.heads);
  if (o.kv_heads != o.heads) s += headrace::text(", kv=", o.kv_heads);
  s += headrace::text(", key=", o.key, ", value=", o.value);
  if (o.taps > 0) s += headrace::text(", conv=", o.taps);
  if (!o.feature.empty()) s += headrace::text(", feature=", o.feature);
  return s + ")";
}

LinearAttention::Gate retention(int heads, Rope rope, Device device) {
  std::vector<float> decay;
  for (int h = 0; h < heads; ++h) decay.push_back(static_cast<float>(std::log1p(-std::exp2(-5.0 - h))));
  return [log_decay = copy_to(Tensor::from(decay, {heads}), device), rope](const Tensor& x, LinearAttention::Inputs& in, Pass p) {
    in.q = headrace::rope(in.q, rope, p.positions());
    in.k = headrace::rope(in.k, rope, p.positions());
    in.log_decay = log_decay;
  };
}

LinearAttention::Gate gla(const Scope& s, const LinearAttention::Options& o, int rank, std::optional<float> least) {
  const int H = o.heads, G = o.kv_heads, K = o.key;
  const Scope g = s / "gk_proj";
  Linear up{H == G ? g.matrix("1.weight", {G * K, rank}) : repeated(g("1.weight", {G * K, rank}), H, G), repeated(g("1.bias", {G * K}), H, G)};
  return [down = Linear::bind(g / 0, o.width, rank), up = std::move(up), H, K, least](const Tensor& x, LinearAttention::Inputs& in, Pass) {
    const Tensor log_decay = 1.f / 16 * log_sigmoid(up(down(x)));
    in.log_decay = (least ? at_least(log_decay, *least) : log_decay).view({x.dim(0), H, K});
  };
}

LinearAttention::Gate hgrn2(Tensor log_bound, Tensor above_bound) {
  return [log_bound = std::move(log_bound), above_bound = std::move(above_bound)](const Tensor&, LinearAttention::Inputs& in, Pass) {
    Tensor f = unary(Unary::negate, in.k), remembered = softplus(f);
    in.q = silu(in.q);
    in.k = sigmoid(f);
    if (!log_bound) {
      in.log_decay = unary(Unary::negate, remembered);
      return;
    }
    in.log_decay = softplus(f + log_bound) - remembered;   // log(c + (1 - c) sigmoid(-f))
    in.k = in.k * above_bound;
  };
}

}  // namespace headrace
