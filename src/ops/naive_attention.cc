// The definition of attention, in double precision: o_t = sum_s softmax_s(cap(scale q_t.k_s) - slope (t-s)) v_s (Vaswani et al. 2017 and options).
#include "ops/kernels/attention.h"
#include "ops/naive_sequence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace headrace::naive {

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys) {
  for (int s = 0; s < sequences.count(); ++s) {
    int64_t n = sequences.offsets[s + 1] - sequences.offsets[s], past = keys[s].length - n;
    for (int64_t t = 0; t < n; ++t) {
      float* page = keys[s].pages[(past + t) / page_tokens];
      int64_t row = sequences.offsets[s] + t, at = (past + t) % page_tokens;
      for (int h = 0; h < kv_heads; ++h) {
        for (int i = 0; i < key; ++i) page[(h * key + i) * page_tokens + at] = k[row * k_stride + h * key + i];
        float* values = page + int64_t{kv_heads} * page_tokens * key;
        for (int i = 0; i < value; ++i) values[(h * page_tokens + at) * value + i] = v[row * v_stride + h * value + i];
      }
    }
  }
}

void attention(const AttentionArgs& a) {
  const int group = a.heads / a.kv_heads;
  for (int s = 0; s < a.sequences.count(); ++s) {
    int64_t begin = a.sequences.offsets[s], n = a.sequences.offsets[s + 1] - begin;
    int64_t length = a.keys[s].length, past = length - n;
    for (int64_t t = 0; t < n; ++t)
      for (int h = 0; h < a.heads; ++h) {
        const float* q = a.q + (begin + t) * a.q_stride + int64_t{h} * a.key;
        int64_t i = past + t;
        int64_t first = a.window_left > 0 ? std::max<int64_t>(0, i - a.window_left + 1) : 0;
        int64_t last = a.window_right < 0 ? length - 1 : std::min(length - 1, i + a.window_right);
        std::vector<double> scores;
        double top = a.sinks ? a.sinks[h] : -std::numeric_limits<double>::infinity();
        for (int64_t j = first; j <= last; ++j) {
          const float* k = a.keys[s].pages[j / page_tokens] + int64_t{h / group} * a.key * page_tokens + j % page_tokens;
          double dot = 0;
          for (int d = 0; d < a.key; ++d) dot += double{q[d]} * k[d * page_tokens];
          dot *= a.scale;
          if (a.cap > 0) dot = a.cap * std::tanh(dot / a.cap);
          if (a.slopes) dot -= double{a.slopes[h]} * static_cast<double>(i - j);
          scores.push_back(dot);
          top = std::max(top, dot);
        }
        double total = a.sinks ? std::exp(a.sinks[h] - top) : 0;
        std::vector<double> out(static_cast<size_t>(a.value));
        for (int64_t j = first; j <= last; ++j) {
          const float* v = a.keys[s].pages[j / page_tokens] + int64_t{a.kv_heads} * page_tokens * a.key +
                           ((h / group) * page_tokens + j % page_tokens) * a.value;
          double p = std::exp(scores[static_cast<size_t>(j - first)] - top);
          total += p;
          for (int d = 0; d < a.value; ++d) out[static_cast<size_t>(d)] += p * v[d];
        }
        float* y = a.y + (begin + t) * a.y_stride + int64_t{h} * a.value;
        for (int d = 0; d < a.value; ++d) y[d] = static_cast<float>(out[static_cast<size_t>(d)] / total);
      }
  }
}

}  // namespace headrace::naive
