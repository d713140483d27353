// Attention with a pattern, log gates, entmax or keys of their own: a block for each query row and head writes the scores of all keys
// down, -inf where one is not seen, and makes weights of them. In double precision; rows follow one another where the scores of all
// would take too much memory.
#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/entmax.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/pages.h"

namespace headrace::cuda {
namespace {

constexpr int64_t most_scores = int64_t{1} << 24;

// Pattern (ops/kernels/pattern.h) with its lists on the device.
struct Seen {
  Pattern::Kind kind;
  int64_t block, extra, query_block;
  int list_heads;
  const uint8_t* global;                           // null: none
  const int64_t *begin, *first_list;               // of a sequence: its first list, over list_heads
  const int32_t *blocks, *positions;
};

struct Plan {
  AttentionArgs a;
  Keys keys;
  Seen seen;
  const int64_t *first_query, *first_key_row;      // by sequence
  double* scores;                                  // [rows of a launch, H, longest]
  int64_t longest, first_row;
};

struct Query {
  int s, h;
  int64_t t, i;                                    // of the sequence's queries, and its position
};

__device__ bool in_window(const AttentionArgs& a, int64_t i, int64_t j) {
  return (a.window_left <= 0 || j > i - a.window_left) && (a.window_right < 0 || j <= i + a.window_right);
}

// The chunk of i and the one before, the first's is the last; itself only where there is nothing else.
__device__ bool sees_sorted(const Plan& p, const Query& q, int64_t j) {
  const int64_t B = p.seen.block, length = p.keys.length[q.s], chunk = q.i / B, other = chunk > 0 ? chunk - 1 : (length - 1) / B;
  const int32_t* at = p.seen.positions + p.keys.offsets[q.s];
  auto allowed = [&](int64_t x) { return (x / B == chunk || x / B == other) && (p.a.window_right != 0 || at[x] <= at[q.i]); };
  if (!allowed(j)) return false;
  if (at[j] != at[q.i]) return true;
  for (int64_t x = 0; x < length; ++x)
    if (allowed(x) && at[x] != at[q.i]) return false;
  return true;
}
__device__ bool sees_listed(const Plan& p, const Query& q, int64_t j) {
  const Seen& n = p.seen;
  const int64_t list = (n.first_list[q.s] + q.t / n.query_block) * n.list_heads + q.h / (p.a.heads / n.list_heads), block = j / n.block;
  for (int64_t x = n.begin[list]; x < n.begin[list + 1]; ++x)
    if (n.blocks[x] == block) return true;
  return false;
}
__device__ bool sees(const Plan& p, const Query& q, int64_t j) {
  using Kind = Pattern::Kind;
  const Seen& n = p.seen;
  const int64_t i = q.i, B = n.block, row = p.first_key_row[q.s];
  const bool before = p.a.window_right != 0 || j <= i, within = in_window(p.a, i, j);
  if (n.global && before && (n.global[row + i] || n.global[row + j])) return true;
  switch (n.kind) {
    case Kind::window: return within;
    case Kind::strided: return within && (i - j) % B == 0;
    case Kind::fixed: return within && (i / B == j / B || j % B >= B - n.extra);
    case Kind::merged: return within && ((i - j) % B == 0 || (i < j ? j - i : i - j) < B);
    case Kind::first: return within || (before && j < n.extra);
    case Kind::behind: return within && j <= i - B;
    case Kind::chunks: return within && j / B <= i / B && j / B >= i / B - n.extra;
    case Kind::pooled: return (j + 1) * B <= i + 1;
    case Kind::listed: return before && sees_listed(p, q, j);
    case Kind::sorted: return sees_sorted(p, q, j);
  }
  return false;
}

// The sum of log gates after j up to i.
__device__ double gates_between(const AttentionArgs& a, float* const* pages, int h, int64_t j, int64_t i) {
  const int64_t at = int64_t{a.kv_heads} * page_tokens * (a.key + a.value) + int64_t{h} * page_tokens;
  auto sum = [&](int64_t page, int64_t place) { return double{pages[page][at + place]}; };
  double total = sum(i / page_tokens, i % page_tokens) - sum(j / page_tokens, j % page_tokens);
  for (int64_t p = j / page_tokens; p < i / page_tokens; ++p) total += sum(p, page_tokens - 1);
  return total;
}

__device__ void attend(const Plan& p, int64_t block) {
  const AttentionArgs& a = p.a;
  const int64_t row = p.first_row + block / a.heads;
  Query q{sequence_of(p.keys.offsets, p.keys.count, row), static_cast<int>(block % a.heads), 0, 0};
  q.t = row - p.keys.offsets[q.s], q.i = p.first_query[q.s] + q.t;
  const int h = q.h, g = h / (a.heads / a.kv_heads);
  const int64_t length = p.keys.length[q.s];
  float* const* pages = p.keys.pages + p.keys.first[q.s];
  const float* query = a.q + row * a.q_stride + int64_t{h} * a.key;
  double* x = p.scores + block * p.longest;        // [length]: scores, then weights
  int64_t count = 0;
  double top = -INFINITY;
  for (int64_t j = threadIdx.x; j < length; j += block_threads) {
    x[j] = -INFINITY;
    if (!pages[j / page_tokens] || !sees(p, q, j)) continue;
    x[j] = score_of(a, query, key_of(a, pages, g, j), h, q.i, j);
    if (a.gates) x[j] += gates_between(a, pages, h, j, q.i);
    top = fmax(top, x[j]), ++count;
  }
  count = block_sum(count), top = block_max(top);
  double lse = 0;
  if (a.alpha && count > 0) {
    const Entmax bent = entmax_of(a.alpha[h], length, count, [&](int64_t j) { return x[j]; });
    for (int64_t j = threadIdx.x; j < length; j += block_threads) x[j] = bent.value(x[j]);
    lse = bent.t;
  } else if (count > 0 || a.sinks) {
    if (a.sinks) top = fmax(top, double{a.sinks[h]});
    double total = 0;
    for (int64_t j = threadIdx.x; j < length; j += block_threads) total += exp(x[j] - top);
    total = block_sum(total) + (a.sinks ? exp(a.sinks[h] - top) : 0);
    lse = top + log(total);
    for (int64_t j = threadIdx.x; j < length; j += block_threads) x[j] = exp(x[j] - lse);
  }
  __syncthreads();
  for (int d = threadIdx.x; d < a.value; d += block_threads) {
    double sum = 0;
    for (int64_t j = 0; j < length && count > 0; ++j)
      if (x[j] != 0) sum += x[j] * value_of(a, pages, g, j)[d];   // a page that is gone has no weight
    a.y[row * a.y_stride + int64_t{h} * a.value + d] = static_cast<float>(sum);
  }
  if (a.lse && threadIdx.x == 0) a.lse[row * a.heads + h] = static_cast<float>(lse);
}

// The arrays that kernels read by sequence, and the pattern's own.
struct DevicePlan {
  DevicePages pages;
  Scratch<uint8_t> global;
  Scratch<int64_t> begin, first_list, first_query, first_key_row;
  Scratch<int32_t> blocks, positions;
  Plan plan;

  explicit DevicePlan(const AttentionArgs& a) : pages(a.sequences, a.keys), plan{} {
    static const Pattern everything;
    const Pattern& p = a.pattern ? *a.pattern : everything;
    std::vector<int64_t> lists, queries, key_rows;
    int64_t list = 0, longest = 0;
    for (int s = 0; s < a.sequences.count(); ++s) {
      lists.push_back(list), queries.push_back(a.first_query(s)), key_rows.push_back(a.first_key_row(s));
      if (p.query_block > 0) list += (a.sequences.offsets[s + 1] - a.sequences.offsets[s] + p.query_block - 1) / p.query_block;
      longest = std::max(longest, a.keys[s].length);
    }
    auto up = [](const auto& v) { return upload(std::span(v)); };
    global = up(p.global), begin = up(p.begin), first_list = up(lists), first_query = up(queries), first_key_row = up(key_rows);
    blocks = up(p.blocks), positions = up(p.positions);
    plan = {.a = a, .keys = pages.keys(),
            .seen = {.kind = p.kind, .block = p.block, .extra = p.extra, .query_block = p.query_block, .list_heads = p.list_heads,
                     .global = p.global.empty() ? nullptr : global.get(), .begin = begin.get(), .first_list = first_list.get(),
                     .blocks = blocks.get(), .positions = positions.get()},
            .first_query = first_query.get(), .first_key_row = first_key_row.get(), .scores = nullptr, .longest = longest, .first_row = 0};
  }
};

}  // namespace

void attention_with_options(const AttentionArgs& a) {
  const DevicePlan up(a);
  Plan plan = up.plan;
  const int64_t rows = a.sequences.tokens(), fit = most_scores / std::max<int64_t>(plan.longest * a.heads, 1);
  const int64_t at_once = std::min(std::max<int64_t>(fit, 1), rows);
  const auto scores = scratch<double>(at_once * a.heads * plan.longest);
  plan.scores = scores.get();
  for (; plan.first_row < rows; plan.first_row += at_once)
    for_blocks("attention", std::min(at_once, rows - plan.first_row) * a.heads, [=] __device__(int64_t block) { attend(plan, block); });
}

}  // namespace headrace::cuda
