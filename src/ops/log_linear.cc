// Log-linear attention: one pass of a kernel, or, for gradients and where there is none, one packed linear scan a level. The tokens of level
// l are, for a token in the right half of its block of 2^l (aligned from the sequence's start), those of the left half. So the state of a
// level starts anew at each block, is written in left halves and read in right ones; where nothing is written, decay and removal go on.
#include <algorithm>

#include "ops/kernels/log_linear.h"
#include "ops/ops.h"
#include "ops/run.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

// A level's blocks as sequences, and where each of the ragged batch's sequences has its first and last.
struct Blocks {
  std::vector<int64_t> offsets{0};
  std::vector<size_t> first, last;
};
Blocks blocks_of(const Sequences& sequences, std::span<const int32_t> positions, int64_t size) {
  Blocks b;
  for (int s = 0; s < sequences.count(); ++s) {
    const int64_t begin = sequences.offsets[s], end = sequences.offsets[s + 1];
    b.first.push_back(b.offsets.size() - 1);
    for (int64_t t = begin; t < end; t = b.offsets.back()) b.offsets.push_back(std::min(end, t + size - positions[t] % size));
    b.last.push_back(b.offsets.size() - 2);
  }
  return b;
}

Tensor in_one_pass(const LogLinear& x, std::span<const int32_t> positions, const Slot& slot) {
  const char* op = "log_linear";
  const int64_t N = x.q.dim(0), H = x.q.dim(1), K = x.q.dim(2), V = x.v.dim(-1), L = x.levels.dim(-1);
  const auto gate = [&](const Tensor& g) {
    expect(!g || g.shape() == Shape({N, H}), op, ": a gate ", g ? g.shape() : Shape{}, " for q ", x.q.shape());
    return g ? rows_of(g) : Rows{};
  };
  const Rows q = heads(x.q, op), k = heads(x.k, op), v = heads(x.v, op), levels = heads(x.levels, op), decay = gate(x.log_decay),
             beta = gate(x.beta);
  const int h = static_cast<int>(H);
  const States s = states(slot, {L - 1, H, K, V}, x.q.device(), op);
  const Tensor y = Tensor::empty({N, H, V}, DType::f32, x.q.device());
  const LinearScanArgs scan{.q = q.data, .k = k.data, .v = v.data, .q_stride = q.stride, .k_stride = k.stride, .v_stride = v.stride,
                            .y = y.f32(), .y_stride = H * V, .heads = h, .q_heads = h, .k_heads = h, .v_heads = h, .key = static_cast<int>(K),
                            .value = static_cast<int>(V), .sequences = slot.sequences, .log_decay = decay.data, .decay_stride = decay.stride,
                            .decay_per_key = false, .a = nullptr, .b = nullptr, .a_stride = 0, .b_stride = 0, .beta = beta.data,
                            .beta_stride = beta.stride, .bonus = nullptr, .scale = x.scale, .states = s.data()};
  run<&Kernels::log_linear>(op, x.q.device(),
                            LogLinearArgs{.scan = scan, .levels = levels.data, .levels_stride = levels.stride, .count = static_cast<int>(L),
                                          .positions = positions});
  return y;
}

}  // namespace

Tensor log_linear(const LogLinear& x, std::span<const int32_t> positions, const Slot& slot) {
  const char* op = "log_linear";
  check_rows(op, x.q, slot);
  const int64_t N = x.q.dim(0), H = x.q.dim(1), K = x.q.dim(2), V = x.v.dim(-1), L = x.levels.dim(-1);
  expect(x.k.shape() == x.q.shape() && x.v.shape() == Shape({N, H, V}), op, ": q ", x.q.shape(), " k ", x.k.shape(), " v ", x.v.shape());
  expect(x.levels.shape() == Shape({N, H, L}) && static_cast<int64_t>(positions.size()) == N, op, ": levels ", x.levels.shape(), " and ",
         positions.size(), " positions for ", N, " tokens, ", H, " heads");
  for (int32_t p : positions)
    expect(p >= 0 && L <= 32 && p < int64_t{1} << (L - 1), op, ": token ", p, " where ", L, " levels reach ", int64_t{1} << (L - 1), " tokens");
  const Device device = x.q.device();
  if (!Tape::current() && (device == Device::meta || kernels(device).log_linear)) return in_one_pass(x, positions, slot);
  // 1 where a token writes to (odd: is read from) level l, in column 2 (l - 1) (+ 1).
  Tensor masks = Tensor::empty({N, std::max<int64_t>(2 * (L - 1), 1)});
  for (int64_t t = 0; t < N; ++t)
    for (int64_t l = 1; l < L; ++l) {
      const bool right = positions[static_cast<size_t>(t)] >> (l - 1) & 1;
      masks.f32()[t * masks.dim(1) + 2 * (l - 1)] = right ? 0.f : 1.f, masks.f32()[t * masks.dim(1) + 2 * (l - 1) + 1] = right ? 1.f : 0.f;
    }
  masks = copy_to(masks, device);
  const auto mask = [&](int64_t column) { return masks.slice(1, column, 1); };
  const auto whole = [](const Tensor& t) { return t.contiguous() ? t : concat_rows({t}); };
  const Tensor weights = whole(x.levels).view({N * H, L});

  Tensor dot = x.scale * head_dot(x.q, x.k, {});
  if (x.beta) dot = dot * x.beta;
  Tensor y = (scale_heads(x.v, dot).view({N * H, V}) * weights.slice(1, 0, 1)).view({N, H, V});
  const Tensor v = whole(x.v).view({N, H * V});
  const int32_t last_token = N ? *std::max_element(positions.begin(), positions.end()) : 0;
  std::vector<std::vector<Tensor>> after(slot.values.size());        // by sequence and level
  for (int64_t l = 1; l < L && (!slot.values.empty() || last_token >> (l - 1)); ++l) {
    const Blocks blocks = blocks_of(slot.sequences, positions, int64_t{1} << l);
    std::vector<SlotValue> first(slot.values.size()), last(slot.values.size());
    Slot part{.sequences = {blocks.offsets}, .values = {}};
    if (!slot.values.empty()) part.values.resize(blocks.offsets.size() - 1);
    for (size_t s = 0; s < slot.values.size(); ++s) {
      const int64_t begin = slot.sequences.offsets[s], n = slot.sequences.offsets[s + 1] - begin;
      if (n == 0) continue;
      const int64_t size = int64_t{1} << l;
      const bool goes_on = positions[static_cast<size_t>(begin)] % size != 0, stays = (positions[static_cast<size_t>(begin + n - 1)] + 1) % size != 0;
      if (goes_on && slot.values[s]->value) first[s].value = slot.values[s]->value.slice(0, l - 1, 1).view({H, K, V});
      if (goes_on) part.values[blocks.first[s]] = &first[s];
      if (stays && !part.values[blocks.last[s]]) part.values[blocks.last[s]] = &last[s];
    }
    const Tensor level = linear_scan({.q = x.q, .k = x.k, .v = (v * mask(2 * (l - 1))).view({N, H, V}), .log_decay = x.log_decay, .beta = x.beta,
                                      .scale = x.scale}, part);
    const Tensor read = (level.view({N, H * V}) * mask(2 * (l - 1) + 1)).view({N * H, V}) * weights.slice(1, l, 1);
    y = y + read.view({N, H, V});
    for (size_t s = 0; s < slot.values.size(); ++s) {
      if (slot.sequences.offsets[s] == slot.sequences.offsets[s + 1]) continue;
      const SlotValue* kept = blocks.last[s] < part.values.size() ? part.values[blocks.last[s]] : nullptr;
      const bool stays = (positions[static_cast<size_t>(slot.sequences.offsets[s + 1]) - 1] + 1) % (int64_t{1} << l) != 0;
      after[s].push_back((stays && kept ? kept->value : Tensor::zeros({H, K, V}, DType::f32, device)).view({1, H, K, V}));
    }
  }
  for (size_t s = 0; s < slot.values.size(); ++s)
    if (!after[s].empty()) slot.values[s]->value = concat_rows(after[s]);
  return y;
}

}  // namespace headrace
