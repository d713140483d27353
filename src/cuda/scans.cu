// The recurrences, token by token, with the state in shared memory. Columns of a matrix state, channels of a vector state and
// of a convolution do not see each other: a thread each, so no thread waits for another within a token.
#include "cuda/kernels.h"
#include "ops/kernels/linear_scan.h"
#include "ops/kernels/diag_scan.h"
#include "ops/kernels/short_conv.h"
#include "cuda/launch.h"
#include "cuda/sequences.h"

namespace headrace::cuda {
namespace {

constexpr int lanes = 32;

// A warp holds `lanes` columns of one head's state, S [K][lanes].
__global__ void linear_scan_kernel(LinearScanArgs a, const int64_t* offsets, float* const* states) {
  extern __shared__ float shared[];
  const int K = a.key, V = a.value, tiles = (V + lanes - 1) / lanes, lane = threadIdx.x;
  const int h = blockIdx.x / tiles % a.heads, s = blockIdx.x / tiles / a.heads, j = blockIdx.x % tiles * lanes + lane;
  const int hq = h / (a.heads / a.q_heads), hk = h / (a.heads / a.k_heads), hv = h / (a.heads / a.v_heads);
  float *S = shared + lane, *w = shared + K * lanes;
  float* state = states && states[s] && j < V ? states[s] + int64_t{h} * K * V + j : nullptr;   // null for one: not kept
  for (int i = 0; i < K; ++i) S[i * lanes] = state ? state[int64_t{i} * V] : 0;
  for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) {
    const float *q = a.q + t * a.q_stride + int64_t{hq} * K, *k = a.k + t * a.k_stride + int64_t{hk} * K;
    const float* g = a.log_decay ? a.log_decay + t * a.decay_stride : nullptr;
    const float* removed = a.a ? a.a + t * a.a_stride + int64_t{h} * K : nullptr;
    const float* written = a.a ? a.b + t * a.b_stride + int64_t{h} * K : nullptr;
    const float v = j < V ? a.v[t * a.v_stride + int64_t{hv} * V + j] : 0, beta = a.beta ? a.beta[t * a.beta_stride + h] : 1;
    __syncwarp();
    for (int i = lane; i < K; i += lanes) w[i] = g ? expf(g[a.decay_per_key ? int64_t{h} * K + i : h]) : 1;
    __syncwarp();
    float p = 0, out = 0, dot = 0;                 // p: what a (delta: the key) reads from the old state
    for (int i = 0; i < K && a.a; ++i) p += removed[i] * S[i * lanes];
    for (int i = 0; i < K && a.beta; ++i) p -= w[i] * k[i] * S[i * lanes];
    for (int i = 0; i < K; ++i) {
      float& x = S[i * lanes];
      if (a.bonus) out += q[i] * x, dot += q[i] * a.bonus[h * K + i] * k[i];
      const float write = a.a ? written[i] : a.beta ? beta * k[i] : 0;
      x = w[i] * x + write * p + beta * k[i] * v;
      if (!a.bonus) out += q[i] * x;
    }
    if (j < V) a.y[t * a.y_stride + int64_t{h} * V + j] = a.scale * (out + dot * v);
  }
  for (int i = 0; i < K && state; ++i) state[int64_t{i} * V] = S[i * lanes];
}

__device__ void real_scan(const DiagScanArgs& a, int c, int64_t begin, int64_t end, float* state) {
  float h = state ? state[c] : 0;
  for (int64_t t = begin; t < end; ++t) {
    h = expf(a.log_decay[t * a.decay_stride + c]) * h + a.x[t * a.x_stride + c];
    a.y[t * a.y_stride + c] = h;
  }
  if (state) state[c] = h;
}

__device__ void selective_scan(const DiagScanArgs& a, int c, int64_t begin, int64_t end, float* state, float* h) {   // h [N][lanes]
  for (int n = 0; n < a.state; ++n) h[n * lanes] = state ? state[int64_t{c} * a.state + n] : 0;
  for (int64_t t = begin; t < end; ++t) {
    const float dt = a.dt[t * a.dt_stride + c], x = a.x[t * a.x_stride + c];
    float y = 0;
    for (int n = 0; n < a.state; ++n) {
      h[n * lanes] = expf(dt * a.log_decay[int64_t{c} * a.state + n]) * h[n * lanes] + dt * a.B[t * a.B_stride + n] * x;
      y += a.C[t * a.C_stride + n] * h[n * lanes];
    }
    a.y[t * a.y_stride + c] = y;
  }
  for (int n = 0; n < a.state && state; ++n) state[int64_t{c} * a.state + n] = h[n * lanes];
}

// num and den are kept times exp(-top), so that keys of any size do not overflow. In double: top takes the decay at every token, and
// each time f32 would round it by 2^-24 of its size, always the same way; exp makes that an error of the weights.
__device__ void rwkv4_scan(const DiagScanArgs& a, int c, int64_t begin, int64_t end, float* state) {
  const int C = a.channels;
  double num = state ? state[c] : 0, den = state ? state[C + c] : 0, top = state ? state[2 * C + c] : -1e38;
  const double w = a.log_decay[c], u = a.B[c];
  for (int64_t t = begin; t < end; ++t) {
    const double k = a.dt[t * a.dt_stride + c], v = a.x[t * a.x_stride + c];
    double m = fmax(top, u + k), e1 = exp(top - m), e2 = exp(u + k - m);
    a.y[t * a.y_stride + c] = static_cast<float>((e1 * num + e2 * v) / (e1 * den + e2));
    m = fmax(top + w, k), e1 = exp(top + w - m), e2 = exp(k - m);
    num = e1 * num + e2 * v, den = e1 * den + e2, top = m;
  }
  if (!state) return;
  state[c] = static_cast<float>(num), state[C + c] = static_cast<float>(den), state[2 * C + c] = static_cast<float>(top);
}

__device__ void complex_scan(const DiagScanArgs& a, int c, int64_t begin, int64_t end, float* state) {
  const int C = a.channels;
  float re = state ? state[c] : 0, im = state ? state[C + c] : 0;
  for (int64_t t = begin; t < end; ++t) {
    const float *w = a.log_decay + t * a.decay_stride + c, *x = a.x + t * a.x_stride + c;
    const float next = w[0] * re - w[C] * im + x[0];
    im = w[0] * im + w[C] * re + x[C], re = next;
    a.y[t * a.y_stride + c] = re, a.y[t * a.y_stride + C + c] = im;
  }
  if (state) state[c] = re, state[C + c] = im;
}

__global__ void diag_scan_kernel(DiagScanArgs a, const int64_t* offsets, float* const* states) {
  extern __shared__ float shared[];
  const int tiles = (a.channels + lanes - 1) / lanes, s = blockIdx.x / tiles, c = blockIdx.x % tiles * lanes + threadIdx.x;
  if (c >= a.channels) return;
  float* state = states ? states[s] : nullptr;
  switch (a.kind) {
    case DiagScan::real: return real_scan(a, c, offsets[s], offsets[s + 1], state);
    case DiagScan::selective: return selective_scan(a, c, offsets[s], offsets[s + 1], state, shared + threadIdx.x);
    case DiagScan::rwkv4: return rwkv4_scan(a, c, offsets[s], offsets[s + 1], state);
    case DiagScan::complex: return complex_scan(a, c, offsets[s], offsets[s + 1], state);
  }
}

}  // namespace

void linear_scan(const LinearScanArgs& a) {
  const DeviceSequences up(a.sequences, a.states);
  const int64_t tiles = (a.value + lanes - 1) / lanes;
  start("linear_scan", linear_scan_kernel, tiles * a.heads * a.sequences.count(), lanes, static_cast<size_t>(a.key) * (lanes + 1) * sizeof(float),
        a, up.offsets.get(), up.states.get());
}

void diag_scan(const DiagScanArgs& a) {
  const DeviceSequences up(a.sequences, a.states);
  const int64_t tiles = (a.channels + lanes - 1) / lanes;
  const size_t shared = a.kind == DiagScan::selective ? static_cast<size_t>(a.state) * lanes * sizeof(float) : 0;
  start("diag_scan", diag_scan_kernel, tiles * a.sequences.count(), lanes, shared, a, up.offsets.get(), up.states.get());
}

// In double, as rwkv4_scan.
void running_max(Rows decay, Rows x, const Sequences& sequences, float* const* host_states, Rows y, Rows fell) {
  const DeviceSequences up(sequences, host_states);
  for_each("running_max", sequences.count() * x.cols, [=, offsets = up.offsets.get(), states = up.states.get()] __device__(int64_t at) {
    const int64_t s = at / x.cols, j = at % x.cols;
    double m = states ? states[s][j] : 0;
    for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) {
      const double next = fmax(decay[t][j] + m, double{x[t][j]});
      y[t][j] = static_cast<float>(next), fell[t][j] = static_cast<float>(m - next), m = next;
    }
    if (states) states[s][j] = static_cast<float>(m);
  });
}

void short_conv(const ShortConvArgs& a) {
  const DeviceSequences up(a.sequences, a.states);
  const int64_t *offsets = up.offsets.get(), C = a.x.cols, past = a.taps - 1;
  float* const* states = up.states.get();
  // What channel c read at t, counted from the sequence's first row.
  auto input = [a, C, past] __device__(const float* state, int64_t begin, int64_t t, int64_t c) {
    return t >= 0 ? a.x[begin + t][c] : state ? state[(past + t) * C + c] : 0;
  };
  for_each("short_conv", a.sequences.tokens() * C, [=, count = a.sequences.count()] __device__(int64_t at) {
    const int64_t row = at / C, c = at % C;
    const int s = sequence_of(offsets, count, row);
    const float* state = states ? states[s] : nullptr;
    const int64_t begin = offsets[s], t = row - begin;
    float sum = a.bias ? a.bias[c] : 0;
    if (!a.weight) sum = input(state, begin, t - 1, c);
    for (int i = 0; i < a.taps && a.weight; ++i) sum += a.weight[c * a.taps + past - i] * input(state, begin, t - i, c);
    a.y[row][c] = a.silu ? sum / (1 + expf(-sum)) : sum;
  });
  if (states == nullptr) return;
  // The states move on once all rows are read; oldest first, so that what a short sequence keeps is read before it is overwritten.
  for_each("short_conv state", a.sequences.count() * C, [=] __device__(int64_t at) {
    const int64_t s = at / C, c = at % C, begin = offsets[s], n = offsets[s + 1] - begin;
    for (int64_t i = 0; i < past; ++i) states[s][i * C + c] = input(states[s], begin, n - past + i, c);
  });
}

}  // namespace headrace::cuda
