// Attention over pages: a block for each query row and head walks its keys with a running maximum (Milakov and Gimelshein
// 2018, arXiv 1805.02867), so any length takes the same memory.
#include <cmath>

#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/pages.h"

namespace headrace::cuda {
namespace {

constexpr int threads = 128;

__global__ void attention_kernel(AttentionArgs a, Keys keys) {
  extern __shared__ float shared[];
  float *q = shared, *out = q + a.key, *p = out + a.value;   // [K], [V], [threads]
  const int tid = threadIdx.x, h = blockIdx.x % a.heads, g = h / (a.heads / a.kv_heads);
  const int64_t row = blockIdx.x / a.heads;
  const int s = sequence_of(keys.offsets, keys.count, row);
  const int64_t length = keys.length[s], i = length - (keys.offsets[s + 1] - row);
  const int64_t begin = a.window_left > 0 ? max(int64_t{0}, i - a.window_left + 1) : 0;
  const int64_t end = a.window_right < 0 ? length : min(length, i + a.window_right + 1);
  float* const* pages = keys.pages + keys.first[s];

  for (int d = tid; d < a.key; d += threads) q[d] = a.q[row * a.q_stride + int64_t{h} * a.key + d];
  for (int d = tid; d < a.value; d += threads) out[d] = 0;
  double top = a.sinks ? a.sinks[h] : -INFINITY;
  float total = a.sinks ? 1 : 0;
  __syncthreads();
  for (int64_t j0 = begin; j0 < end; j0 += threads) {
    const int64_t j = j0 + tid;
    const double score = j < end ? score_of(a, q, key_of(a, pages, g, j), h, i, j) : -INFINITY;
    const double new_top = fmax(top, block_max(score));
    const float shrink = expf(static_cast<float>(top - new_top));
    p[tid] = j < end ? expf(static_cast<float>(score - new_top)) : 0;
    total = total * shrink + block_sum(p[tid]);
    top = new_top;
    const int n = static_cast<int>(min(int64_t{threads}, end - j0));
    for (int d = tid; d < a.value; d += threads) {
      float sum = out[d] * shrink;
      for (int m = 0; m < n; ++m) sum += p[m] * value_of(a, pages, g, j0 + m)[d];
      out[d] = sum;
    }
    __syncthreads();
  }
  const bool seen = begin < end;
  for (int d = tid; d < a.value; d += threads) a.y[row * a.y_stride + int64_t{h} * a.value + d] = seen ? out[d] / total : 0;
  if (a.lse && tid == 0) a.lse[row * a.heads + h] = seen || a.sinks ? static_cast<float>(top + log(static_cast<double>(total))) : 0;
}

}  // namespace

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys) {
  const DevicePages up(sequences, keys);
  const int64_t key_cols = int64_t{kv_heads} * key, cols = key_cols + int64_t{kv_heads} * value;
  for_each("append_keys", sequences.tokens() * cols, [=, to = up.keys()] __device__(int64_t at) {
    const int64_t row = at / cols, c = at % cols;
    const int s = sequence_of(to.offsets, to.count, row);
    const int64_t t = to.length[s] - (to.offsets[s + 1] - row);
    float* page = to.pages[to.first[s] + t / page_tokens];
    if (c < key_cols) {
      page[c * page_tokens + t % page_tokens] = k[row * k_stride + c];
    } else {
      const int64_t d = c - key_cols;
      page[key_cols * page_tokens + (d / value * page_tokens + t % page_tokens) * value + d % value] = v[row * v_stride + d];
    }
  });
}

// A thread for each sequence and head adds one after the other, as the definition does, so that pages have the same bits.
void append_gates(Rows log_gates, int64_t at, const Sequences& sequences, const KeyPages* keys) {
  const DevicePages up(sequences, keys);
  const int64_t heads = log_gates.cols;
  for_each("append_gates", sequences.count() * heads, [=, to = up.keys()] __device__(int64_t i) {
    const int64_t s = i / heads, h = i % heads, begin = to.offsets[s], n = to.offsets[s + 1] - begin, past = to.length[s] - n;
    for (int64_t t = 0; t < n; ++t) {
      const int64_t place = (past + t) % page_tokens;
      float* sum = to.pages[to.first[s] + (past + t) / page_tokens] + at + h * page_tokens + place;
      *sum = (place > 0 ? sum[-1] : 0) + log_gates[begin + t][h];
    }
  });
}

void attention(const AttentionArgs& a) {
  if (!a.plain()) return attention_with_options(a);
  const DevicePages up(a.sequences, a.keys);
  start("attention", attention_kernel, a.sequences.tokens() * a.heads, threads, static_cast<size_t>(a.key + a.value + threads) * sizeof(float), a,
        up.keys());
}

}  // namespace headrace::cuda
