// BigBird (Zaheer et al. 2020, 2007.14062; equations: bigbird.h): the lists of blocks are drawn anew for the lengths of each batch.
#include "mixers/bigbird.h"

#include "base/error.h"
#include "ops/patterns.h"
#include "ops/sequence.h"
#include "ops/whole.h"

namespace headrace {

const MixerDoc BigBirdMixer::doc{
    "bigbird", "attention", "BigBird: window, global and random blocks", "Zaheer et al. 2020 (2007.14062)",
    "o_i = softmax(q_i k^T / sqrt(K)) v over the blocks {0, i-1, i, i+1, n-1} and R_i;  y = W_o o + b\n"
    "blocks 0 and n-1 see all; R_i: blocks at random by head        not causal",
    "W_q, W_k, W_v [H K, d], W_o [d, H K], biases", "none", "none", "O(T b (5 + random) H K)", "mixers/bigbird.h", "whole", "cpu"};

void BigBirdMixer::Options::check() const {
  expect(int64_t{heads} * head_dim <= 1 << 24, "bigbird: heads = ", heads, " of dim = ", head_dim);
}

BigBirdMixer BigBirdMixer::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.head_dim;
  const auto map = [&](const char* name) { return Linear::bind(s / "self" / name, D, HK, true); };
  return {.o = o, .q = map("query"), .k = map("key"), .v = map("value"), .out = Linear::bind(s / "output" / "dense", HK, D, true)};
}

Tensor BigBirdMixer::operator()(const Tensor& x, Pass p) const {
  const Slot slot = p.slot("whole");
  expect_whole("bigbird", slot);
  const auto qkv = linear(x, {{q.weight, q.bias}, {k.weight, k.bias}, {v.weight, v.bias}});
  const Shape by_head{x.dim(0), o.heads, o.head_dim};
  const uint64_t seed = (static_cast<uint64_t>(o.seed) << 32) + static_cast<uint64_t>(o.nth);
  Pattern blocks = bigbird_pattern({.block = o.block, .random = o.random, .heads = o.heads, .seed = seed}, slot.sequences);
  const Tensor y = attention(qkv[0].view(by_head), qkv[1].view(by_head), qkv[2].view(by_head),
                             {.causal = false, .pattern = std::make_shared<const Pattern>(std::move(blocks))}, slot);
  return out(y.view({x.dim(0), int64_t{o.heads} * o.head_dim}));
}

}  // namespace headrace
