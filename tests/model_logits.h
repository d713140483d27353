// The logits of a whole sequence, run in steps, the tokens that they name, and how far two of them are apart.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "nn/decoder.h"

namespace headrace {

// [tokens, vocab] on the cpu, `step` tokens at a time; `state` may be null where one step takes all.
inline Tensor logits_in_steps(const Decoder& d, std::span<const int32_t> tokens, State* state, int64_t step) {
  const auto all = static_cast<int64_t>(tokens.size());
  Tensor y = Tensor::empty({all, d.vocab});
  for (int64_t t = 0; t < all; t += step) {
    const int64_t n = std::min(step, all - t);
    Batch batch;
    batch.add(n, state);
    Tensor part = copy_to(d.logits(d.hidden(tokens.subspan(static_cast<size_t>(t), static_cast<size_t>(n)), batch)), Device::cpu);
    std::memcpy(y.f32() + t * d.vocab, part.f32(), part.bytes());
  }
  return y;
}

// Norm of the difference over the norm of what is wanted.
inline double relative_error(const Tensor& got, const Tensor& want) {
  double off = 0, size = 0;
  for (int64_t i = 0; i < want.count(); ++i) {
    off += std::pow(double{got.f32()[i]} - want.f32()[i], 2);
    size += std::pow(double{want.f32()[i]}, 2);
  }
  return std::sqrt(off / size);
}
// The likeliest token after each, of logits [tokens, vocab].
inline std::vector<int32_t> likeliest_of(const Tensor& logits, int64_t vocab) {
  std::vector<int32_t> all;
  for (const float* row = logits.f32(); row < logits.f32() + logits.count(); row += vocab)
    all.push_back(static_cast<int32_t>(std::max_element(row, row + vocab) - row));
  return all;
}
inline std::vector<int32_t> token_ids(const Tensor& t) { return {t.data<int64_t>(), t.data<int64_t>() + t.count()}; }

}  // namespace headrace
