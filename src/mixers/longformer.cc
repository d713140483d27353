// Longformer (Beltagy et al. 2020, 2004.05150; equations: longformer.h): global queries have projections of their own, so they are
// a second attention over few rows, and their answers replace those of the first.
#include "mixers/longformer.h"

#include <algorithm>

#include "base/error.h"
#include "ops/whole.h"

namespace headrace {

const MixerDoc Longformer::doc{
    "longformer", "attention", "Longformer: a window, and global tokens", "Beltagy, Peters, Cohan 2020 (2004.05150)",
    "i not in M: softmax(q k^T / sqrt(K)) v over {|i-j| <= w} and M;  i in M: softmax(q' k'^T / sqrt(K)) v' over all\n"
    "y = W_o o + b        M: the first `global` tokens; causal=on: 0 <= i - j <= w",
    "W_q, W_k, W_v and W_q', W_k', W_v' [H K, d], W_o [d, H K], biases", "none; causal: keys and values, 2 (w + 1) H K", "none; causal: O(w H K)",
    "O(T (w + |M|) H K)", "mixers/longformer.h", "whole", "cpu"};

void Longformer::Options::check() const {
  expect(int64_t{heads} * head_dim <= 1 << 24, "longformer: heads = ", heads, " of dim = ", head_dim);
  expect(!causal || global == 0, "longformer: global = ", global, " with causal=on");
}

Longformer Longformer::bind(const Scope& s, const Options& o) {
  const int64_t D = o.width, HK = int64_t{o.heads} * o.head_dim;
  const auto set = [&](const std::string& suffix) {
    const auto map = [&](const char* name) { return Linear::bind(s / "self" / (name + suffix), D, HK, true); };
    return Set{map("query"), map("key"), map("value")};
  };
  return {.o = o, .local = set(""), .global = o.global > 0 ? set("_global") : Set{}, .out = Linear::bind(s / "output" / "dense", HK, D, true)};
}

Tensor Longformer::operator()(const Tensor& x, Pass p) const {
  const int64_t N = x.dim(0);
  const Shape by_head{N, o.heads, o.head_dim};
  const auto project = [&](const Set& s) {
    auto qkv = linear(x, {{s.q.weight, s.q.bias}, {s.k.weight, s.k.bias}, {s.v.weight, s.v.bias}});
    for (Tensor& t : qkv) t = t.view(by_head);
    return qkv;
  };
  const auto near = project(local);
  const Shape rows{N, int64_t{o.heads} * o.head_dim};
  Attention window{.window = int64_t{o.window} + 1};
  const Slot slot = p.slot("kv");
  if (o.causal) return out(attention(near[0], near[1], near[2], window, slot).view(rows));
  expect_whole("longformer", slot);
  window.causal = false, window.ahead = o.window;
  if (o.global == 0) return out(attention(near[0], near[1], near[2], window, slot).view(rows));

  Pattern marked;
  marked.global.resize(static_cast<size_t>(N));
  std::vector<int64_t> these, offsets{0}, from(static_cast<size_t>(N));       // global rows; where each row's answer lies
  for (int s = 0; s < slot.sequences.count(); ++s) {
    const int64_t first = slot.sequences.offsets[s], end = slot.sequences.offsets[s + 1];
    for (int64_t i = first; i < end; ++i) {
      const bool global = i - first < o.global;
      marked.global[static_cast<size_t>(i)] = global;
      from[static_cast<size_t>(i)] = global ? N + std::ssize(these) : i;
      if (global) these.push_back(i);
    }
    offsets.push_back(std::ssize(these));
  }
  window.pattern = std::make_shared<const Pattern>(std::move(marked));
  const Tensor y = attention(near[0], near[1], near[2], window, slot).view(rows);
  const auto far = project(global);
  const Tensor queries = take_rows(far[0].view(rows), these).view({std::ssize(these), o.heads, o.head_dim});
  const Tensor z = attention(queries, far[1], far[2], {.causal = false, .keys = slot.sequences}, {.sequences = {offsets}, .values = {}});
  return out(take_rows(concat_rows({y, z.view({z.dim(0), rows[1]})}), from));
}

}  // namespace headrace
