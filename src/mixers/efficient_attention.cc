// Efficient Attention (Shen et al. 2018, 1812.01243; equations: efficient_attention.h). Causal, the softmax over positions is one
// of sums that grow: kept times e^-m, m the running maximum, and divided out on the side of the queries.
#include "mixers/efficient_attention.h"

#include "base/error.h"
#include "ops/running_max.h"
#include "ops/sequence.h"
#include "ops/tape.h"
#include "ops/whole.h"

namespace headrace {

const MixerDoc EfficientAttention::doc{
    "efficient_attention", "linear attention", "efficient attention: softmax of queries and keys apart", "Shen et al. 2018 (1812.01243)",
    "a_t = softmax over channels of q_t,  b_s = softmax over positions of k_s\n"
    "o_t = sum_s (a_t.b_s) v_s, over all s; causal=on: over s <= t;  y = W_o o",
    "W_q, W_k [H K, d], W_v [H V, d], W_o [d, H V]", "none; causal: H K (V + 2)", "none; causal: O(H K V)", "O(T H K V)",
    "mixers/efficient_attention.h", "whole", "cpu"};

void EfficientAttention::Options::check() const {
  expect(int64_t{heads} * std::max(key, value) <= 1 << 24, "efficient_attention: heads = ", heads, " of key = ", key, ", value = ", value);
}

EfficientAttention EfficientAttention::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.key, HV = int64_t{o.heads} * o.value;
  return {.o = o, .q = Linear::bind(s / "q_proj", D, HK), .k = Linear::bind(s / "k_proj", D, HK), .v = Linear::bind(s / "v_proj", D, HV),
          .out = Linear::bind(s / "o_proj", HV, D)};
}

Tensor EfficientAttention::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.key, V = o.value;
  const auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const Tensor a = softmax(qkv[0].view({N, H, K})), values = qkv[2].view({N, H, V});
  if (!o.causal) {
    const Slot slot = p.slot("whole");
    return out(linear_whole(a, softmax_over_time(qkv[1].view({N, H, K}), slot), values, slot).view({N, H * V}));
  }
  RunningMax most;                                         // no answer depends on it
  {
    const PauseTape pause;
    most = running_max(qkv[1], p.positions(), p.slot("largest"));
  }
  const Tensor e = exp(qkv[1] - most.m), z = diag_scan(most.fell, e, p.slot("sums"));
  const Tensor y = linear_scan({.q = a * reciprocal(z).view({N, H, K}), .k = e.view({N, H, K}), .v = values, .log_decay = most.fell.view({N, H, K})},
                               p.slot("scan"));
  return out(y.view({N, H * V}));
}

}  // namespace headrace
