// Attention over pages of keys, with the softmax computed online (Milakov and Gimelshein 2018; Dao et al. 2022), so that
// memory is a page of scores per block of queries. The queries of one key head, times a block of tokens, are the rows of
// two small products per page: scores [rows,64] = q [rows,K] keys [K,64], then out [rows,V] += weights [rows,64] values [64,V].
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
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

// The keys [low, high) that query i of a sequence of `length` keys sees, none where low >= high.
struct Sight { int64_t low, high; };
inline Sight sight(const AttentionArgs& a, int64_t i, int64_t length) {
  const int64_t high = a.window_right < 0 ? length : std::min(length, i + a.window_right + 1);
  return {a.window_left > 0 ? std::max<int64_t>(0, i - a.window_left + 1) : 0, a.pattern ? std::min(high, i - a.pattern->block + 1) : high};
}
// A window, or one that lies behind.
inline bool one_range(const AttentionArgs& a) {
  if (a.plain()) return true;
  return !a.alpha && !a.gates && a.key_sequences.offsets.empty() && a.pattern->kind == Pattern::Kind::behind && a.pattern->global.empty();
}

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// exp(x) for x <= 88, within 3e-7; below -87 what is left is 1e-38. 2^n goes to the exponent bits: of `shifted`, the low ones are n.
HWY_INLINE V exp_small(V x) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V log2_e = set(1.44269504f), magic = set(12582912.f);          // 1.5 * 2^23
  x = hn::Max(set(-87.f), x);
  const V shifted = hn::MulAdd(x, log2_e, magic), f = hn::MulSub(x, log2_e, hn::Sub(shifted, magic));
  V p = hn::MulAdd(set(1.5403530e-4f), f, set(1.3333558e-3f));         // of 2^f, |f| <= 1/2: Taylor's
  p = hn::MulAdd(p, f, set(9.6181291e-3f));
  p = hn::MulAdd(p, f, set(5.5504109e-2f));
  p = hn::MulAdd(p, f, set(2.4022651e-1f));
  p = hn::MulAdd(p, f, set(6.9314718e-1f));
  p = hn::MulAdd(p, f, set(1.f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

// What was seen of a row: its weights are exp(score - top). The top follows the largest score at a distance, so that `out` and
// `totals` [lanes] are scaled again in few pages only; a weight is at most exp(slack).
constexpr float slack = 8;
struct Row {
  float top;
  bool seen;                             // something: top counts
};
constexpr int vector_floats = HWY_TARGET == HWY_AVX2 ? 8 : 16, page_vectors = page_tokens / vector_floats;
struct Places { int64_t from, to; };     // of a page

// Scores of a row in the places [all.from, all.to), whole vectors, become weights; outside of `mine` they are 0.
template <bool whole>
HWY_INLINE void weigh_places(const AttentionArgs& a, float slope, int64_t distance, Places all, Places mine, float* score, Row& row, float* totals,
                             float* out) {
  const D d;
  const int first = static_cast<int>(all.from) / vector_floats, last = static_cast<int>(all.to) / vector_floats;
  auto inside = [&](int v) {
    const V place = hn::Iota(d, static_cast<float>(v * vector_floats));
    return hn::And(hn::Ge(place, set(static_cast<float>(mine.from))), hn::Lt(place, set(static_cast<float>(mine.to))));
  };
  V high = set(-HUGE_VALF);
  for (int v = first; v < last; ++v) {
    float* p = score + v * vector_floats;
    V x = hn::LoadU(d, p);
    if (a.cap > 0) x = hn::Mul(set(a.cap), tanh_of(hn::Div(x, set(a.cap))));
    if (slope != 0) x = hn::MulAdd(set(slope), hn::Sub(hn::Iota(d, static_cast<float>(v * vector_floats)), set(static_cast<float>(distance))), x);
    if constexpr (!whole) x = hn::IfThenElse(inside(v), x, set(-HUGE_VALF));
    if (!whole || a.cap > 0 || slope != 0) hn::StoreU(x, d, p);
    high = hn::Max(high, x);
  }
  if (!row.seen || !hn::AllFalse(d, hn::Gt(high, set(row.top + slack)))) {
    const float top = max_of(high);
    if (row.seen) {
      const V keep = exp_small(set(row.top - top));
      hn::StoreU(hn::Mul(hn::LoadU(d, totals), keep), d, totals);
      strips(a.value, [&](auto s) { s.store(hn::Mul(s.load(out), keep), out); });
    }
    row = {top, true};
  }
  const V top = set(row.top);
  V sum = hn::LoadU(d, totals);
  for (int v = first; v < last; ++v) {
    float* p = score + v * vector_floats;
    V x = exp_small(hn::Sub(hn::LoadU(d, p), top));
    if constexpr (!whole) x = hn::IfThenElseZero(inside(v), x);
    sum = hn::Add(sum, x);
    hn::StoreU(x, d, p);
  }
  hn::StoreU(sum, d, totals);
}

void Attend(const AttentionArgs& a, const AttentionTask& t, float* partials) {
  const int G = a.heads / a.kv_heads, K = a.key, W = a.value;
  const int64_t M = t.tokens * G, begin = a.sequences.offsets[t.sequence], n = a.sequences.offsets[t.sequence + 1] - begin;
  const KeyPages& keys = a.keys[t.sequence];
  const int64_t past = keys.length - n;
  static thread_local std::vector<float> scratch;
  static thread_local std::vector<Row> rows;
  constexpr int64_t pad = 16, S = page_tokens + pad;         // floats: rows a power of two apart would share the cache's few places
  const int64_t Q = K + pad, O = W + pad;
  scratch.resize(static_cast<size_t>(M * (Q + S + O + vector_floats)));
  rows.resize(static_cast<size_t>(M));
  float *q = scratch.data(), *score = q + M * Q, *out = score + M * S, *totals = out + M * O;
  std::memset(out, 0, static_cast<size_t>(M * (O + vector_floats)) * sizeof(float));
  for (int64_t m = 0; m < M; ++m) {
    const int64_t token = t.first + m / G, head = t.kv_head * G + m % G;
    const float* from = a.q + (begin + token) * a.q_stride + head * K;
    strips(K, [&](auto s) { s.store(hn::Mul(s.load(from), set(a.scale)), q + m * Q); });
    const bool sink = a.sinks && t.opens;
    rows[static_cast<size_t>(m)] = {sink ? a.sinks[head] : 0, sink};
    totals[m * vector_floats] = sink;
  }
  for (int64_t page = t.begin; page < t.end; ++page) {
    if (!keys.pages[page]) continue;                        // has left every window
    const int64_t first = page * page_tokens, stored = std::min<int64_t>(page_tokens, keys.length - first);
    auto places = [&](int64_t token) -> Places {
      const auto [low, high] = sight(a, past + t.first + token, keys.length);
      return {std::clamp<int64_t>(low - first, 0, stored), std::clamp<int64_t>(high - first, 0, stored)};
    };
    const int64_t from = places(0).from / vector_floats * vector_floats, end = places(t.tokens - 1).to;   // what any of the tokens sees
    const int64_t to = (end + vector_floats - 1) / vector_floats * vector_floats;
    if (from >= to) continue;
    const float* k = keys.pages[page] + int64_t{t.kv_head} * K * page_tokens;
    const float* v = keys.pages[page] + int64_t{a.kv_heads} * page_tokens * K + int64_t{t.kv_head} * page_tokens * W;
    const bool more = page + 1 < t.end && keys.pages[page + 1];
    const int64_t next = more ? keys.pages[page + 1] - keys.pages[page] : 0;
    product<false>(M, to - from, {q, Q, 1, k + from, page_tokens, score + from, S, K, more ? k + next : nullptr});
    for (int64_t m = 0; m < M; ++m) {
      const Places mine = places(m / G);
      float* s = score + m * S;
      if (mine.from >= mine.to) {
        std::fill(s + from, s + to, 0.f);
        continue;
      }
      const float slope = a.slopes ? a.slopes[t.kv_head * G + m % G] : 0;
      const int64_t distance = past + t.first + m / G - first;            // of the query from the page's first place
      auto weigh_row = mine.from <= from && mine.to >= to ? weigh_places<true> : weigh_places<false>;
      weigh_row(a, slope, distance, {from, to}, mine, s, rows[static_cast<size_t>(m)], totals + m * vector_floats, out + m * O);
    }
    product<true>(M, W, {score + from, S, 1, v + from * W, W, out, O, end - from, more ? v + next : nullptr});
  }
  for (int64_t m = 0; m < M; ++m) {
    const Row r = rows[static_cast<size_t>(m)];
    const float total = sum_of(hn::LoadU(D(), totals + m * vector_floats));
    if (t.partial >= 0) {
      float* p = partials + t.partial + m * (W + 2);
      p[0] = r.seen ? r.top : -std::numeric_limits<float>::infinity(), p[1] = total;
      std::memcpy(p + 2, out + m * O, static_cast<size_t>(W) * sizeof(float));
    } else {
      float* y = a.y + (begin + t.first + m / G) * a.y_stride + (int64_t{t.kv_head} * G + m % G) * W;
      const V inverse = set(total == 0 ? 0 : 1 / total);
      strips(W, [&](auto s) { s.store(hn::Mul(s.load(out + m * O), inverse), y); });
      if (a.lse) a.lse[(begin + t.first + m / G) * a.heads + t.kv_head * G + m % G] = total == 0 ? 0 : r.top + std::log(total);
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
    if (a.lse) a.lse[(begin + m / G) * a.heads + c.kv_head * G + m % G] = total == 0 ? 0 : top + std::log(total);
    for (int j = 0; total != 0 && j < W; ++j) y[j] /= total;
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
  if (!one_range(a)) return strided_alone(a) ? attention_strided(a) : attention_with_options(a);
  const int G = a.heads / a.kv_heads;
  const int64_t unit = 24 / std::gcd(G, 24);                  // tokens whose rows fill the products' tiles, of 12 or 6 rows and of 8
  const int64_t block = unit * std::max<int64_t>(1, 3072 / std::max(a.key, 1) / (unit * G));   // and whose queries fill half of the cache
  std::vector<AttentionTask> tasks;
  std::vector<Cut> cuts;
  size_t floats = 0;
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], length = a.keys[s].length, past = length - n;
    for (int64_t first = 0; first < n; first += n <= few_tokens ? n : block) {
      const int64_t tokens = n <= few_tokens ? n : std::min(block, n - first);
      const int64_t low = sight(a, past + first, length).low, high = sight(a, past + first + tokens - 1, length).high;
      const int64_t begin = low / page_tokens, end = std::max(begin, (high + page_tokens - 1) / page_tokens);
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
