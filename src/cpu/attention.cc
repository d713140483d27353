// Attention over pages of keys, with the softmax computed online (Milakov and Gimelshein 2018; Dao et al. 2022), so that
// memory is a page of scores per block of queries. The queries of one key head, times a block of tokens, are the rows of
// two small products per page: scores [rows,64] = q [rows,K] keys [K,64], then out [rows,V] += weights [rows,64] values [64,V].
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cpu/kernels.h"
#include "ops/kernels/attention.h"
#include "cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

#ifndef HEADRACE_CPU_ATTENTION_TASK
#define HEADRACE_CPU_ATTENTION_TASK
namespace headrace::cpu {

// Queries [first, first + tokens) of a sequence, all heads of one key head, over pages [begin, end).
struct AttentionTask {
  int sequence, kv_head;
  int64_t first, tokens, begin, end;
  bool opens;                            // the first segment of its pages: counts the sink
  double cost;
  int64_t partial;                       // where the pages are cut: place of top, total, out per row in the scratch; else -1
};

// The keys [low, high) that query i of a sequence of `length` keys sees.
struct Sight { int64_t low, high; };
inline Sight sight(const AttentionArgs& a, int64_t i, int64_t length) {
  return {a.window_left > 0 ? std::max<int64_t>(0, i - a.window_left + 1) : 0,
          a.window_right < 0 ? length : std::min(length, i + a.window_right + 1)};
}

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// Scores of the places [from, to) of a page become weights; what a row does not see becomes 0.
struct Row { float top, total; };
void weigh(const AttentionArgs& a, int head, int64_t i, int64_t page_first, int64_t from, int64_t to, float* score, Row& row, float* out) {
  if (from >= to) {
    std::memset(score, 0, page_tokens * sizeof(float));
    return;
  }
  if (a.cap > 0) strips(page_tokens, [&](auto s) { s.store(hn::Mul(set(a.cap), tanh_of(hn::Div(s.load(score), set(a.cap)))), score); });
  std::fill(score, score + from, -HUGE_VALF);
  std::fill(score + to, score + page_tokens, -HUGE_VALF);
  if (a.slopes)
    for (int64_t j = from; j < to; ++j) score[j] -= a.slopes[head] * static_cast<float>(i - (page_first + j));
  V high = set(row.top);
  strips(page_tokens, [&](auto s) { high = hn::Max(high, s.load(score)); });
  const float top = max_of(high);
  V sum = set(0);
  strips(page_tokens, [&](auto s) {
    V p = hn::Exp(D(), hn::Sub(s.load(score), set(top)));
    sum = hn::Add(sum, p);
    s.store(p, score);
  });
  if (top > row.top) {
    const float keep = std::exp(row.top - top);
    row.total *= keep;
    strips(a.value, [&](auto s) { s.store(hn::Mul(s.load(out), set(keep)), out); });
    row.top = top;
  }
  row.total += sum_of(sum);
}

void Attend(const AttentionArgs& a, const AttentionTask& t, float* partials) {
  const int G = a.heads / a.kv_heads, K = a.key, W = a.value;
  const int64_t M = t.tokens * G, begin = a.sequences.offsets[t.sequence], n = a.sequences.offsets[t.sequence + 1] - begin;
  const KeyPages& keys = a.keys[t.sequence];
  const int64_t past = keys.length - n;
  static thread_local std::vector<float> scratch;
  static thread_local std::vector<Row> rows;
  scratch.resize(static_cast<size_t>(M) * (K + page_tokens + W));
  rows.resize(static_cast<size_t>(M));
  float *q = scratch.data(), *score = q + M * K, *out = score + M * page_tokens;
  std::memset(out, 0, static_cast<size_t>(M * W) * sizeof(float));
  for (int64_t m = 0; m < M; ++m) {
    const int64_t token = t.first + m / G, head = t.kv_head * G + m % G;
    const float* from = a.q + (begin + token) * a.q_stride + head * K;
    strips(K, [&](auto s) { s.store(hn::Mul(s.load(from), set(a.scale)), q + m * K); });
    const bool sink = a.sinks && t.opens;
    rows[static_cast<size_t>(m)] = {sink ? a.sinks[head] : -std::numeric_limits<float>::infinity(), sink ? 1.f : 0.f};
  }
  for (int64_t page = t.begin; page < t.end; ++page) {
    if (!keys.pages[page]) continue;                        // has left every window
    const int64_t first = page * page_tokens, stored = std::min<int64_t>(page_tokens, keys.length - first);
    const float* k = keys.pages[page] + int64_t{t.kv_head} * K * page_tokens;
    const float* v = keys.pages[page] + int64_t{a.kv_heads} * page_tokens * K + int64_t{t.kv_head} * page_tokens * W;
    const bool more = page + 1 < t.end && keys.pages[page + 1];
    const float* next = more ? keys.pages[page + 1] + (k - keys.pages[page]) : nullptr;
    product<false>(M, page_tokens, {q, K, 1, k, page_tokens, score, page_tokens, K, next});
    for (int64_t m = 0; m < M; ++m) {
      const int64_t i = past + t.first + m / G;
      const auto [low, high] = sight(a, i, keys.length);
      weigh(a, static_cast<int>(t.kv_head * G + m % G), i, first, std::clamp<int64_t>(low - first, 0, stored),
            std::clamp<int64_t>(high - first, 0, stored), score + m * page_tokens, rows[static_cast<size_t>(m)], out + m * W);
    }
    product<true>(M, W, {score, page_tokens, 1, v, W, out, W, stored, more ? keys.pages[page + 1] + (v - keys.pages[page]) : nullptr});
  }
  for (int64_t m = 0; m < M; ++m) {
    const Row r = rows[static_cast<size_t>(m)];
    if (t.partial >= 0) {
      float* p = partials + t.partial + m * (W + 2);
      p[0] = r.top, p[1] = r.total;
      std::memcpy(p + 2, out + m * W, static_cast<size_t>(W) * sizeof(float));
    } else {
      float* y = a.y + (begin + t.first + m / G) * a.y_stride + (int64_t{t.kv_head} * G + m % G) * W;
      V inverse = set(1 / r.total);
      strips(W, [&](auto s) { s.store(hn::Mul(s.load(out + m * W), inverse), y); });
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Attend);

namespace {

constexpr int64_t few_tokens = 4;        // up to here the pages of a sequence are cut into segments for the threads
constexpr int64_t segment_pages = 8;     // fixed, so that a sum does not depend on the threads or on the batch

struct Cut {                             // partial results of one sequence and key head, to be joined
  int sequence, kv_head;
  int64_t tokens, segments;
  size_t at;                             // in the scratch
};

void join(const AttentionArgs& a, const Cut& c, const float* partials) {
  const int G = a.heads / a.kv_heads, W = a.value;
  const int64_t M = c.tokens * G, size = M * (W + 2), begin = a.sequences.offsets[c.sequence];
  for (int64_t m = 0; m < M; ++m) {
    const float* p = partials + c.at + m * (W + 2);
    float top = p[0], total = 0;
    for (int64_t s = 1; s < c.segments; ++s) top = std::max(top, p[s * size]);
    float* y = a.y + (begin + m / G) * a.y_stride + (int64_t{c.kv_head} * G + m % G) * W;
    std::fill(y, y + W, 0.f);
    for (int64_t s = 0; s < c.segments; ++s) {
      const float* part = p + s * size;
      if (part[1] == 0) continue;        // nothing in sight
      const float keep = std::exp(part[0] - top);
      total += keep * part[1];
      for (int j = 0; j < W; ++j) y[j] += keep * part[2 + j];
    }
    for (int j = 0; j < W; ++j) y[j] /= total;
  }
}

}  // namespace

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys) {
  for (int s = 0; s < sequences.count(); ++s) {
    const int64_t n = sequences.offsets[s + 1] - sequences.offsets[s], past = keys[s].length - n;
    parallel(kv_heads, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, n * key)), [&](int64_t begin, int64_t end, int) {
      for (int64_t h = begin; h < end; ++h)
        for (int64_t t = 0; t < n; ++t) {
          float* page = keys[s].pages[(past + t) / page_tokens];
          const int64_t row = sequences.offsets[s] + t, at = (past + t) % page_tokens;
          const float* from = k + row * k_stride + h * key;
          for (int i = 0; i < key; ++i) page[(h * key + i) * page_tokens + at] = from[i];
          float* values = page + int64_t{kv_heads} * page_tokens * key;
          std::memcpy(values + (h * page_tokens + at) * value, v + row * v_stride + h * value, static_cast<size_t>(value) * sizeof(float));
        }
    });
  }
}

void attention(const AttentionArgs& a) {
  const int G = a.heads / a.kv_heads;
  const int64_t block = std::max<int64_t>(1, 32 / G);        // tokens whose rows fill the products
  std::vector<AttentionTask> tasks;
  std::vector<Cut> cuts;
  size_t floats = 0;
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], length = a.keys[s].length, past = length - n;
    for (int64_t first = 0; first < n; first += n <= few_tokens ? n : block) {
      const int64_t tokens = n <= few_tokens ? n : std::min(block, n - first);
      const int64_t low = sight(a, past + first, length).low, high = sight(a, past + first + tokens - 1, length).high;
      const int64_t begin = low / page_tokens, end = (high + page_tokens - 1) / page_tokens;
      for (int h = 0; h < a.kv_heads; ++h) {
        if (n > few_tokens || end - begin <= segment_pages) {
          tasks.push_back({s, h, first, tokens, begin, end, true, static_cast<double>(tokens * (end - begin)), -1});
          continue;
        }
        const int64_t first_segment = begin / segment_pages, last_segment = (end - 1) / segment_pages;
        cuts.push_back({s, h, tokens, last_segment - first_segment + 1, floats});
        for (int64_t g = first_segment; g <= last_segment; ++g) {
          int64_t b = std::max(begin, g * segment_pages), e = std::min(end, (g + 1) * segment_pages);
          tasks.push_back({s, h, first, tokens, b, e, g == first_segment, static_cast<double>(tokens * (e - b)), static_cast<int64_t>(floats)});
          floats += static_cast<size_t>(tokens * G * (a.value + 2));
        }
      }
    }
  }
  static thread_local std::vector<float> partials;
  partials.resize(std::max(partials.size(), floats));
  float* scratch = partials.data();                          // the caller's, not that of the thread that runs a task
  const double page_cost = static_cast<double>(G) * (a.key + a.value) * page_tokens;
  parallel_tasks(tasks, 200000 / page_cost, [&](const AttentionTask& t) { HWY_DYNAMIC_DISPATCH(Attend)(a, t, scratch); });
  for (const Cut& c : cuts) join(a, c, scratch);
}

}  // namespace headrace::cpu
#endif
