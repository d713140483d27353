// Reformer (Kitaev et al. 2020, 2001.04451; equations: reformer.h): each head of a sequence, all rounds after one another, becomes
// a sequence in the order of the hashes; attention sees chunks of it, and rounds are merged by the logs of their denominators.
#include "mixers/reformer.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "ops/sequence.h"
#include "ops/tape.h"
#include "ops/whole.h"

namespace headrace {

const MixerDoc Reformer::doc{
    "reformer", "attention", "Reformer: attention within chunks of tokens sorted by hash", "Kitaev, Kaiser, Levskaya 2020 (2001.04451)",
    "q = W_qk x,  k = q / (sqrt(mean q^2 + 1e-6) sqrt(K));  hash_r(q) = argmax [q A_r; -q A_r]\n"
    "o_r = softmax(q k^T) v over j <= i in the chunk and the one before, of the order by (round, hash, position)\n"
    "y = W_o sum_r softmax_r(lse_r) o_r",
    "W_qk, W_v [H K, d], W_o [d, H K]; fixed: A [H, K, R buckets/2]", "none", "none", "O(R T m H K)", "mixers/reformer.h", "whole", "cpu"};

void Reformer::Options::check() const {
  expect(int64_t{heads} * head_dim <= 1 << 24 && int64_t{heads} * head_dim * rounds * buckets <= int64_t{1} << 28, "reformer: heads = ", heads,
         " of dim = ", head_dim, ", rounds = ", rounds, ", buckets = ", buckets);
  expect(buckets % 2 == 0, "reformer: buckets = ", buckets, ", wanted an even number");
}

Reformer Reformer::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.head_dim;
  return {.o = o, .qk = Linear::bind(s / "self_attention" / "query_key", D, HK), .v = Linear::bind(s / "self_attention" / "value", D, HK),
          .out = Linear::bind(s / "output" / "dense", HK, D),
          .A = s("rotations", {o.heads, o.head_dim, int64_t{o.rounds} * (o.buckets / 2)}, Init::normal(1).fixed())};
}

namespace {

// Rows of one head's order, all rounds after one another: which token, and whether it sees nothing but itself.
struct Order {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> alone;
};
// projected [n,R half]: of one head and sequence.
Order order_of(const Rows& projected, int rounds, int chunk, bool causal) {
  const int64_t n = projected.rows, half = projected.cols / rounds;
  Order r;
  std::vector<int64_t> hash(static_cast<size_t>(n));
  for (int64_t round = 0; round < rounds; ++round) {
    for (int64_t t = 0; t < n; ++t) {
      const float* x = projected[t] + round * half;
      const auto [low, high] = std::minmax_element(x, x + half);
      hash[static_cast<size_t>(t)] = *high >= -*low ? high - x : half + (low - x);
    }
    std::vector<int32_t> at(static_cast<size_t>(n));
    std::iota(at.begin(), at.end(), 0);
    std::stable_sort(at.begin(), at.end(), [&](int32_t a, int32_t b) { return hash[static_cast<size_t>(a)] < hash[static_cast<size_t>(b)]; });
    r.tokens.insert(r.tokens.end(), at.begin(), at.end());
  }
  const int64_t all = std::ssize(r.tokens), chunks = (all + chunk - 1) / chunk;
  struct Ends { int32_t low, high; };
  std::vector<Ends> ends;
  for (int64_t c = 0; c < chunks; ++c) {
    const auto [low, high] = std::minmax_element(r.tokens.begin() + c * chunk, r.tokens.begin() + std::min(all, (c + 1) * chunk));
    ends.push_back({*low, *high});
  }
  for (int64_t i = 0; i < all; ++i) {
    const Ends &own = ends[static_cast<size_t>(i / chunk)], &before = ends[static_cast<size_t>((i / chunk + chunks - 1) % chunks)];
    const int32_t t = r.tokens[static_cast<size_t>(i)];
    r.alone.push_back(std::min(own.low, before.low) == t && (causal || std::max(own.high, before.high) == t));
  }
  return r;
}

}  // namespace

Tensor Reformer::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0), H = o.heads, K = o.head_dim, R = o.rounds;
  const Slot slot = p.slot("whole");
  expect_whole("reformer", slot);
  const auto projected = linear(x, {{qk.weight, qk.bias}, {v.weight, v.bias}});
  const Tensor q = projected[0].view({N * H, K}), values = projected[1].view({N * H, K});       // row t H + h
  if (x.device() == Device::meta) return out(projected[0] + projected[1]);                     // a plan knows no places, but what gradients reach

  // Each head of a sequence is a sequence of its own, R times as long. `from`: the row of q that each sorted row is; `back`: by round,
  // where the sorted row of each row of q lies.
  std::vector<int64_t> offsets{0}, from, back(static_cast<size_t>(R * N * H));
  Pattern sorted{.kind = Pattern::Kind::sorted, .block = o.chunk};
  std::vector<float> lost;                                             // added to the log of a denominator: a token alone counts for nothing
  for (int s = 0; s < slot.sequences.count(); ++s) {
    const int64_t first = slot.sequences.offsets[s], n = slot.sequences.offsets[s + 1] - first;
    const bool few = n <= o.chunk;                                     // one chunk in order: the rounds are the same
    for (int64_t h = 0; h < H && n > 0; ++h) {
      Order order;
      {
        const PauseTape pause;
        const Tensor rows = projected[0].slice(0, first, n).slice(1, h * K, K);
        order = order_of(rows_of(matmul(rows, A[h])), o.rounds, o.chunk, o.causal);
      }
      const int64_t begin = std::ssize(from);
      for (int64_t i = 0; i < R * n; ++i) {
        if (few && i >= n) {                                           // counted once
          back[static_cast<size_t>((i / n * N + first + i % n) * H + h)] = begin + i % n;
          continue;
        }
        const int64_t t = few ? i : order.tokens[static_cast<size_t>(i)], row = (first + t) * H + h;
        from.push_back(row);
        back[static_cast<size_t>((i / n * N) * H + row)] = begin + i;
        sorted.positions.push_back(static_cast<int32_t>(t));
        lost.push_back(!few && order.alone[static_cast<size_t>(i)] ? -1e5f : 0.f);
      }
      offsets.push_back(std::ssize(from));
    }
  }
  if (N == 0) return out(Tensor::empty({0, H * K}, DType::f32, x.device()));
  const int64_t M = std::ssize(from);
  const Tensor sq = take_rows(q, from), keys = 1 / std::sqrt(static_cast<float>(K)) * rms_norm(sq, {}, {.eps = 1e-6f});
  const Attended a = attention_with_lse(sq.view({M, 1, K}), keys.view({M, 1, K}), take_rows(values, from).view({M, 1, K}),
                                        {.scale = 1, .causal = o.causal, .pattern = std::make_shared<const Pattern>(std::move(sorted))},
                                        {.sequences = {offsets}, .values = {}});
  // The rounds of each row of q beside one another.
  const Tensor lse = a.lse + copy_to(Tensor::from(lost, {M, 1}), x.device()), answers = a.y.view({M, K});
  std::vector<Tensor> logs, rounds;
  for (int64_t r = 0; r < R; ++r) {
    const std::span<const int64_t> rows = std::span(back).subspan(static_cast<size_t>(r * N * H), static_cast<size_t>(N * H));
    logs.push_back(take_rows(lse, rows)), rounds.push_back(take_rows(answers, rows));
  }
  const Tensor shares = softmax(concat(logs));                         // [N H,R]
  Tensor y = rounds[0] * shares.slice(1, 0, 1);
  for (int64_t r = 1; r < R; ++r) y = y + rounds[static_cast<size_t>(r)] * shares.slice(1, r, 1);
  return out(y.view({N, H * K}));
}

}  // namespace headrace
