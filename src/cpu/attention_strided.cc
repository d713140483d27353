// Attention to every l-th key, (i - j) mod l = 0, in time proportional to the keys that are seen: the queries and keys of one residue of l,
// copied side by side, are a short sequence of their own, dense and causal. With the window of l keys beside it (Sparse Transformer's merged
// sets) both answers are joined by their denominators; the strided one then begins l keys back. A call with a state copies all keys before it,
// and of a page's row [64] each residue wants one number or none: so sixteen residues that lie side by side are copied at once.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"
#include "ops/kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention_strided.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

#ifndef HEADRACE_CPU_ATTENTION_STRIDED
#define HEADRACE_CPU_ATTENTION_STRIDED
namespace headrace::cpu {

constexpr int64_t together = 16;         // residues

// Pages of keys and values of one key head for each of some residues, `residue` numbers apart.
struct Gathered {
  int64_t first, residues, keys;         // key u of residue r: first + r + u l
  float* pages;
  int64_t residue;
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

void Gather(const AttentionArgs& a, const KeyPages& from, int kv_head, const Gathered& to) {
  const int64_t K = a.key, V = a.value, P = page_tokens, l = a.pattern->block, page_floats = P * (K + V);
  const int64_t key_at = kv_head * K * P, value_at = a.kv_heads * K * P + kv_head * P * V;
  alignas(64) float block[together * together];
  for (int64_t u = 0; u < to.keys; u += together) {
    const int64_t n = std::min(together, to.keys - u);
    float* page = to.pages + u / P * page_floats;
    const float *rows[together], *next[together];            // from a residue on, and from the next page's beginning where it has some
    int64_t here[together];
    for (int64_t m = 0; m < n; ++m) {
      const int64_t j = to.first + (u + m) * l, p = j / P;
      rows[m] = from.pages[p] + key_at + j % P, here[m] = std::min(to.residues, P - j % P);
      next[m] = here[m] < to.residues && (p + 1) * P < from.length ? from.pages[p + 1] + key_at : nullptr;
    }
    for (int64_t i = 0; i < K; ++i) {
      for (int64_t m = 0; m < n; ++m) {
        float* line = block + m * together;
        if (here[m] == together) std::memcpy(line, rows[m] + i * P, together * sizeof(float));
        else std::memcpy(line, rows[m] + i * P, static_cast<size_t>(here[m]) * sizeof(float));
        if (next[m]) std::memcpy(line + here[m], next[m] + i * P, static_cast<size_t>(to.residues - here[m]) * sizeof(float));
      }
      transpose(block, together, n, to.residues, page + i * P + u % P, to.residue, n);
    }
    for (int64_t m = 0; m < n; ++m)
      for (int64_t r = 0, j = to.first + (u + m) * l; r < to.residues && j < from.length; ++r, ++j) {
        const float* value = from.pages[j / P] + value_at + j % P * V;
        std::memcpy(page + r * to.residue + P * K + (u % P + m) * V, value, static_cast<size_t>(V) * sizeof(float));
      }
  }
}

// Of a window's answer and of what is far.
void Join(const float* far, float far_lse, int64_t V, float* near, float* near_lse) {
  const float top = std::max(far_lse, *near_lse), of_far = std::exp(far_lse - top), of_near = std::exp(*near_lse - top), total = of_far + of_near;
  const auto f = set(of_far / total), g = set(of_near / total);
  strips(V, [&](auto s) { s.store(hn::MulAdd(f, s.load(far), hn::Mul(g, s.load(near))), near); });
  *near_lse = top + std::log(total);
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Gather);
HWY_EXPORT(Join);

namespace {

// The queries first, first + l, ... of a sequence and how many keys the last of them sees; none where first >= n.
struct Residue {
  int64_t first, queries = 0, keys = 0;

  // of the keys `key`, key + l, ...
  Residue(const AttentionArgs& a, int s, int64_t key, bool beside_window) {
    const int64_t l = a.pattern->block, n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], past = a.keys[s].length - n;
    const int64_t back = beside_window ? l : 0;
    first = (key - past % l + l) % l;
    if (past + first < back) first += l;                     // sees nothing so far back
    if (first >= n) return;
    queries = (n - first + l - 1) / l, keys = (past + first + (queries - 1) * l - back - key) / l + 1;
  }
};

// What one key head's queries of some residues, their keys `key` .. `key + count` and every l-th on, make of all that they see.
void attend(const AttentionArgs& a, int s, int kv_head, int64_t key, int64_t count, bool beside_window) {
  static thread_local std::vector<float> q, y, lse, pages;
  static thread_local std::vector<float*> pointers;
  const int64_t l = a.pattern->block, begin = a.sequences.offsets[s], G = a.heads / a.kv_heads, K = a.key, V = a.value;
  const int64_t page_floats = page_tokens * (K + V);
  int64_t keys = 0;
  for (int64_t r = 0; r < count; ++r) keys = std::max(keys, Residue(a, s, key + r, beside_window).keys);
  if (keys == 0) return;
  const int64_t page_count = (keys + page_tokens - 1) / page_tokens, apart = page_count * page_floats + 16;   // not by a power of two
  if (std::ssize(pages) < count * apart) pages.resize(static_cast<size_t>(count * apart));
  HWY_DYNAMIC_DISPATCH(Gather)(a, a.keys[s], kv_head, {key, count, keys, pages.data(), apart});
  for (int64_t r = 0; r < count; ++r) {
    const Residue of(a, s, key + r, beside_window);
    if (of.queries == 0) continue;
    const auto rows = static_cast<size_t>(of.queries * G);
    q.resize(std::max(q.size(), rows * static_cast<size_t>(K))), y.resize(std::max(y.size(), rows * static_cast<size_t>(V)));
    lse.resize(std::max(lse.size(), rows));
    for (int64_t u = 0; u < of.queries; ++u)
      std::memcpy(q.data() + u * G * K, a.q + (begin + of.first + u * l) * a.q_stride + kv_head * G * K, static_cast<size_t>(G * K) * sizeof(float));
    pointers.clear();
    for (int64_t p = 0; p * page_tokens < of.keys; ++p) pointers.push_back(pages.data() + r * apart + p * page_floats);
    AttentionArgs own = a;
    const int64_t offsets[] = {0, of.queries};
    const KeyPages at{pointers.data(), of.keys};
    own.pattern = nullptr, own.heads = static_cast<int>(G), own.kv_heads = 1, own.q = q.data(), own.q_stride = G * K, own.y = y.data(),
    own.y_stride = G * V, own.lse = lse.data(), own.sequences = {offsets}, own.keys = &at;
    own.sinks = a.sinks && !beside_window ? a.sinks + kv_head * G : nullptr;   // the window counts them
    attention(own);
    for (int64_t u = 0; u < of.queries; ++u)
      for (int64_t h = 0; h < G; ++h) {
        const int64_t row = begin + of.first + u * l, head = kv_head * G + h;
        const float *far = y.data() + (u * G + h) * V, far_lse = lse[static_cast<size_t>(u * G + h)];
        float *to = a.y + row * a.y_stride + head * V, *to_lse = a.lse ? a.lse + row * a.heads + head : nullptr;
        if (beside_window) {
          HWY_DYNAMIC_DISPATCH(Join)(far, far_lse, V, to, to_lse);
        } else {
          std::memcpy(to, far, static_cast<size_t>(V) * sizeof(float));
          if (to_lse) *to_lse = far_lse;
        }
      }
  }
}

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
    const int64_t l = a.pattern->block, n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], past = a.keys[s].length - n;
    if (n == 0) continue;
    struct Group { int64_t key, count; };
    std::vector<Group> groups;                               // of the residues that have a query: all, or those from the first query's on
    const auto add = [&](int64_t from, int64_t to) {
      for (int64_t b = from, e; b < to; b = e) e = std::min(to, (b / together + 1) * together), groups.push_back({b, e - b});
    };
    const int64_t from = past % l;
    if (n >= l) add(0, l);
    else add(from, std::min(l, from + n)), add(0, from + n - l);
    const int64_t tasks = std::ssize(groups) * a.kv_heads, keys = a.keys[s].length / l + 1;
    const int64_t work = keys * a.heads / a.kv_heads * (a.key + a.value) * std::min(together, n);
    parallel(tasks, std::max<int64_t>(1, 65536 / work), [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) {
        const Group g = groups[static_cast<size_t>(i / a.kv_heads)];
        attend(a, s, static_cast<int>(i % a.kv_heads), g.key, g.count, beside);
      }
    });
  }
}

}  // namespace headrace::cpu
#endif
