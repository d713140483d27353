// The definitions of the sequence primitives: token by token, in double precision, from the papers' recurrences.
//   attention    o_t = sum_s softmax_s(cap(scale q_t.k_s) - slope (t-s)) v_s                 Vaswani et al. 2017 and options
//   linear_scan  S_t = diag(w_t) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T, o_t = scale S_t^T q_t   (spec: the unified operator)
//   diag_scan    h_t = w_t h_{t-1} + x_t; Mamba's factored form; RWKV-4's in log space
//   short_conv   y_t = act(b + sum_i w[taps-1-i] x_{t-i})
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

void linear_scan(const LinearScanArgs& a) {
  const int K = a.key, V = a.value;
  std::vector<double> S(static_cast<size_t>(K) * V), p(static_cast<size_t>(V)), w(static_cast<size_t>(K));
  for (int s = 0; s < a.sequences.count(); ++s)
    for (int h = 0; h < a.heads; ++h) {
      const int hq = h / (a.heads / a.q_heads), hk = h / (a.heads / a.k_heads), hv = h / (a.heads / a.v_heads);
      float* state = a.states ? a.states[s] + int64_t{h} * K * V : nullptr;
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

namespace {

void real_scan(const DiagScanArgs& a, int s) {
  for (int c = 0; c < a.channels; ++c) {
    double h = a.states ? a.states[s][c] : 0;
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      h = std::exp(double{a.log_decay[t * a.decay_stride + c]}) * h + a.x[t * a.x_stride + c];
      a.y[t * a.y_stride + c] = static_cast<float>(h);
    }
    if (a.states) a.states[s][c] = static_cast<float>(h);
  }
}

void selective_scan(const DiagScanArgs& a, int s) {
  std::vector<double> h(static_cast<size_t>(a.state));
  for (int c = 0; c < a.channels; ++c) {
    for (int n = 0; n < a.state; ++n) h[static_cast<size_t>(n)] = a.states ? a.states[s][int64_t{c} * a.state + n] : 0;
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      double dt = a.dt[t * a.dt_stride + c], x = a.x[t * a.x_stride + c], y = 0;
      for (int n = 0; n < a.state; ++n) {
        double& v = h[static_cast<size_t>(n)];
        v = std::exp(dt * a.log_decay[int64_t{c} * a.state + n]) * v + dt * a.B[t * a.B_stride + n] * x;
        y += a.C[t * a.C_stride + n] * v;
      }
      a.y[t * a.y_stride + c] = static_cast<float>(y);
    }
    if (a.states)
      for (int n = 0; n < a.state; ++n) a.states[s][int64_t{c} * a.state + n] = static_cast<float>(h[static_cast<size_t>(n)]);
  }
}

// num and den are kept times exp(-top), so that keys of any size do not overflow.
void rwkv4_scan(const DiagScanArgs& a, int s) {
  const int C = a.channels;
  for (int c = 0; c < C; ++c) {
    float* state = a.states ? a.states[s] : nullptr;
    double num = state ? state[c] : 0, den = state ? state[C + c] : 0, top = state ? state[2 * C + c] : -1e38;
    const double w = a.log_decay[c], u = a.B[c];
    for (int64_t t = a.sequences.offsets[s]; t < a.sequences.offsets[s + 1]; ++t) {
      double k = a.dt[t * a.dt_stride + c], v = a.x[t * a.x_stride + c];
      double m = std::max(top, u + k), e1 = std::exp(top - m), e2 = std::exp(u + k - m);
      a.y[t * a.y_stride + c] = static_cast<float>((e1 * num + e2 * v) / (e1 * den + e2));
      m = std::max(top + w, k);
      e1 = std::exp(top + w - m), e2 = std::exp(k - m);
      num = e1 * num + e2 * v;
      den = e1 * den + e2;
      top = m;
    }
    if (state) {
      state[c] = static_cast<float>(num);
      state[C + c] = static_cast<float>(den);
      state[2 * C + c] = static_cast<float>(top);
    }
  }
}

}  // namespace

void diag_scan(const DiagScanArgs& a) {
  for (int s = 0; s < a.sequences.count(); ++s)
    switch (a.kind) {
      case DiagScan::real: real_scan(a, s); break;
      case DiagScan::selective: selective_scan(a, s); break;
      case DiagScan::rwkv4: rwkv4_scan(a, s); break;
    }
}

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
