// The definition of attention, in double precision: o_t = sum_s softmax_s(cap(scale q_t.k_s) - slope (t-s)) v_s (Vaswani et al. 2017
// and options).
#include "ops/naive_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/kernels/entmax.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys) {
  for (int s = 0; s < sequences.count(); ++s) {
    int64_t n = sequences.offsets[s + 1] - sequences.offsets[s], past = keys[s].length - n;
    for (int64_t t = 0; t < n; ++t) {
      float* page = keys[s].pages[(past + t) / page_tokens];
      int64_t row = sequences.offsets[s] + t, at = (past + t) % page_tokens;
      for (int h = 0; h < kv_heads; ++h) {
        for (int i = 0; i < key; ++i) page[(h * key + i) * page_tokens + at] = k[row * k_stride + h * key + i];
        float* values = page + int64_t{kv_heads} * page_tokens * key;
        for (int i = 0; i < value; ++i) values[(h * page_tokens + at) * value + i] = v[row * v_stride + h * value + i];
      }
    }
  }
}

namespace {

bool in_window(const AttentionArgs& a, int64_t i, int64_t j) {
  return (a.window_left <= 0 || j > i - a.window_left) && (a.window_right < 0 || j <= i + a.window_right);
}
// Whether the token at place i, query t of the sequence, sees key j.
bool sees(const AttentionArgs& a, int s, int h, int64_t t, int64_t i, int64_t j) {
  using Kind = Pattern::Kind;
  const bool before = a.window_right != 0 || j <= i;
  if (!a.pattern) return in_window(a, i, j);
  const Pattern& p = *a.pattern;
  const int64_t B = p.block;
  if (!p.global.empty() && before && (p.global[a.first_key_row(s) + i] || p.global[a.first_key_row(s) + j])) return true;
  switch (p.kind) {
    case Kind::window: return in_window(a, i, j);
    case Kind::strided: return in_window(a, i, j) && (i - j) % B == 0;
    case Kind::fixed: return in_window(a, i, j) && (i / B == j / B || j % B >= B - p.extra);
    case Kind::merged: return in_window(a, i, j) && ((i - j) % B == 0 || std::abs(i - j) < B);
    case Kind::first: return in_window(a, i, j) || (before && j < p.extra);
    case Kind::behind: return in_window(a, i, j) && j <= i - B;
    case Kind::chunks: return in_window(a, i, j) && j / B <= i / B && j / B >= i / B - p.extra;
    case Kind::pooled: return (j + 1) * B <= i + 1;
    case Kind::listed: {
      int64_t list = 0;
      for (int r = 0; r < s; ++r) list += (a.sequences.offsets[r + 1] - a.sequences.offsets[r] + p.query_block - 1) / p.query_block;
      list = (list + t / p.query_block) * p.list_heads + h / (a.heads / p.list_heads);
      const auto from = p.blocks.begin() + p.begin[list], to = p.blocks.begin() + p.begin[list + 1];
      return before && std::find(from, to, j / B) != to;
    }
    case Kind::sorted: {
      const int64_t last = (a.keys[s].length - 1) / B, chunk = i / B, other = chunk > 0 ? chunk - 1 : last;
      const int32_t* at = p.positions.data() + a.sequences.offsets[s];
      auto near = [&](int64_t x) { return x / B == chunk || x / B == other; };
      auto allowed = [&](int64_t x) { return near(x) && (a.window_right != 0 || at[x] <= at[i]); };
      if (!allowed(j)) return false;
      if (at[j] != at[i]) return true;
      for (int64_t x = 0; x < a.keys[s].length; ++x)
        if (allowed(x) && at[x] != at[i]) return false;
      return true;
    }
  }
  return false;
}
// The sum of log gates after j up to i.
double gates_between(const AttentionArgs& a, int s, int h, int64_t j, int64_t i) {
  const int64_t at = int64_t{a.kv_heads} * page_tokens * (a.key + a.value) + int64_t{h} * page_tokens;
  auto sum = [&](int64_t page, int64_t place) { return double{a.keys[s].pages[page][at + place]}; };
  double total = sum(i / page_tokens, i % page_tokens) - sum(j / page_tokens, j % page_tokens);
  for (int64_t p = j / page_tokens; p < i / page_tokens; ++p) total += sum(p, page_tokens - 1);
  return total;
}

}  // namespace

SeenRow seen_row(const AttentionArgs& a, int s, int h, int64_t t) {
  SeenRow r;
  const int64_t i = a.first_query(s) + t;
  const float* q = query(a, s, h, t);
  double top = a.sinks ? a.sinks[h] : -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < a.keys[s].length; ++j) {
    if (!a.keys[s].pages[j / page_tokens] || !sees(a, s, h, t, i, j)) continue;
    const float* k = key_of(a, s, h, j);
    double dot = 0, cut = 1;
    for (int d = 0; d < a.key; ++d) dot += double{q[d]} * k[d * page_tokens];
    dot *= a.scale;
    if (a.cap > 0) {
      const double c = std::tanh(dot / a.cap);
      dot = a.cap * c, cut = 1 - c * c;
    }
    if (a.slopes) dot -= double{a.slopes[h]} * static_cast<double>(i - j);
    if (a.gates) dot += gates_between(a, s, h, j, i);
    r.keys.push_back(j), r.scores.push_back(dot), r.cut.push_back(cut);
    top = std::max(top, dot);
  }
  if (r.keys.empty() && !a.sinks) return r;
  if (a.alpha) {
    const Entmax p(r.scores, a.alpha[h]);
    for (double x : r.scores) r.weights.push_back(p.value(x));
    r.lse = p.t;
    return r;
  }
  double total = a.sinks ? std::exp(a.sinks[h] - top) : 0;
  for (double x : r.scores) total += std::exp(x - top);
  r.lse = top + std::log(total);
  for (double x : r.scores) r.weights.push_back(std::exp(x - r.lse));
  return r;
}

void attention(const AttentionArgs& a) {
  for (int s = 0; s < a.sequences.count(); ++s) {
    const int64_t begin = a.sequences.offsets[s];
    for (int64_t t = 0; t < a.sequences.offsets[s + 1] - begin; ++t)
      for (int h = 0; h < a.heads; ++h) {
        const SeenRow r = seen_row(a, s, h, t);
        std::vector<double> out(static_cast<size_t>(a.value));
        for (size_t x = 0; x < r.keys.size(); ++x) {
          const float* v = value_of(a, s, h, r.keys[x]);
          for (int d = 0; d < a.value; ++d) out[static_cast<size_t>(d)] += r.weights[x] * v[d];
        }
        float* y = a.y + (begin + t) * a.y_stride + int64_t{h} * a.value;
        for (int d = 0; d < a.value; ++d) y[d] = static_cast<float>(out[static_cast<size_t>(d)]);
        if (a.lse) a.lse[(begin + t) * a.heads + h] = static_cast<float>(r.lse);
      }
  }
}

}  // namespace headrace::naive
