// Lightning (MiniMax-01) and TransNormerLLM (papers, equations: lightning.h): decays are no parameters but functions of head and
// layer, computed when the layer is bound, so they cost nothing a token.
#include "mixers/lightning.h"

#include <cmath>
#include <vector>

#include "base/error.h"
#include "mixers/heads.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

Tensor log_decays(const Scope& s, std::vector<double> slopes, double factor) {
  std::vector<float> logs;
  for (double slope : slopes) logs.push_back(static_cast<float>(-slope * factor));
  return constants(logs, {static_cast<int64_t>(slopes.size())}, s.source().device);
}

}  // namespace

const MixerDoc Lightning::doc{
    "lightning", "linear attention", "Lightning attention (MiniMax-01)", "MiniMax 2025 (2501.08313), Qin et al. 2024 (2401.04658)",
    "[q; k; v] = silu(W_qkv x)\nS_t = e^-s S_{t-1} + k v^T,  s = 2^(-8 (h+1) / H) (1 - l / (L - 1 + 1e-5) + 1e-5) in layer l of L\n"
    "y = W_o (rms(S_t^T q) w sigmoid(W_g x))",
    "W_qkv [3 H K, d], W_g [H K, d], W_o [d, H K], norm [H K]", "H K^2", "O(d H K + H K^2)", "O(T (d H K + H K^2))", "mixers/lightning.h"};
const MixerDoc TransNormer::doc{
    "transnormer", "linear attention", "TransNormerLLM", "Qin et al. 2023 (2307.14995)",
    "[q; k; v; u] = W x,  q, k = silu(q), silu(k);  first layer: q <- [q cos(t theta); q sin(t theta)], k alike\n"
    "S_t = e^-s S_{t-1} + k v^T,  s = slope_h (1 - l / (L - 1) + 1e-5) in layer l of L\ny = W_o (rms(S_t^T q) u)",
    "W [4 H K, d], W_o [d, H K], theta [H, 1, K] in the first layer", "H K^2, the first layer 2 H K^2", "O(d H K + H K^2)", "O(T (d H K + H K^2))",
    "mixers/lightning.h"};

Lightning Lightning::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, A = int64_t{o.heads} * o.head_dim;
  std::vector<double> slopes;
  for (int h = 0; h < o.heads; ++h) slopes.push_back(std::exp2(-8.0 * (h + 1) / o.heads));
  return {.o = o,
          .qkv = Linear::bind(s / "qkv_proj", D, 3 * A),
          .gate = Linear::bind(s / "output_gate", D, A),
          .out = Linear::bind(s / "out_proj", A, D),
          .norm = Norm::rms(s / "norm", A, o.norm_eps),
          .log_decay = log_decays(s, slopes, 1 - o.layer / (o.layers - 1 + 1e-5) + 1e-5)};
}

Tensor Lightning::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.head_dim;
  const auto y = linear(x, {{qkv.weight, {}}, {gate.weight, {}}});
  const Tensor rows = y[0].view({N * H, 3 * K});
  const auto part = [&](int64_t i) { return silu(rows.slice(-1, i * K, K)).view({N, H, K}); };
  const Tensor a = linear_scan({.q = part(0), .k = part(1), .v = part(2), .log_decay = log_decay}, p.slot("scan")).view({N, H * K});
  return out(binary(Binary::sigmoid_multiply, y[1], norm(a)));
}

TransNormer TransNormer::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, A = int64_t{o.heads} * o.head_dim;
  TransNormer m{.o = o,
                .qkvu = Linear::bind(s / "qkvu_proj", D, 4 * A),
                .out = Linear::bind(s / "out_proj", A, D),
                .log_decay = log_decays(s, alibi_slopes(o.heads), 1 - static_cast<double>(o.layer) / std::max(1, o.layers - 1) + 1e-5)};
  if (o.lrpe == "all" || (o.lrpe == "first" && o.layer == 0)) {
    const Init angles = Init::by_element([A](int64_t j) { return std::pow(10000, -2.0 * static_cast<double>(j) / static_cast<double>(A)); });
    m.theta = (s / "lrpe")("theta", {o.heads, 1, o.head_dim}, angles.no_decay()).view({1, A});
  }
  return m;
}

Tensor TransNormer::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.head_dim, A = H * K;
  const Tensor y = qkvu(x), v = y.slice(-1, 2 * A, A), u = y.slice(-1, 3 * A, A);
  Tensor q = silu(y.slice(-1, 0, A)), k = silu(y.slice(-1, A, A));
  if (theta) {
    const std::span<const int32_t> at = p.positions();
    // Element by element: a product of matrices may round positions to bf16.
    const Tensor rates = Tensor::zeros({N, A}, DType::f32, x.device()) + theta.view({A});
    const Tensor angle = rates * constants({at.begin(), at.end()}, {N, 1}, x.device()), c = cos(angle), s = sin(angle);   // [N,H K]
    const auto turned = [&](const Tensor& t) { return concat({(t * c).view({N * H, K}), (t * s).view({N * H, K})}); };
    q = turned(q), k = turned(k);
  }
  const int64_t keys = theta ? 2 * K : K;
  q = q.view({N, H, keys}), k = k.view({N, H, keys});
  const Tensor a = linear_scan({.q = q, .k = k, .v = v.view({N, H, K}), .log_decay = log_decay}, p.slot("scan"));
  return out(rms_norm(a.view({N, A}), {}, {.eps = o.norm_eps}) * u);
}

}  // namespace headrace
