// Attention over pages: a block for each query row and head walks its keys with a running maximum (Milakov and Gimelshein
// 2018, arXiv 1805.02867), so any length takes the same memory.
#include <cmath>
#include <vector>

#include "cuda/kernels.h"
#include "ops/kernels/attention.h"
#include "cuda/launch.h"

namespace headrace::cuda {
namespace {

constexpr int threads = 128;

// KeyPages of all sequences on the device: the pages of sequence s begin at pages[first[s]].
struct DevicePages {
  Scratch<float*> pages;
  Scratch<int64_t> first, length, offsets;
  DevicePages(const Sequences& sequences, const KeyPages* keys) {
    std::vector<float*> all;
    std::vector<int64_t> begins, lengths;
    for (int s = 0; s < sequences.count(); ++s) {
      begins.push_back(static_cast<int64_t>(all.size()));
      lengths.push_back(keys[s].length);
      all.insert(all.end(), keys[s].pages, keys[s].pages + (keys[s].length + page_tokens - 1) / page_tokens);
    }
    pages = upload(std::span<float* const>(all)), first = upload(std::span<const int64_t>(begins));
    length = upload(std::span<const int64_t>(lengths)), offsets = upload(sequences.offsets);
  }
};

struct AttentionPlan {
  AttentionArgs a;
  int count;                                       // sequences
  const int64_t *offsets, *first, *length;
  float* const* pages;
};

__global__ void attention_kernel(AttentionPlan plan) {
  extern __shared__ float shared[];
  const AttentionArgs& a = plan.a;
  float *q = shared, *out = q + a.key, *p = out + a.value;   // [K], [V], [threads]
  const int tid = threadIdx.x, h = blockIdx.x % a.heads, g = h / (a.heads / a.kv_heads);
  const int64_t row = blockIdx.x / a.heads;
  const int s = sequence_of(plan.offsets, plan.count, row);
  const int64_t length = plan.length[s], i = length - (plan.offsets[s + 1] - row);
  const int64_t begin = a.window_left > 0 ? max(int64_t{0}, i - a.window_left + 1) : 0;
  const int64_t end = a.window_right < 0 ? length : min(length, i + a.window_right + 1);
  float* const* pages = plan.pages + plan.first[s];
  // Number d of key j lies page_tokens * d further on.
  auto key = [&](int64_t j) { return pages[j / page_tokens] + int64_t{g} * a.key * page_tokens + j % page_tokens; };
  auto value = [&](int64_t j) {
    return pages[j / page_tokens] + int64_t{a.kv_heads} * page_tokens * a.key + (g * page_tokens + j % page_tokens) * a.value;
  };

  for (int d = tid; d < a.key; d += threads) q[d] = a.q[row * a.q_stride + int64_t{h} * a.key + d];
  for (int d = tid; d < a.value; d += threads) out[d] = 0;
  float top = a.sinks ? a.sinks[h] : -INFINITY, total = a.sinks ? 1 : 0;
  __syncthreads();
  for (int64_t j0 = begin; j0 < end; j0 += threads) {
    const int64_t j = j0 + tid;
    float score = -INFINITY;
    if (j < end) {
      const float* k = key(j);
      double dot = 0;                              // a score near a thousand has no digits to lose in its sum
      for (int d = 0; d < a.key; ++d) dot += double{q[d]} * k[d * page_tokens];
      score = static_cast<float>(dot * a.scale);
      if (a.cap > 0) score = a.cap * tanhf(score / a.cap);
      if (a.slopes) score -= a.slopes[h] * static_cast<float>(i - j);
    }
    const float new_top = fmaxf(top, block_max(score)), shrink = expf(top - new_top);
    p[tid] = j < end ? expf(score - new_top) : 0;
    total = total * shrink + block_sum(p[tid]);
    top = new_top;
    const int n = static_cast<int>(min(int64_t{threads}, end - j0));
    for (int d = tid; d < a.value; d += threads) {
      float sum = out[d] * shrink;
      for (int m = 0; m < n; ++m) sum += p[m] * value(j0 + m)[d];
      out[d] = sum;
    }
    __syncthreads();
  }
  for (int d = tid; d < a.value; d += threads) a.y[row * a.y_stride + int64_t{h} * a.value + d] = out[d] / total;
}

}  // namespace

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys) {
  const DevicePages up(sequences, keys);
  const int64_t key_cols = int64_t{kv_heads} * key, cols = key_cols + int64_t{kv_heads} * value;
  for_each("append_keys", sequences.tokens() * cols, [=, count = sequences.count(), offsets = up.offsets.get(), first = up.first.get(),
                                                      length = up.length.get(), pages = up.pages.get()] __device__(int64_t at) {
    const int64_t row = at / cols, c = at % cols;
    const int s = sequence_of(offsets, count, row);
    const int64_t t = length[s] - (offsets[s + 1] - row);
    float* page = pages[first[s] + t / page_tokens];
    if (c < key_cols) {
      page[c * page_tokens + t % page_tokens] = k[row * k_stride + c];
    } else {
      const int64_t d = c - key_cols;
      page[key_cols * page_tokens + (d / value * page_tokens + t % page_tokens) * value + d % value] = v[row * v_stride + d];
    }
  });
}

void attention(const AttentionArgs& a) {
  const DevicePages up(a.sequences, a.keys);
  const AttentionPlan plan{a, a.sequences.count(), up.offsets.get(), up.first.get(), up.length.get(), up.pages.get()};
  start("attention", attention_kernel, a.sequences.tokens() * a.heads, threads, static_cast<size_t>(a.key + a.value + threads) * sizeof(float), plan);
}

}  // namespace headrace::cuda
