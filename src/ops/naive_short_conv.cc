// The definition of short_conv in double precision: y_t = act(b + sum_i w[taps-1-i] x_{t-i}). Backward, with p the argument of act:
// dp = dy act'(p), dx_t = sum_i w[taps-1-i] dp_{t+i}, dw[taps-1-i] = sum_t dp_t x_{t-i}, db = sum_t dp_t; the states are inputs before
// the first token, and the last inputs.
#include "ops/kernels/short_conv.h"
#include "ops/naive_sequence.h"

#include <cmath>
#include <vector>

namespace headrace::naive {

void short_conv(const ShortConvArgs& a) {
  const int64_t C = a.x.cols, past = a.taps - 1;
  for (int s = 0; s < a.sequences.count(); ++s) {
    int64_t begin = a.sequences.offsets[s], end = a.sequences.offsets[s + 1];
    float* state = a.states ? a.states[s] : nullptr;
    for (int64_t c = 0; c < C; ++c) {
      auto input = [&](int64_t t) -> double {            // t counts from the sequence's first row here
        if (t >= 0) return a.x[begin + t][c];
        return state ? state[(past + t) * C + c] : 0;
      };
      std::vector<float> out, kept;
      for (int64_t t = 0; t < end - begin; ++t) {
        double sum = a.bias ? a.bias[c] : 0;
        if (!a.weight) sum = input(t - 1);
        for (int i = 0; a.weight && i < a.taps; ++i) sum += a.weight[c * a.taps + a.taps - 1 - i] * input(t - i);
        if (a.silu) sum = sum / (1 + std::exp(-sum));
        out.push_back(static_cast<float>(sum));
      }
      for (int64_t i = 0; i < past; ++i) kept.push_back(static_cast<float>(input(end - begin - past + i)));
      for (int64_t t = 0; t < end - begin; ++t) a.y[begin + t][c] = out[static_cast<size_t>(t)];
      for (int64_t i = 0; state && i < past; ++i) state[i * C + c] = kept[static_cast<size_t>(i)];
    }
  }
}

void short_conv_backward(const ShortConvBackward& b) {
  const ShortConvArgs& a = b.forward;
  const int64_t C = a.x.cols, past = a.taps - 1;
  for (int64_t c = 0; c < C; ++c) {
    std::vector<double> dw(static_cast<size_t>(a.taps));
    double db = 0;
    auto tap = [&](int64_t i) -> double { return a.weight ? a.weight[c * a.taps + past - i] : i == 1; };
    for (int s = 0; s < a.sequences.count(); ++s) {
      const int64_t begin = a.sequences.offsets[s], n = a.sequences.offsets[s + 1] - begin;
      auto input = [&](int64_t t) -> double { return t >= 0 ? a.x[begin + t][c] : a.states ? a.states[s][(past + t) * C + c] : 0; };
      std::vector<double> dx(static_cast<size_t>(past + n));           // from the oldest input of the state on
      for (int64_t t = 0; t < n; ++t) {
        double p = a.bias ? a.bias[c] : 0, dp = b.dy[begin + t][c];
        for (int64_t i = 0; i <= past; ++i) p += tap(i) * input(t - i);
        const double gate = 1 / (1 + std::exp(-p));
        if (a.silu) dp *= gate * (1 + p * (1 - gate));
        db += dp;
        for (int64_t i = 0; i <= past; ++i) {
          dw[static_cast<size_t>(past - i)] += dp * input(t - i);
          dx[static_cast<size_t>(past + t - i)] += dp * tap(i);
        }
      }
      for (int64_t i = 0; b.d_after && i < past; ++i) dx[static_cast<size_t>(n + i)] += b.d_after[s][i * C + c];
      for (int64_t t = 0; t < n; ++t) b.dx[begin + t][c] = static_cast<float>(dx[static_cast<size_t>(past + t)]);
      for (int64_t i = 0; b.d_before && i < past; ++i) b.d_before[s][i * C + c] = static_cast<float>(dx[static_cast<size_t>(i)]);
    }
    if (b.dbias) b.dbias[c] = static_cast<float>(db);
    for (int64_t i = 0; b.dweight && i <= past; ++i) b.dweight[c * a.taps + i] = static_cast<float>(dw[static_cast<size_t>(i)]);
  }
}

}  // namespace headrace::naive
