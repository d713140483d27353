// Batches of samples; each is drawn from numbers of its own, so that the threads' number does not matter.
#include "probe/batch.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"

namespace headrace {

int64_t ProbeBatch::tokens() const {
  int64_t n = 0;
  for (const Sample& s : samples) n += s.length();
  return n;
}

ProbeBatch draw_batch(const Task& task, uint64_t seed, Split split, uint64_t begin, int64_t count) {
  ProbeBatch b;
  b.samples.resize(static_cast<size_t>(count));
  parallel(count, 1, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) b.samples[static_cast<size_t>(i)] = task.sample(seed, split, begin + static_cast<uint64_t>(i));
  });
  return b;
}

std::vector<NamedTensor> padded(const Task& task, const ProbeBatch& batch) {
  int64_t T = 0, D = 0;
  const int64_t B = std::ssize(batch.samples);
  std::vector<int64_t> lengths, also;
  for (int64_t b = 0; b < B; ++b) {
    const Sample& s = batch.samples[static_cast<size_t>(b)];
    T = std::max(T, s.length()), D = std::max<int64_t>(D, std::ssize(s.decoded)), lengths.push_back(s.length());
    for (const Sample::Also& a : s.also) also.insert(also.end(), {b, a.at, a.token});
  }
  std::vector<NamedTensor> all;
  // One value a position, or `width` of them; what a sample is short of is padding.
  const auto add = [&]<class V>(const char* name, DType dtype, const Shape& shape, V padding, auto member) {
    if (std::all_of(batch.samples.begin(), batch.samples.end(), [&](const Sample& s) { return (s.*member).empty(); })) return;
    const Tensor t = Tensor::empty(shape, dtype);
    const int64_t row = shape.count() / shape[0];
    for (int64_t b = 0; b < B; ++b) {
      V* out = t.data<V>() + b * row;
      const auto& from = batch.samples[static_cast<size_t>(b)].*member;
      std::fill(std::copy(from.begin(), from.end(), out), out + row, padding);
    }
    all.emplace_back(name, t);
  };
  add("input_ids", DType::i64, {B, T}, int64_t{0}, &Sample::tokens);
  add("targets", DType::i64, {B, T}, int64_t{Sample::none}, &Sample::targets);
  add("mask", DType::u8, {B, T}, uint8_t{0}, &Sample::mask);
  add("x", DType::f32, {B, T, task.inputs}, 0.f, &Sample::x);
  add("y", DType::f32, {B, T, task.outputs}, 0.f, &Sample::y);
  add("decoded", DType::i64, {B, D}, int64_t{Sample::none}, &Sample::decoded);
  all.emplace_back("lengths", Tensor::from(std::span<const int64_t>(lengths), {B}));
  if (!also.empty()) all.emplace_back("also", Tensor::from(std::span<const int64_t>(also), {std::ssize(also) / 3, 3}));
  return all;
}

}  // namespace headrace
