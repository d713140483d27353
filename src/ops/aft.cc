// AFT's weighted means (Zhai et al. 2021, 2105.14103; equations: aft.h), composed of ops, so their gradients come from the tape.
// Sums of e^(k + w) become products of e^k and e^w where both lie within the range of f32, and go row by row where they do not.
#include "ops/aft.h"

#include <algorithm>
#include <cmath>

#include "ops/run.h"
#include "ops/running_max.h"
#include "ops/sequence.h"
#include "ops/whole.h"

namespace headrace {
namespace {

constexpr const char* op = "aft";
constexpr float nothing = -1e30f;                          // the log weight of a token before the first

void check(const Tensor& k, const Tensor& v, const Slot& slot) {
  check_rows(op, k, slot);
  expect(k.rank() == 2 && v.shape() == k.shape(), op, ": k ", k.shape(), " v ", v.shape());
  expect(k.device() != Device::cuda, op, ": not known on ", k.device());
}

// The largest of each column, and the most that values of one column lie apart.
struct Columns { Tensor largest; float apart = 0; };
Columns columns_of(const Tensor& x) {
  Columns s{Tensor::empty({x.dim(1)}, DType::f32, x.device())};
  for (int64_t c = 0; c < x.dim(1); ++c) {
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < x.dim(0); ++i) {
      const float v = x.f32()[i * x.stride(0) + c];
      low = std::min(low, v), high = std::max(high, v);
    }
    s.largest.f32()[c] = high, s.apart = std::max(s.apart, high - low);
  }
  return s;
}
// The same of rows, each over the columns it sees: `first` + 1 in row 0 and one more in each, or all. mask: 1 for those.
struct SeenRows { Tensor largest, mask; float apart = 0; };
SeenRows rows_seen(const Tensor& w, int64_t first, bool causal) {
  const int64_t n = w.dim(0), L = w.dim(1);
  SeenRows s{Tensor::empty({n, 1}, DType::f32, w.device()), causal ? Tensor::zeros({n, L}, DType::f32, w.device()) : Tensor{}};
  for (int64_t t = 0; t < n; ++t) {
    const float* row = w.f32() + t * w.stride(0);
    const int64_t end = causal ? first + t + 1 : L;
    const auto [low, high] = std::minmax_element(row, row + end);
    s.largest.f32()[t] = *high, s.apart = std::max(s.apart, *high - *low);
    if (causal) std::fill_n(s.mask.f32() + t * L, end, 1.f);
  }
  return s;
}

// Keys and values [L,C] of a sequence, its queries the tokens first, first + 1, ...; w [n,L].
Tensor weighted(const Tensor& k, const Tensor& v, const Tensor& w, int64_t first, bool causal) {
  const int64_t n = w.dim(0), C = k.dim(1);
  if (k.device() == Device::meta) return Tensor::empty({n, C}, DType::f32, Device::meta);
  if (n > 4) {
    // No sum of a row is then below e^-40, so that quotients and their slopes, over squares, are numbers of f32.
    constexpr float most_apart = 40;
    const Columns keys = columns_of(k);
    const SeenRows seen = rows_seen(w, first, causal);
    if (keys.apart + seen.apart <= most_apart) {
      const Tensor all = exp(w - seen.largest), E = causal ? all * seen.mask : all, A = exp(k - keys.largest);
      return matmul(E, A * v) * reciprocal(matmul(E, A));
    }
  }
  const Tensor kt = transposed(k), vt = transposed(v);   // [C,L]
  std::vector<Tensor> rows;
  for (int64_t t = 0; t < n; ++t) {
    const int64_t seen = causal ? first + t + 1 : k.dim(0);
    const Tensor p = softmax(kt.slice(1, 0, seen) + w.slice(0, t, 1).slice(1, 0, seen).view({seen}));
    rows.push_back(sum_columns(p * vt.slice(1, 0, seen)).view({1, C}));
  }
  return concat_rows(rows);
}

// The keys and values of a sequence's earlier tokens; those of this call are added.
struct Kept { Tensor k, v; };
Kept remember(SlotValue& state, const Tensor& k, const Tensor& v) {
  const PauseTape pause;
  const int64_t C = k.dim(1), P = state.length, n = k.dim(0);
  for (const Tensor& p : state.pages)
    expect(p.count() == 2 * C * page_tokens, op, ": a saved page of ", p.count(), " numbers where ", 2 * C * page_tokens, " are needed");
  const auto gathered = [&](int64_t row) {
    std::vector<Tensor> parts;
    for (int64_t t = 0; t < P; t += page_tokens)
      parts.push_back(state.pages[static_cast<size_t>(t / page_tokens)].view({2 * C, page_tokens}).slice(0, row, C).slice(1, 0,
          std::min<int64_t>(page_tokens, P - t)));
    return parts.empty() ? Tensor{} : transposed(concat(parts));
  };
  const Kept kept{gathered(0), gathered(C)};
  if (P % page_tokens != 0 && state.pages.back().storage().use_count() > 1) state.pages.back() = state.pages.back().contiguous_copy();
  for (int64_t t = 0; t < n;) {
    const int64_t place = (P + t) % page_tokens, m = std::min(n - t, page_tokens - place);
    if (place == 0) state.pages.push_back(Tensor::zeros({2 * C * page_tokens}, DType::f32, k.device()));
    const Tensor part = state.pages.back().view({2 * C, page_tokens}).slice(1, place, m);
    Tensor keys = part.slice(0, 0, C), values = part.slice(0, C, C);
    copy_into(transposed(k.slice(0, t, m)), keys);
    copy_into(transposed(v.slice(0, t, m)), values);
    t += m;
  }
  state.length += n;
  return kept;
}
Tensor after(const Tensor& before, const Tensor& rows) { return before ? concat_rows({before, rows}) : rows; }

}  // namespace

Tensor aft_full(const Tensor& k, const Tensor& v, const Tensor& w, bool causal, const Slot& slot) {
  check(k, v, slot);
  expect(w.rank() == 2 && w.dim(0) == w.dim(1), op, ": w ", w.shape(), ", wanted [T,T]");
  if (!causal) expect_whole(op, slot);
  if (k.dim(0) == 0) return like(k);
  return each_sequence(slot.sequences, [&](int64_t first, int64_t n, int s) {
    const Tensor keys = k.slice(0, first, n), values = v.slice(0, first, n);
    SlotValue* state = slot.values.empty() ? nullptr : slot.values[static_cast<size_t>(s)];
    const int64_t P = state ? state->length : 0;
    expect(P + n <= w.dim(0), op, ": ", P + n, " tokens where there are weights for ", w.dim(0), " positions");
    const Kept kept = state ? remember(*state, keys, values) : Kept{};
    return weighted(after(kept.k, keys), after(kept.v, values), w.slice(0, P, n).slice(1, 0, P + n), P, causal);
  });
}

Tensor aft_near(const AftNear& x, std::span<const int32_t> positions, const Slot& near, const Slot& most, const Slot& sums) {
  check(x.k, x.v, near);
  const int64_t N = x.k.dim(0), C = x.k.dim(1), W = x.window, T_max = x.w.dim(0);
  const bool by_distance = x.w.shape() == Shape({C, W});
  expect(W >= 1 && (by_distance || x.w.shape() == Shape({T_max, T_max})), op, ": w ", x.w.shape(), " for ", C, " channels, window ", W);
  for (const int32_t p : positions)
    expect(by_distance || p < T_max, op, ": ", p + 1, " tokens where there are weights for ", T_max, " positions");
  if (N == 0) return like(x.k);
  const Device device = x.k.device();

  // Of each sequence the W tokens before, then this call's: token t at row W + t, so the token that leaves its window at row t.
  const States window = states(near, {2, W * C}, device, op, Beginning{0, nothing});
  std::vector<Tensor> keys, values;
  for (int s = 0; s < near.sequences.count(); ++s) {
    const int64_t first = near.sequences.offsets[s], n = near.sequences.offsets[s + 1] - first;
    SlotValue* state = near.values.empty() ? nullptr : near.values[static_cast<size_t>(s)];
    const auto with_past = [&](const Tensor& rows, int64_t which) {
      Tensor past;
      {
        const PauseTape pause;
        past = Tensor::zeros({W, C}, DType::f32, device);
        if (state) copy_into(state->value[which].view({W, C}), past);
        else if (which == 0) past = nothing * exp(past);
      }
      return concat_rows({past, rows.slice(0, first, n)});
    };
    keys.push_back(with_past(x.k, 0)), values.push_back(with_past(x.v, 1));
    if (!state) continue;
    const PauseTape pause;
    Tensor last_k = state->value[0].view({W, C}), last_v = state->value[1].view({W, C});
    copy_into(keys.back().slice(0, n, W), last_k);
    copy_into(values.back().slice(0, n, W), last_v);
  }
  const auto shifted = [&](const std::vector<Tensor>& rows, int64_t by) {      // what each token finds `by` rows before row W + t
    return each_sequence(near.sequences, [&](int64_t, int64_t n, int s) { return rows[static_cast<size_t>(s)].slice(0, W - by, n); });
  };
  const Tensor by_token = by_distance ? transposed(x.w) : x.w.view({T_max * T_max, 1});
  const auto logits = [&](int64_t d) {                                         // k_(t-d) + w of distance d
    const Tensor k = shifted(keys, d);
    if (by_distance) return k + by_token.slice(0, d, 1).view({C});
    std::vector<int64_t> at;
    for (const int32_t t : positions) at.push_back(int64_t{t} * T_max + std::max<int64_t>(0, t - d));
    return k + (device == Device::meta ? Tensor::empty({N, 1}, DType::f32, device) : take_rows(by_token, at));
  };

  const Tensor gone = shifted(keys, W);
  RunningMax old;                                          // no answer depends on it
  {
    const PauseTape pause;
    old = running_max(gone, positions, most);
  }
  Tensor top;                                              // about the largest log weight; it need not be exact
  {
    const PauseTape pause;
    top = logits(0);
    for (int64_t d = 1; d < W; ++d) top = top + unary(Unary::relu, logits(d) - top);
    top = top + unary(Unary::relu, old.m - top);
  }
  const Tensor e = exp(gone - old.m), kept = exp(old.m - top);
  const Tensor tail = diag_scan(concat({old.fell, old.fell}), concat({e, e * shifted(values, W)}), sums);
  Tensor den = tail.slice(1, 0, C) * kept, num = tail.slice(1, C, C) * kept;
  for (int64_t d = 0; d < W; ++d) {
    const Tensor weight = exp(logits(d) - top);
    den = den + weight, num = num + weight * shifted(values, d);
  }
  return num * reciprocal(den);
}

Tensor aft_simple_whole(const Tensor& k, const Tensor& v, const Slot& slot) {
  check(k, v, slot);
  const Tensor weighted = softmax_over_time(k, slot) * v;
  if (k.dim(0) == 0) return like(k);
  return each_sequence(slot.sequences, [&](int64_t first, int64_t n, int) {
    return Tensor::zeros({n, k.dim(1)}, DType::f32, k.device()) + sum_rows(weighted.slice(0, first, n));
  });
}

}  // namespace headrace
