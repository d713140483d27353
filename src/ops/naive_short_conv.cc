// The definition of short_conv in double precision: y_t = act(b + sum_i w[taps-1-i] x_{t-i}).
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

}  // namespace headrace::naive
