// The definition of log_linear, token by token in double precision: a linear scan for each level, which begins anew with each block of
// 2^l tokens, is written in its left half and read in its right one.
#include <cmath>
#include <vector>

#include "ops/kernels/log_linear.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {

void log_linear(const LogLinearArgs& args) {
  const LinearScanArgs& a = args.scan;
  const int K = a.key, V = a.value;
  const int64_t size = int64_t{K} * V, H = a.heads;
  std::vector<double> all(static_cast<size_t>(args.count * size)), out(static_cast<size_t>(V)), removed(static_cast<size_t>(V));
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int64_t h = 0; h < H; ++h) {
      float* state = a.states ? a.states[s] : nullptr;
      for (int64_t l = 1; l < args.count; ++l)
        for (int64_t i = 0; i < size; ++i) all[static_cast<size_t>(l * size + i)] = state ? state[((l - 1) * H + h) * size + i] : 0;
      for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
        const float *q = a.q + t * a.q_stride + h * K, *k = a.k + t * a.k_stride + h * K, *v = a.v + t * a.v_stride + h * V;
        const float* share = args.levels + t * args.levels_stride + h * args.count;
        const double w = a.log_decay ? std::exp(double{a.log_decay[t * a.decay_stride + h]}) : 1, beta = a.beta ? a.beta[t * a.beta_stride + h] : 1;
        const int64_t position = args.positions[static_cast<size_t>(t)];
        double dot = 0;
        for (int i = 0; i < K; ++i) dot += double{q[i]} * k[i];
        for (int j = 0; j < V; ++j) out[static_cast<size_t>(j)] = share[0] * beta * dot * v[j];
        for (int64_t l = 1; l < args.count; ++l) {
          double* S = all.data() + l * size;
          const bool reads = position >> (l - 1) & 1, ends = (position + 1) % (int64_t{1} << l) == 0;
          for (int j = 0; j < V; ++j) {
            double sum = 0;
            for (int i = 0; a.beta && i < K; ++i) sum += w * k[i] * S[i * V + j];
            removed[static_cast<size_t>(j)] = (reads ? 0 : v[j]) - sum;
          }
          for (int i = 0; i < K; ++i)
            for (int j = 0; j < V; ++j) {
              double& x = S[i * V + j];
              x = w * x + beta * k[i] * removed[static_cast<size_t>(j)];
              if (reads) out[static_cast<size_t>(j)] += share[l] * q[i] * x;
            }
          if (ends) std::fill(S, S + size, 0.0);
        }
        for (int j = 0; j < V; ++j) a.y[t * a.y_stride + h * V + j] = static_cast<float>(a.scale * out[static_cast<size_t>(j)]);
      }
      for (int64_t l = 1; state && l < args.count; ++l)
        for (int64_t i = 0; i < size; ++i) state[((l - 1) * H + h) * size + i] = static_cast<float>(all[static_cast<size_t>(l * size + i)]);
    }
}

}  // namespace headrace::naive
