// The gradients of attention, from the definition's own weights, in double precision (docs/math/attention.md).
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/kernels/entmax.h"
#include "ops/naive_attention.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {

void attention_backward(const AttentionBackwardArgs& b) {
  const AttentionArgs& a = b.forward;
  const int H = a.heads, G = a.heads / a.kv_heads, K = a.key, V = a.value;
  const int64_t N = a.sequences.tokens(), rows = (a.key_sequences.offsets.empty() ? a.sequences : a.key_sequences).tokens();
  auto zeros = [](int64_t n) { return std::vector<double>(static_cast<size_t>(n)); };
  std::vector<double> dq = zeros(N * H * K), dk = zeros(rows * a.kv_heads * K), dv = zeros(rows * a.kv_heads * V);
  std::vector<double> dgates = zeros(N * H), dsinks = zeros(H), dslopes = zeros(H), dalpha = zeros(H);
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t begin = a.sequences.offsets[s], n = a.sequences.offsets[s + 1] - begin, past = a.first_query(s);
    const int64_t old = a.key_sequences.offsets.empty() ? past : 0;          // keys of before are constant
    for (int64_t t = 0; t < n; ++t)
      for (int h = 0; h < H; ++h) {
        const SeenRow r = seen_row(a, s, h, t);
        const float *q = query(a, s, h, t), *dy = b.dy + (begin + t) * b.dy_stride + int64_t{h} * V;
        const size_t row = static_cast<size_t>((begin + t) * H + h);
        const double dlse = b.dlse ? b.dlse[row] : 0;
        std::vector<double> dp(r.keys.size()), ds(r.keys.size());
        double mean = 0;
        for (size_t x = 0; x < r.keys.size(); ++x) {
          const float* v = value_of(a, s, h, r.keys[x]);
          for (int d = 0; d < V; ++d) dp[x] += double{dy[d]} * v[d];
          mean += r.weights[x] * dp[x];
        }
        if (a.alpha && !r.keys.empty()) {
          const Entmax p(a.alpha[h], r.lse);
          const EntmaxSlopes slopes(p, r.scores, [&](size_t x) { return dp[x]; });
          for (size_t x = 0; x < r.keys.size(); ++x) ds[x] = slopes.dx(r.scores[x], dp[x]);
          dalpha[static_cast<size_t>(h)] += slopes.dalpha;
        } else {
          for (size_t x = 0; x < r.keys.size(); ++x) ds[x] = r.weights[x] * (dp[x] - mean + dlse);
          if (a.sinks) dsinks[static_cast<size_t>(h)] += std::exp(a.sinks[h] - r.lse) * (dlse - mean);
        }
        for (size_t x = 0; x < r.keys.size(); ++x) {
          const int64_t j = r.keys[x], i = past + t;
          dslopes[static_cast<size_t>(h)] -= ds[x] * static_cast<double>(i - j);
          for (int64_t m = std::max(j + 1, old); b.dgates && m <= i; ++m) dgates[static_cast<size_t>((begin + m - old) * H + h)] += ds[x];
          const float* k = key_of(a, s, h, j);
          const double d_dot = ds[x] * r.cut[x] * a.scale;
          for (int d = 0; d < K; ++d) dq[row * static_cast<size_t>(K) + static_cast<size_t>(d)] += d_dot * k[d * page_tokens];
          if (j < old) continue;
          const size_t to = static_cast<size_t>((a.first_key_row(s) + j - old) * a.kv_heads + h / G);
          for (int d = 0; d < K; ++d) dk[to * static_cast<size_t>(K) + static_cast<size_t>(d)] += d_dot * q[d];
          for (int d = 0; d < V; ++d) dv[to * static_cast<size_t>(V) + static_cast<size_t>(d)] += r.weights[x] * dy[d];
        }
      }
  }
  auto give = [](const std::vector<double>& from, float* to) {
    for (size_t i = 0; to && i < from.size(); ++i) to[i] = static_cast<float>(from[i]);
  };
  give(dq, b.dq), give(dk, b.dk), give(dv, b.dv), give(dsinks, b.dsinks), give(dslopes, b.dslopes), give(dalpha, b.dalpha), give(dgates, b.dgates);
}

}  // namespace headrace::naive
