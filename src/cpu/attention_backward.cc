// Backward of attention (Dao 2023, 2307.08691): for each block of queries and page of keys the weights are made again from the saved
// log of their denominator, so that memory is a few pages. With dP = dO V^T and D = dO.O - dlse:
//   dV += P^T dO,  dS = P (dP - D),  dQ += scale dS K,  dK += scale dS^T Q;  entmax: dS = s (dP - <s,dP>/sum s), s = P^(2-alpha).
// A task is a sequence and a query head; where heads share keys, each sums into its own part, and the parts are added in order.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/tasks.h"
#include "ops/kernels/entmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention_backward.cc"
#include "hwy/foreach_target.h"
#include "cpu/attention-inl.h"

#ifndef HEADRACE_CPU_ATTENTION_BACKWARD
#define HEADRACE_CPU_ATTENTION_BACKWARD
namespace headrace::cpu {

struct BackwardTask {
  int sequence, head;
  double cost;
  float *dk, *dv;                        // of the sequence's first new key, rows of one head
  int64_t dk_stride, dv_stride;
  double *dsink, *dslope, *dalpha;       // one number each
};

}  // namespace headrace::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t block_rows = 64;       // queries at a time

// The numbers of one row of queries.
struct RowBackward {
  float lse, delta, gate_sum;
};

void HeadBackward(const AttentionBackwardArgs& b, const PageSight& sight, const GateSums& gates, const BackwardTask& t) {
  const AttentionArgs& a = b.forward;
  const int K = a.key, W = a.value, h = t.head, g = h / (a.heads / a.kv_heads);
  const int64_t begin = a.sequences.offsets[t.sequence], n = a.sequences.offsets[t.sequence + 1] - begin;
  const KeyPages& keys = a.keys[t.sequence];
  const int64_t page_count = (keys.length + page_tokens - 1) / page_tokens, P = page_tokens, R = block_rows;
  const Bend bend{a.alpha ? a.alpha[h] - 1 : 0};
  std::vector<int64_t> pages;
  std::vector<uint64_t> words;
  // Keys as rows [64,K] and values as columns [V,64], page by page; their gradients; a block's q, dO, dQ; pairs of tiles.
  static thread_local std::vector<float> kept, block;
  kept.resize(static_cast<size_t>(page_count * P * 2 * (K + W)));
  float *key_rows = kept.data(), *value_columns = key_rows + page_count * P * K, *dk = value_columns + page_count * P * W,
        *dv = dk + page_count * P * K;
  std::fill(dk, kept.data() + std::ssize(kept), 0.f);
  for (int64_t p = 0; p < page_count; ++p) {
    if (!keys.pages[p]) continue;
    transpose(keys.pages[p] + int64_t{g} * K * P, P, K, P, key_rows + p * P * K, K, K);
    transpose(keys.pages[p] + int64_t{a.kv_heads} * P * K + int64_t{g} * P * W, W, P, W, value_columns + p * P * W, P, P);
  }
  double dsink = 0, dslope = 0, dalpha = 0;
  std::vector<double> dgates(b.dgates ? static_cast<size_t>(keys.length) : 0);
  RowBackward rows[block_rows];
  alignas(64) float local[page_tokens], slopes[page_tokens], cut[page_tokens];

  for (int64_t first = 0; first < n; first += R) {
    const int64_t M = std::min(R, n - first);
    sight.pages(h, 1, first, M, pages);
    const int64_t tiles = a.alpha ? std::ssize(pages) : 1;
    block.resize(static_cast<size_t>(R * (2 * K + W) + 2 * R * P * std::max<int64_t>(tiles, 1)));
    words.resize(static_cast<size_t>(R * std::max<int64_t>(tiles, 1)));
    float *q = block.data(), *dq = q + R * K, *dy = dq + R * K, *tile = dy + R * W;
    std::memset(dq, 0, static_cast<size_t>(R * K) * sizeof(float));
    for (int64_t m = 0; m < M; ++m) {
      const int64_t row = begin + first + m;
      const float *from = a.q + row * a.q_stride + int64_t{h} * K, *d = b.dy + row * b.dy_stride + int64_t{h} * W;
      strips(K, [&](auto s) { s.store(hn::Mul(s.load(from), set(a.scale)), q + m * K); });
      std::memcpy(dy + m * W, d, static_cast<size_t>(W) * sizeof(float));
      const float lse = a.lse[row * a.heads + h];
      const float delta = dot(d, a.y + row * a.y_stride + int64_t{h} * W, W) - (b.dlse ? b.dlse[row * a.heads + h] : 0);
      rows[m] = {lse, delta, 0};
      if (a.sinks) dsink -= std::exp(double{a.sinks[h]} - lse) * delta;
    }
    // Products of one page: scores before bias, and dP. False: nothing is seen of it.
    auto products = [&](int64_t page, float* s, float* dp, uint64_t* w) {
      uint64_t any = 0;
      for (int64_t m = 0; m < M; ++m) any |= w[m] = keys.pages[page] ? sight.of(h, first + m, page) : 0;
      if (any == 0) return false;
      product<false>(M, P, {q, K, 1, keys.pages[page] + int64_t{g} * K * P, P, s, P, K});
      product<false>(M, P, {dy, W, 1, value_columns + page * P * W, P, dp, P, W});
      return true;
    };
    auto biased = [&](int64_t m, int64_t page, uint64_t word, const float* s) {
      finish_scores(a.cap, Bias(a, gates, sight, t.sequence, h, first + m, page), word, s, local);
    };
    // Scores become weights and dP becomes dS of the products.
    auto turn = [&](int64_t m, int64_t page, uint64_t word, float* s, float* dp) {
      if (word == 0) {
        std::memset(s, 0, P * sizeof(float)), std::memset(dp, 0, P * sizeof(float));
        return;
      }
      RowBackward& r = rows[m];
      const bool plain = a.cap <= 0 && !a.slopes && !a.gates;
      if (!a.alpha && plain) {
        const V lse = set(r.lse), delta = set(r.delta);
        page_strips(word, [&](auto v, auto mask) {
          const V p = hn::IfThenElseZero(mask, exp_through(hn::Min(set(0.f), hn::Sub(v.load(s), lse))));
          v.store(p, s);
          v.store(hn::IfThenElseZero(mask, hn::Mul(p, hn::Sub(v.load(dp), delta))), dp);
        });
        return;
      }
      biased(m, page, word, s);
      if (a.cap > 0) strips(P, [&](auto v) { V c = tanh_of(hn::Div(v.load(s), set(a.cap))); v.store(hn::NegMulAdd(c, c, set(1)), cut); });
      const V lse = set(r.lse), delta = set(r.delta);
      page_strips(word, [&](auto v, auto mask) {
        V p, slope;
        if (a.alpha) {
          auto both = bend.at(hn::Sub(v.load(local), lse));
          p = both.p, slope = both.slope;
        } else {
          p = slope = exp_through(hn::Sub(v.load(local), lse));
        }
        v.store(hn::IfThenElseZero(mask, p), s);
        v.store(hn::IfThenElseZero(mask, hn::Mul(slope, hn::Sub(v.load(dp), delta))), dp);
      });
      if (t.dslope) {
        V sum = set(0);
        const V i = set(static_cast<float>(sight.past() + first + m - page * P));
        strips(P, [&](auto v) { sum = hn::MulAdd(v.load(dp), hn::Sub(i, hn::Iota(D(), static_cast<float>(v.i))), sum); });
        dslope -= double{sum_of(sum)};
      }
      if (b.dgates) {
        V sum = set(0);
        strips(P, [&](auto v) { sum = hn::Add(sum, v.load(dp)); });
        r.gate_sum += sum_of(sum);
        for (int64_t j = 0; j < std::min(P, keys.length - page * P); ++j) dgates[static_cast<size_t>(page * P + j)] -= dp[j];
      }
      if (a.cap > 0) strips(P, [&](auto v) { v.store(hn::Mul(v.load(dp), v.load(cut)), dp); });
    };
    auto accumulate = [&](int64_t page, const float* s, const float* dp) {
      product<true>(P, W, {s, 1, P, dy, W, dv + page * P * W, W, M});
      product<true>(P, K, {dp, 1, P, q, K, dk + page * P * K, K, M});
      product<true>(M, K, {dp, P, 1, key_rows + page * P * K, K, dq, K, P});
    };
    auto finish = [&](int64_t page, float* s, float* dp, const uint64_t* w) {
      for (int64_t m = 0; m < M; ++m) turn(m, page, w[m], s + m * P, dp + m * P);
      accumulate(page, s, dp);
    };
    if (!a.alpha) {
      for (int64_t page : pages)
        if (products(page, tile, tile + R * P, words.data())) finish(page, tile, tile + R * P, words.data());
    } else {                             // all pages of the block first: delta is known after them
      std::vector<double> over(static_cast<size_t>(M)), total(static_cast<size_t>(M)), bent(static_cast<size_t>(M)), along(static_cast<size_t>(M));
      std::vector<char> seen(pages.size());
      for (size_t i = 0; i < pages.size(); ++i) {
        float *s = tile + static_cast<int64_t>(i) * 2 * R * P, *dp = s + R * P;
        uint64_t* w = words.data() + static_cast<int64_t>(i) * R;
        seen[i] = products(pages[i], s, dp, w);
        for (int64_t m = 0; m < M && seen[i]; ++m) {
          if (w[m] == 0) continue;
          biased(m, pages[i], w[m], s + m * P);
          const V lse = set(rows[m].lse);
          V sum = set(0), mean = set(0);
          page_strips(w[m], [&](auto v, auto mask) {
            const V d = hn::IfThenElseZero(mask, bend.at(hn::Sub(v.load(local), lse)).slope);
            sum = hn::Add(sum, d), mean = hn::MulAdd(d, v.load(dp + m * P), mean);
            v.store(d, slopes);
          });
          total[static_cast<size_t>(m)] += sum_of(sum), over[static_cast<size_t>(m)] += sum_of(mean);
          if (!t.dalpha) continue;
          const Entmax row(bend.beta + 1.0, double{rows[m].lse});   // differences of near numbers: in double
          for (int64_t j = 0; j < P; ++j)
            if (slopes[j] != 0) {
              const double r = row.in_alpha(local[j]);
              bent[static_cast<size_t>(m)] += r, along[static_cast<size_t>(m)] += r * dp[m * P + j];
            }
        }
      }
      for (int64_t m = 0; m < M; ++m) {
        const size_t i = static_cast<size_t>(m);
        const double mean = total[i] > 0 ? over[i] / total[i] : 0;
        rows[m].delta = static_cast<float>(mean);
        dalpha += along[i] - mean * bent[i];
      }
      for (size_t i = 0; i < pages.size(); ++i) {
        float* s = tile + static_cast<int64_t>(i) * 2 * R * P;
        if (seen[i]) finish(pages[i], s, s + R * P, words.data() + static_cast<int64_t>(i) * R);
      }
    }
    for (int64_t m = 0; m < M; ++m) {
      float* to = b.dq + ((begin + first + m) * a.heads + h) * K;
      strips(K, [&](auto s) { s.store(hn::Mul(s.load(dq + m * K), set(a.scale)), to); });
      if (b.dgates) dgates[static_cast<size_t>(sight.past() + first + m)] += rows[m].gate_sum;
    }
  }
  const int64_t old = a.key_sequences.offsets.empty() ? keys.length - n : 0;   // keys of before are constant
  for (int64_t j = old; j < keys.length; ++j) {
    std::memcpy(t.dk + (j - old) * t.dk_stride, dk + j * K, static_cast<size_t>(K) * sizeof(float));
    std::memcpy(t.dv + (j - old) * t.dv_stride, dv + j * W, static_cast<size_t>(W) * sizeof(float));
  }
  if (b.dgates) {                        // a gate meets every pair that it stands between
    double sum = 0;
    for (int64_t i = n - 1; i >= 0; --i) b.dgates[(begin + i) * a.heads + h] = static_cast<float>(sum += dgates[static_cast<size_t>(old + i)]);
  }
  if (t.dsink) *t.dsink = dsink;
  if (t.dslope) *t.dslope = dslope;
  if (t.dalpha) *t.dalpha = dalpha;
}

// to += from
void AddFloats(const float* from, int64_t n, float* to) {
  strips(n, [&](auto s) { s.store(hn::Add(s.load(to), s.load(from)), to); });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(HeadBackward);
HWY_EXPORT(AddFloats);

void attention_backward(const AttentionBackwardArgs& b) {
  const AttentionArgs& a = b.forward;
  const int H = a.heads, G = a.heads / a.kv_heads, K = a.key, W = a.value, S = a.sequences.count();
  const int64_t key_rows = (a.key_sequences.offsets.empty() ? a.sequences : a.key_sequences).tokens();
  std::vector<float> parts(G > 1 ? static_cast<size_t>(key_rows * H * (K + W)) : 0);   // dk [H,rows,K], then dv [H,rows,V]
  std::vector<double> numbers(static_cast<size_t>(3 * S * H));                         // dsink, dslope, dalpha by sequence and head
  const GateSums gates(a);
  std::vector<PageSight> sights;
  std::vector<BackwardTask> tasks;
  std::vector<int64_t> pages;
  for (int s = 0; s < S; ++s) {
    const PageSight& sight = sights.emplace_back(a, s);
    const int64_t n = a.sequences.offsets[s + 1] - a.sequences.offsets[s], row = a.first_key_row(s);
    double cost = 1;
    for (int64_t first = 0; first < n; first += 64) {
      sight.pages(0, H, first, std::min<int64_t>(64, n - first), pages);
      cost += 64 * static_cast<double>(std::ssize(pages));
    }
    for (int h = 0; h < H; ++h) {
      const int64_t at = (int64_t{h} * key_rows + row);
      double* mine = numbers.data() + 3 * (s * H + h);
      BackwardTask t{s, h, cost, b.dk + (row * H + h) * K, b.dv + (row * H + h) * W, int64_t{H} * K, int64_t{H} * W,
                     b.dsinks ? mine : nullptr, b.dslopes ? mine + 1 : nullptr, b.dalpha ? mine + 2 : nullptr};
      if (G > 1) t.dk = parts.data() + at * K, t.dv = parts.data() + key_rows * H * K + at * W, t.dk_stride = K, t.dv_stride = W;
      tasks.push_back(t);
    }
  }
  parallel_tasks(tasks, 200000.0 / (2 * page_tokens * (K + W)),
                 [&](const BackwardTask& t) { HWY_DYNAMIC_DISPATCH(HeadBackward)(b, sights[static_cast<size_t>(t.sequence)], gates, t); });
  if (G > 1)
    parallel(key_rows, std::max<int64_t>(1, 16384 / (int64_t{H} * (K + W))), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r)
        for (int h = 0; h < H; ++h) {
          const int64_t at = int64_t{h} * key_rows + r, to = r * a.kv_heads + h / G;
          auto add = [&](const float* from, int64_t width, float* sum) {
            if (h % G == 0) std::memcpy(sum, from, static_cast<size_t>(width) * sizeof(float));
            else HWY_DYNAMIC_DISPATCH(AddFloats)(from, width, sum);
          };
          add(parts.data() + at * K, K, b.dk + to * K);
          add(parts.data() + key_rows * H * K + at * W, W, b.dv + to * W);
        }
    });
  float* results[] = {b.dsinks, b.dslopes, b.dalpha};
  for (int i = 0; i < 3; ++i)
    for (int h = 0; results[i] && h < H; ++h) {
      double sum = 0;
      for (int s = 0; s < S; ++s) sum += numbers[static_cast<size_t>(3 * (s * H + h) + i)];
      results[i][h] = static_cast<float>(sum);
    }
}

}  // namespace headrace::cpu
#endif
