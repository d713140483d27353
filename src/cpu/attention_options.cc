// Attention with options that the plain kernel (attention.cc) does not know: sparse patterns, forget gates, alpha-entmax and keys
// of their own. Queries of one key head meet the pages that any of them sees; others are not touched. With entmax the scores
// of a block of queries are kept, [rows, keys seen], until their threshold is found.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention_options.cc"
#include "hwy/foreach_target.h"
#include "cpu/attention-inl.h"

#ifndef HEADRACE_CPU_ATTENTION_OPTIONS
#define HEADRACE_CPU_ATTENTION_OPTIONS
namespace headrace::cpu {

struct QueryBlock {
  int sequence, kv_head;
  int64_t first, tokens;
  double cost;
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

void AttendSeen(const AttentionArgs& a, const PageSight& sight, const GateSums& gates, const QueryBlock& t) {
  const int G = a.heads / a.kv_heads, K = a.key, W = a.value;
  const int64_t M = t.tokens * G, begin = a.sequences.offsets[t.sequence];
  const KeyPages& keys = a.keys[t.sequence];
  static thread_local std::vector<float> scratch, tops, totals;
  static thread_local std::vector<int64_t> pages;
  static thread_local std::vector<uint64_t> words;
  sight.pages(t.kv_head * G, G, t.first, t.tokens, pages);
  const int64_t S = page_tokens * (a.alpha ? std::max<int64_t>(1, std::ssize(pages)) : 1) + 16;
  scratch.resize(static_cast<size_t>(M * (K + S + W)));
  words.resize(static_cast<size_t>(M));
  tops.assign(static_cast<size_t>(M), -HUGE_VALF), totals.assign(static_cast<size_t>(M), 0.f);
  float *q = scratch.data(), *score = q + M * K, *out = score + M * S;
  std::memset(out, 0, static_cast<size_t>(M * W) * sizeof(float));
  auto head = [&](int64_t m) { return static_cast<int>(t.kv_head * G + m % G); };
  for (int64_t m = 0; m < M; ++m) {
    const float* from = a.q + (begin + t.first + m / G) * a.q_stride + int64_t{head(m)} * K;
    strips(K, [&](auto s) { s.store(hn::Mul(s.load(from), set(a.scale)), q + m * K); });
    if (a.sinks) tops[static_cast<size_t>(m)] = a.sinks[head(m)], totals[static_cast<size_t>(m)] = 1;
  }
  // Where the p-th page's follower lies, from it: fetched meanwhile.
  auto ahead = [&](size_t p, const float* at) -> const float* {
    const float *here = keys.pages[pages[p]], *next = p + 1 < pages.size() ? keys.pages[pages[p + 1]] : nullptr;
    return next ? at + (next - here) : nullptr;
  };
  // The scores of the p-th page at `to`, rows S apart; false: nothing is seen of it.
  auto scores = [&](size_t p, float* to) {
    const int64_t page = pages[p];
    if (!keys.pages[page]) return false;
    uint64_t any = 0;
    for (int64_t m = 0; m < M; ++m) any |= words[static_cast<size_t>(m)] = sight.of(head(m), t.first + m / G, page);
    if (any == 0) return false;
    const float* k = keys.pages[page] + int64_t{t.kv_head} * K * page_tokens;
    product<false>(M, page_tokens, {q, K, 1, k, page_tokens, to, S, K, ahead(p, k)});
    for (int64_t m = 0; m < M; ++m)
      finish_scores(a.cap, Bias(a, gates, sight, t.sequence, head(m), t.first + m / G, page), words[static_cast<size_t>(m)], to + m * S, to + m * S);
    return true;
  };
  auto add_values = [&](size_t p, const float* weights) {
    const int64_t page = pages[p];
    const float* v = keys.pages[page] + int64_t{a.kv_heads} * page_tokens * K + int64_t{t.kv_head} * page_tokens * W;
    product<true>(M, W, {weights, S, 1, v, W, out, W, std::min<int64_t>(page_tokens, keys.length - page * page_tokens), ahead(p, v)});
  };
  if (!a.alpha) {
    for (size_t at = 0; at < pages.size(); ++at) {
      if (!scores(at, score)) continue;
      for (int64_t m = 0; m < M; ++m) {
        float *p = score + m * S, &top = tops[static_cast<size_t>(m)];
        if (words[static_cast<size_t>(m)] == 0) {
          std::fill(p, p + page_tokens, 0.f);
          continue;
        }
        V high = set(top), sum = set(0);
        strips(page_tokens, [&](auto s) { high = hn::Max(high, s.load(p)); });
        const float most = max_of(high);
        if (most > top) {
          const float keep = std::exp(top - most);
          totals[static_cast<size_t>(m)] *= keep;
          strips(W, [&](auto s) { s.store(hn::Mul(s.load(out + m * W), set(keep)), out + m * W); });
          top = most;
        }
        strips(page_tokens, [&](auto s) {
          V e = exp_through(hn::Sub(s.load(p), set(most)));
          sum = hn::Add(sum, e);
          s.store(e, p);
        });
        totals[static_cast<size_t>(m)] += sum_of(sum);
      }
      add_values(at, score);
    }
  } else {
    const int64_t all = std::ssize(pages) * page_tokens;
    std::vector<char> seen(pages.size());
    for (size_t p = 0; p < pages.size(); ++p) {
      float* to = score + static_cast<int64_t>(p) * page_tokens;
      seen[p] = scores(p, to);
      for (int64_t m = 0; m < M && !seen[p]; ++m) std::fill(to + m * S, to + m * S + page_tokens, -HUGE_VALF);
    }
    for (int64_t m = 0; m < M; ++m) {
      float* row = score + m * S;
      if (all == 0 || *std::max_element(row, row + all) == -HUGE_VALF) {
        std::fill(row, row + all, 0.f);
        continue;
      }
      const Bend bend{a.alpha[head(m)] - 1};
      const float threshold_of_row = threshold(row, all, bend);
      V sum = set(0);
      strips(all, [&](auto s) {
        V p = bend.at(hn::Sub(s.load(row), set(threshold_of_row))).p;
        sum = hn::Add(sum, p);
        s.store(p, row);
      });
      tops[static_cast<size_t>(m)] = threshold_of_row, totals[static_cast<size_t>(m)] = sum_of(sum);
    }
    for (size_t p = 0; p < pages.size(); ++p)
      if (seen[p]) add_values(p, score + static_cast<int64_t>(p) * page_tokens);
  }
  for (int64_t m = 0; m < M; ++m) {
    const int64_t row = begin + t.first + m / G;
    const float total = totals[static_cast<size_t>(m)];
    float* y = a.y + row * a.y_stride + int64_t{head(m)} * W;
    const V inverse = set(total > 0 ? 1 / total : 0);
    strips(W, [&](auto s) { s.store(hn::Mul(s.load(out + m * W), inverse), y); });
    if (a.lse) a.lse[row * a.heads + head(m)] = total > 0 ? tops[static_cast<size_t>(m)] + (a.alpha ? 0 : std::log(total)) : 0;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(AttendSeen);

void attention_with_options(const AttentionArgs& a) {
  const int64_t block = std::max<int64_t>(1, 64 * a.kv_heads / a.heads);     // tokens whose rows fill the products
  const GateSums gates(a);
  std::vector<PageSight> sights;
  std::vector<QueryBlock> tasks;
  std::vector<int64_t> pages;
  for (int s = 0; s < a.sequences.count(); ++s) {
    const PageSight& sight = sights.emplace_back(a, s);
    const int64_t n = a.sequences.offsets[s + 1] - a.sequences.offsets[s];
    for (int64_t first = 0; first < n; first += block)
      for (int h = 0; h < a.kv_heads; ++h) {
        const int64_t tokens = std::min(block, n - first);
        sight.pages(h * (a.heads / a.kv_heads), a.heads / a.kv_heads, first, tokens, pages);
        tasks.push_back({s, h, first, tokens, static_cast<double>(tokens * (1 + std::ssize(pages)))});
      }
  }
  const double page_cost = static_cast<double>(a.heads / a.kv_heads) * (a.key + a.value) * page_tokens;
  parallel_tasks(tasks, 200000 / page_cost,
                 [&](const QueryBlock& t) { HWY_DYNAMIC_DISPATCH(AttendSeen)(a, sights[static_cast<size_t>(t.sequence)], gates, t); });
}

}  // namespace headrace::cpu
#endif
