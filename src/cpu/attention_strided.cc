// Attention to every l-th key, (i - j) mod l = 0, in time proportional to the keys that are seen: the queries and keys of one residue of l,
// copied side by side, are a short sequence of their own, dense and causal. With the window of l keys beside it (Sparse Transformer's merged
// sets) both answers are joined by their denominators; the strided one then begins l keys back.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"
#include "ops/kernels/attention.h"

namespace headrace::cpu {
namespace {

// Queries first, first + l, ... of a sequence, with those of its keys that they see, at hand.
struct Residue {
  std::vector<float> q, y, lse, pages;
  std::vector<float*> pointers;

  void attend(const AttentionArgs& a, int s, int64_t first, bool beside_window) {
    const int64_t l = a.pattern->block, begin = a.sequences.offsets[s], n = a.sequences.offsets[s + 1] - begin, past = a.keys[s].length - n;
    const int64_t from = (past + first) % l, back = beside_window ? l : 0;
    if (past + first < back) first += l;                     // sees nothing so far back
    if (first >= n) return;
    const int64_t queries = (n - first + l - 1) / l, last = past + first + (queries - 1) * l - back, keys = (last - from) / l + 1;
    const int64_t H = a.heads, G = a.kv_heads, K = a.key, V = a.value, page_floats = G * page_tokens * (K + V);
    q.resize(static_cast<size_t>(queries * H * K)), y.resize(static_cast<size_t>(queries * H * V)), lse.resize(static_cast<size_t>(queries * H));
    for (int64_t u = 0; u < queries; ++u)
      std::memcpy(q.data() + u * H * K, a.q + (begin + first + u * l) * a.q_stride, static_cast<size_t>(H * K) * sizeof(float));
    pages.resize(static_cast<size_t>((keys + page_tokens - 1) / page_tokens * page_floats)), pointers.clear();
    for (size_t at = 0; at < pages.size(); at += static_cast<size_t>(page_floats)) pointers.push_back(pages.data() + at);
    for (int64_t u = 0; u < keys; ++u) {
      const int64_t j = from + u * l, place = u % page_tokens;
      const float* page = a.keys[s].pages[j / page_tokens] + j % page_tokens;
      float* to = pointers[static_cast<size_t>(u / page_tokens)];
      for (int64_t i = 0; i < G * K; ++i) to[i * page_tokens + place] = page[i * page_tokens];
      const float* values = a.keys[s].pages[j / page_tokens] + G * page_tokens * K;
      for (int64_t g = 0; g < G; ++g)
        std::memcpy(to + G * page_tokens * K + (g * page_tokens + place) * V, values + (g * page_tokens + j % page_tokens) * V,
                    static_cast<size_t>(V) * sizeof(float));
    }
    AttentionArgs own = a;
    const int64_t offsets[] = {0, queries};
    const KeyPages at{pointers.data(), keys};
    own.pattern = nullptr, own.q = q.data(), own.q_stride = H * K, own.y = y.data(), own.y_stride = H * V, own.lse = lse.data();
    own.sequences = {offsets}, own.keys = &at;
    if (beside_window) own.sinks = nullptr;                  // the window counts them
    attention(own);
    for (int64_t u = 0; u < queries; ++u)
      for (int64_t h = 0; h < H; ++h) {
        const int64_t row = begin + first + u * l;
        join(y.data() + (u * H + h) * V, lse[static_cast<size_t>(u * H + h)], V, beside_window, a.y + row * a.y_stride + h * V,
             a.lse ? a.lse + row * H + h : nullptr);
      }
  }
  // Into the window's answer, or in its place.
  static void join(const float* far, float far_lse, int64_t V, bool beside, float* near, float* near_lse) {
    if (!beside) {
      std::memcpy(near, far, static_cast<size_t>(V) * sizeof(float));
      if (near_lse) *near_lse = far_lse;
      return;
    }
    const float top = std::max(far_lse, *near_lse), of_far = std::exp(far_lse - top), of_near = std::exp(*near_lse - top), total = of_far + of_near;
    for (int64_t i = 0; i < V; ++i) near[i] = (of_far * far[i] + of_near * near[i]) / total;
    *near_lse = top + std::log(total);
  }
};

}  // namespace

bool strided_alone(const AttentionArgs& a) {
  using Kind = Pattern::Kind;
  return a.pattern && (a.pattern->kind == Kind::strided || a.pattern->kind == Kind::merged) && a.pattern->global.empty() && a.pattern->block >= 16 &&
         a.window_left == 0 && a.window_right == 0 && !a.alpha && !a.gates && !a.slopes && a.key_sequences.offsets.empty();
}

void attention_strided(const AttentionArgs& given) {
  AttentionArgs a = given;
  const bool beside = a.pattern->kind == Pattern::Kind::merged;
  std::vector<float> lse;                                    // the window's
  if (beside) {
    if (!a.lse) lse.resize(static_cast<size_t>(a.sequences.tokens() * a.heads)), a.lse = lse.data();
    AttentionArgs window = a;
    window.pattern = nullptr, window.window_left = a.pattern->block;
    attention(window);
  }
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], residues = std::min(n, a.pattern->block);
    const int64_t keys = a.keys[s].length / a.pattern->block + 1;   // of each
    parallel(residues, std::max<int64_t>(1, 65536 / (keys * a.heads * (a.key + a.value))), [&](int64_t b, int64_t e, int) {
      static thread_local Residue r;
      for (int64_t i = b; i < e; ++i) r.attend(a, s, i, beside);
    });
  }
}

}  // namespace headrace::cpu
