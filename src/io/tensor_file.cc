// What readers share: names found in constant time and once each, and sizes computed without overflow from dimensions that may lie.
#include "io/tensor_file.h"

#include <cstring>

#include "base/error.h"
#include "io/bytes.h"

namespace headrace {

std::string shown(std::string_view name) {
  return "'" + quoted(name.substr(0, 96)) + (name.size() > 96 ? "...'" : "'");
}

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> all;
  all.reserve(tensors_.size());
  for (const auto& [name, t] : tensors_) all.push_back(name);
  return all;
}
void TensorFile::add(std::string name, Tensor t) {
  bool fresh = index_.emplace(name, tensors_.size()).second;
  expect(fresh, path_, ": tensor ", shown(name), " is there twice");
  tensors_.emplace_back(std::move(name), std::move(t));
}
const Tensor* TensorFile::find(std::string_view name) const {
  auto it = index_.find(std::string(name));
  return it == index_.end() ? nullptr : &tensors_[it->second].second;
}
const Tensor& TensorFile::at(std::string_view name) const {
  const Tensor* t = find(name);
  if (!t)
    fail(path_, ": no tensor ", shown(name), " among ", size(), size() ? text("; the first is ", shown(tensors_[0].first)) : "");
  return *t;
}

std::vector<TensorSource> sources(std::span<const NamedTensor> tensors) {
  std::vector<TensorSource> all;
  all.reserve(tensors.size());
  for (const auto& [name, t] : tensors) all.push_back({name, t.dtype(), t.shape(), [t = t] { return t; }});
  return all;
}
Tensor made(const TensorSource& source, const std::string& path) {
  Tensor t = source.make();
  expect(t.dtype() == source.dtype && t.shape() == source.shape && t.layout() == Layout::rows, path, ": tensor ",
         shown(source.name), ": wanted ", source.dtype, " ", source.shape, ", found ", t.dtype(), " ", t.shape());
  return copy_to(t.contiguous_or_copy(), Device::cpu);
}

size_t checked_bytes(DType t, std::span<const int64_t> dims, std::string_view where) {
  expect(dims.size() <= Shape::max_rank, where, ": wanted at most ", Shape::max_rank, " dimensions, found ", dims.size());
  constexpr int64_t most = int64_t{1} << 56;       // of values: bytes and strides stay far from overflow
  int64_t span = 1, count = 1;
  for (int64_t d : dims) {
    expect(d >= 0, where, ": wanted dimensions of at least 0, found ", d);
    const int64_t step = d > 1 ? d : 1;
    expect(step <= most / span, where, ": the shape ", Shape(dims), " overflows");
    span *= step;
    count *= d;
  }
  const int64_t row = dims.empty() ? 1 : dims.back();
  expect(row % info(t).block == 0, where, ": wanted rows of whole blocks of ", info(t).block, " (", t, "), found ", Shape(dims));
  return bytes_of(t, count);
}

Tensor tensor_in(std::span<const std::byte> data, DType t, std::span<const int64_t> dims, const std::shared_ptr<const void>& owner) {
  const size_t align = is_block(t) ? 2 : static_cast<size_t>(info(t).block_bytes);
  if (owner && reinterpret_cast<uintptr_t>(data.data()) % align == 0) return Tensor::view_of(data.data(), t, Shape(dims), owner);
  Tensor copy = Tensor::empty(Shape(dims), t);
  if (!data.empty()) std::memcpy(copy.raw(), data.data(), data.size());
  return copy;
}

}  // namespace headrace
