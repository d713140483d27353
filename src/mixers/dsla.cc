// DSLA (Ro et al. 2025, 2506.09316; equations: dsla.h): both states are one scan of twice the heads that read the same q and k.
// Parameters have the names of the Transformer's layer that it is made of, with the slow gate beginning as the identity.
#include "mixers/dsla.h"

#include "base/error.h"
#include "ops/feature_maps.h"
#include "ops/sequence.h"

namespace headrace {

const MixerDoc Dsla::doc{
    "dsla", "linear attention", "dual-state linear attention (RoFly)", "Ro et al. 2025 (2506.09316)",
    "g_m = max(logsigmoid(W_m x + b_m) / 16, -50),  S_m = diag(e^g_m) S_m + k v^T        m = 1, 2\n"
    "o = K^-1/2 sum_m alpha_m S_m^T q,  alpha = softmax(alpha_list);  y = W_o o",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V], W_1, W_2 [H K, d], b_1, b_2, alpha_list [2]", "2 H K V", "O(H K V)", "O(T H K V)",
    "mixers/dsla.h"};

void Dsla::Options::check() const {
  expect(int64_t{heads} * std::max(key, value) <= 1 << 24, "dsla: heads = ", heads, " of key = ", key, ", value = ", value);
}

Dsla Dsla::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.key, HV = int64_t{o.heads} * o.value;
  const Init identity = Init::by_element([D](int64_t i) { return i / D == i % D; });
  return {.o = o, .q = Linear::bind(s / "q_proj", D, HK), .k = Linear::bind(s / "k_proj", D, HK), .v = Linear::bind(s / "v_proj", D, HV),
          .out = Linear::bind(s / "o_proj", HV, D), .slow = Linear::bind(s / "gk_proj", D, HK, true, identity),
          .fast = Linear::bind(s / "gk_proj2", D, HK, true, Init::fan_in()), .alpha = s("alpha_list", {2}, Init::uniform(0, 1)).view({1, 2})};
}

Tensor Dsla::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.key, V = o.value;
  const auto h = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}, {slow.weight, slow.bias}, {fast.weight, fast.bias}});
  const auto gate = [&](const Tensor& g) { return at_least(1 / o.normalizer * log_sigmoid(g), o.least).view({N, H, K}); };
  // Head h of the two states stands at 2h and 2h + 1; both read the same q and k.
  const Tensor values = h[2].view({N, H, V});
  const Tensor both = linear_scan({.q = h[0].view({N, H, K}), .k = h[1].view({N, H, K}), .v = concat({values, values}).view({N, 2 * H, V}),
                                   .log_decay = concat({gate(h[3]), gate(h[4])}).view({N, 2 * H, K}), .scale = 1 / std::sqrt(static_cast<float>(K))},
                                  p.slot("scan")).view({N, H, 2 * V});
  const Tensor shares = softmax(alpha);
  const auto part = [&](int64_t m) {
    return both.slice(-1, m * V, V) * matmul(shares.slice(1, m, 1), constant({1, V}, 1, x.device())).view({V});
  };
  return out((part(0) + part(1)).view({N, H * V}));
}

}  // namespace headrace
