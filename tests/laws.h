// What the laws share: random tensors (strided like the views that models make), comparisons, ragged batches.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "ops/kernels.h"
#include "ops/ops.h"
#include "ops/sequence.h"

namespace headrace {

// x on another device, strided as before: rows as far apart, and not at a multiple of a vector.
inline Tensor moved(const Tensor& x, Device device) {
  if (!x || x.device() == device || x.contiguous()) return x ? copy_to(x, device) : x;
  const int64_t n = x.dim(0), width = x.count() / n, wide = x.stride(0);
  Tensor t = Tensor::empty({n, wide}, DType::f32, device).slice(1, std::min<int64_t>(3, wide - width), width);
  for (int64_t i = 0; i < n; ++i) copy_bytes(t.f32() + i * wide, device, x.f32() + i * wide, x.device(), static_cast<size_t>(width) * sizeof(float));
  return t.view(x.shape());
}

class Random {
 public:
  explicit Random(uint64_t seed, Device device = Device::cpu) : device(device), philox_{seed} {}
  const Device device;                                 // meta: shapes alone; cuda: made on the cpu, then moved
  float normal() { return static_cast<float>(philox_.normal(next_++)); }
  double uniform(double low, double high) { return low + (high - low) * philox_.uniform(next_++); }
  int64_t below(int64_t n) { return static_cast<int64_t>(philox_.uniform(next_++) * static_cast<double>(n)); }

  // [rows, ...]; not whole: a slice of wider rows, as fused projections give them, and not at a multiple of a vector.
  Tensor rows(const Shape& shape, bool whole = false) { return moved(host_rows(shape, whole), device); }
  Tensor host_rows(const Shape& shape, bool whole = false) {
    const Device made = device == Device::cuda ? Device::cpu : device;
    int64_t n = shape[0], width = n ? shape.count() / n : 0, wide = whole ? width : width + 5;
    if (n == 0) return Tensor::empty(shape, DType::f32, made);
    Tensor t = Tensor::empty({n, wide}, DType::f32, made);
    Tensor x = whole ? t : t.slice(1, 3, width);
    for (int64_t i = 0; i < n && device != Device::meta; ++i)
      for (int64_t j = 0; j < width; ++j) x.f32()[i * wide + j] = normal();
    return x.view(shape);
  }
  Tensor whole(const Shape& shape) { return rows(shape, true); }
  Tensor values(std::initializer_list<float> v) { return copy_to(Tensor::from(v), device); }

 private:
  Philox philox_;
  uint64_t next_ = 0;
};

// f of every element, in place.
template <class F>
Tensor map(Tensor x, F f) {
  if (x.device() == Device::meta) return x;
  if (x.device() == Device::cuda) return moved(map(moved(x, Device::cpu), f), Device::cuda);
  const int64_t width = x.dim(0) ? x.count() / x.dim(0) : 0;
  for (int64_t i = 0; i < x.dim(0); ++i)
    for (int64_t j = 0; j < width; ++j) {
      float& v = x.f32()[i * x.stride(0) + j];
      v = f(v);
    }
  return x;
}
inline std::vector<float> values_of(const Tensor& x) {
  Tensor c = copy_to(x.contiguous_or_copy(), Device::cpu);
  return {c.floats().begin(), c.floats().end()};
}

// Every element within `tolerance` of what is wanted, relative to its own size plus that of all of them (their root mean
// square, kept within least..most).
inline testing::AssertionResult close(const Tensor& got, const Tensor& want, double tolerance, double least = 0,
                                      double most = std::numeric_limits<double>::infinity()) {
  if (!(got.shape() == want.shape())) return testing::AssertionFailure() << text("shape ", got.shape(), ", wanted ", want.shape());
  std::vector<float> a = values_of(got), b = values_of(want);
  double square = 0, finite = 0;
  for (float v : b)
    if (std::isfinite(v)) square += double{v} * v, ++finite;
  const double size = std::clamp(std::sqrt(square / std::max(finite, 1.0)), least, most);
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    double error = a[i] == b[i] ? 0 : std::abs(double{a[i]} - b[i]) / (std::abs(double{b[i]}) + size);
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
    if (error > worst) worst = error, at = i;
  }
  if (worst <= tolerance) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "element " << at << " is " << a[at] << ", wanted " << b[at] << "; error " << worst << " > " << tolerance
                                     << text(" in ", got.shape());
}
inline testing::AssertionResult same_bits(const Tensor& got, const Tensor& want) {
  if (!(got.shape() == want.shape())) return testing::AssertionFailure() << text("shape ", got.shape(), ", wanted ", want.shape());
  std::vector<float> a = values_of(got), b = values_of(want);
  for (size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], 4) != 0) return testing::AssertionFailure() << "element " << i << " is " << a[i] << ", wanted " << b[i];
  return testing::AssertionSuccess();
}

// Sequences of these lengths one after the other, each with its state unless `without_state`.
struct Ragged {
  std::vector<int64_t> offsets{0};
  std::vector<SlotValue> states;
  explicit Ragged(const std::vector<int64_t>& lengths) : states(lengths.size()) {
    for (int64_t n : lengths) offsets.push_back(offsets.back() + n);
  }
  int64_t tokens() const { return offsets.back(); }
  Slot slot(bool with_state) {
    Slot s{.sequences = {offsets}, .values = {}};
    for (SlotValue& v : states)
      if (with_state) s.values.push_back(&v);
    return s;
  }
};

// As `close`; pages must hold the same bytes.
inline testing::AssertionResult close_states(const SlotValue& got, const SlotValue& want, double tolerance) {
  if (static_cast<bool>(got.value) != static_cast<bool>(want.value) || got.pages.size() != want.pages.size() || got.length != want.length)
    return testing::AssertionFailure() << text("states of different kind: ", got.length, " tokens in ", got.pages.size(), " pages, wanted ",
                                               want.length, " in ", want.pages.size());
  for (size_t p = 0; p < want.pages.size(); ++p)
    if (static_cast<bool>(got.pages[p]) != static_cast<bool>(want.pages[p]) ||
        (want.pages[p] && std::memcmp(copy_to(got.pages[p], Device::cpu).raw(), want.pages[p].raw(), want.pages[p].bytes()) != 0))
      return testing::AssertionFailure() << "page " << p << " differs";
  return want.value ? close(got.value, want.value, tolerance) : testing::AssertionSuccess();
}

}  // namespace headrace
