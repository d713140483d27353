// The definition of linear_scan, token by token in double precision (spec: the unified operator):
//   S_t = diag(w_t) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T, o_t = scale S_t^T q_t
#include "ops/kernels/linear_scan.h"
#include "ops/naive_sequence.h"

#include <cmath>
#include <vector>

namespace headrace::naive {

void linear_scan(const LinearScanArgs& a) {
  const int K = a.key, V = a.value;
  std::vector<double> S(static_cast<size_t>(K) * V), p(static_cast<size_t>(V)), w(static_cast<size_t>(K));
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int h = 0; h < a.heads; ++h) {
      const int hq = h / (a.heads / a.q_heads), hk = h / (a.heads / a.k_heads), hv = h / (a.heads / a.v_heads);
      float* state = a.states && a.states[s] ? a.states[s] + int64_t{h} * K * V : nullptr;
      for (int64_t i = 0; i < int64_t{K} * V; ++i) S[static_cast<size_t>(i)] = state ? state[i] : 0;
      for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
        const float *q = a.q + t * a.q_stride + int64_t{hq} * K, *k = a.k + t * a.k_stride + int64_t{hk} * K;
        const float* v = a.v + t * a.v_stride + int64_t{hv} * V;
        for (int i = 0; i < K; ++i) {
          const float* g = a.log_decay ? a.log_decay + t * a.decay_stride : nullptr;
          w[static_cast<size_t>(i)] = g ? std::exp(double{a.decay_per_key ? g[int64_t{h} * K + i] : g[h]}) : 1;
        }
        const double beta = a.beta ? a.beta[t * a.beta_stride + h] : 1;
        for (int j = 0; j < V; ++j) {                    // what a (delta: the key) reads from the old state
          double sum = 0;
          for (int i = 0; i < K; ++i) {
            if (a.a) sum += double{a.a[t * a.a_stride + int64_t{h} * K + i]} * S[static_cast<size_t>(i) * V + j];
            if (a.beta) sum -= w[static_cast<size_t>(i)] * k[i] * S[static_cast<size_t>(i) * V + j];
          }
          p[static_cast<size_t>(j)] = sum;
        }
        for (int j = 0; j < V; ++j) {
          double out = 0, dot = 0;
          for (int i = 0; i < K; ++i) {
            double& x = S[static_cast<size_t>(i) * V + j];
            if (a.bonus) out += q[i] * x, dot += double{q[i]} * a.bonus[h * K + i] * k[i];
            double write = a.a ? a.b[t * a.b_stride + int64_t{h} * K + i] : a.beta ? beta * k[i] : 0;
            x = w[static_cast<size_t>(i)] * x + write * p[static_cast<size_t>(j)] + beta * k[i] * v[j];
            if (!a.bonus) out += q[i] * x;
          }
          a.y[t * a.y_stride + int64_t{h} * V + j] = static_cast<float>(a.scale * (out + dot * v[j]));
        }
      }
      if (state)
        for (int64_t i = 0; i < int64_t{K} * V; ++i) state[i] = static_cast<float>(S[static_cast<size_t>(i)]);
    }
}

}  // namespace headrace::naive
