// Keys and values of all sequences in their pages, on the device. For .cu files only.
#pragma once
#include <vector>

#include "cuda/device.h"
#include "ops/kernels/attention.h"

namespace headrace::cuda {

// What a kernel takes of it. The pages of sequence s begin at pages[first[s]].
struct Keys {
  int count;                                       // sequences
  const int64_t *offsets, *first, *length;
  float* const* pages;
};

struct DevicePages {
  int count;
  Scratch<float*> pages;
  Scratch<int64_t> first, length, offsets;
  DevicePages(const Sequences& sequences, const KeyPages* keys) : count(sequences.count()) {
    std::vector<float*> all;
    std::vector<int64_t> begins, lengths;
    for (int s = 0; s < count; ++s) {
      begins.push_back(static_cast<int64_t>(all.size()));
      lengths.push_back(keys[s].length);
      all.insert(all.end(), keys[s].pages, keys[s].pages + (keys[s].length + page_tokens - 1) / page_tokens);
    }
    pages = upload(std::span<float* const>(all)), first = upload(std::span<const int64_t>(begins));
    length = upload(std::span<const int64_t>(lengths)), offsets = upload(sequences.offsets);
  }
  Keys keys() const { return {count, offsets.get(), first.get(), length.get(), pages.get()}; }
};

// Number d of key j lies page_tokens * d further on; those of a value are adjacent.
__device__ inline const float* key_of(const AttentionArgs& a, float* const* pages, int kv_head, int64_t j) {
  return pages[j / page_tokens] + int64_t{kv_head} * a.key * page_tokens + j % page_tokens;
}
__device__ inline const float* value_of(const AttentionArgs& a, float* const* pages, int kv_head, int64_t j) {
  return pages[j / page_tokens] + int64_t{a.kv_heads} * page_tokens * a.key + (int64_t{kv_head} * page_tokens + j % page_tokens) * a.value;
}
// In double: a score near a thousand has no digits to lose, neither in its sum nor before the largest is taken off it.
__device__ inline double score_of(const AttentionArgs& a, const float* q, const float* k, int h, int64_t i, int64_t j) {
  double score = 0;
  for (int d = 0; d < a.key; ++d) score += double{q[d]} * k[d * page_tokens];
  score *= a.scale;
  if (a.cap > 0) score = a.cap * tanh(score / a.cap);
  return a.slopes ? score - double{a.slopes[h]} * static_cast<double>(i - j) : score;
}

}  // namespace headrace::cuda
