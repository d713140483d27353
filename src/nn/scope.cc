// Declaring a parameter: found, checked, arranged for the device, and noted. Faults are collected, and told together by finish().
#include "nn/scope.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "nn/arranged.h"
#include "ops/kernels.h"
#include "ops/ops.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {

// Equal up to dimensions of 1.
bool same(const Shape& a, const Shape& b) {
  std::vector<int64_t> x, y;
  for (int64_t d : a.dims()) if (d != 1) x.push_back(d);
  for (int64_t d : b.dims()) if (d != 1) y.push_back(d);
  return x == y;
}
size_t bytes_in_memory(const Tensor& t) { return t.layout() == Layout::panel ? t.storage()->bytes : t.bytes(); }
std::string part_text(int64_t rows, int64_t begin, int64_t count) {
  return count == rows ? "" : text("[", begin, ":", begin + count, "]");
}
// A fused matrix is fetched once for each part of it, one soon after the other; a search of all would take a lying file's time squared.
void note(std::vector<std::string>& faults, std::string fault) {
  if (std::find(faults.end() - std::min<std::ptrdiff_t>(8, std::ssize(faults)), faults.end(), fault) == faults.end())
    faults.push_back(std::move(fault));
}
void list(std::string& message, const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  message += std::string(message.empty() ? "" : "; ") + what + " ";
  size_t shown = std::min<size_t>(names.size(), 20);
  for (size_t i = 0; i < shown; ++i) message += (i ? ", " : "") + names[i];
  if (names.size() > shown) message += text(" and ", names.size() - shown, " more");
}

}  // namespace

void Source::finish() const {
  std::vector<std::string> spare;
  if (names)
    for (const std::string& n : names())
      if (!used.contains(n) && !ignore(n)) spare.push_back(n);
  std::string message;
  list(message, "missing tensors:", missing);
  list(message, "wrong:", wrong);
  list(message, "spare tensors:", spare);
  expect(message.empty(), file, ": ", message);
}

bool Scope::has(const std::string& name) const { return !source_->make && source_->find(full(name)); }
int64_t Scope::dim(const std::string& name, int i) const {
  if (source_->make) fail(full(name), ": its size is read from a file, and there is none");
  Tensor t = source_->find(full(name));
  if (t && (i < 0 ? -i <= t.rank() : i < t.rank())) return t.dim(i);
  if (!t) source_->missing.push_back(full(name));
  return 0;
}

Tensor Scope::fetch(const std::string& name, const Shape& shape, const Init& init) const {
  const std::string key = full(name);
  source_->used.insert(key);
  Tensor t = source_->find(key);
  if (!t) {
    note(source_->missing, text(key, " ", shape));
    return {};
  }
  if (!same(t.shape(), shape) || !(is_float(t.dtype()) || is_block(t.dtype()))) {
    note(source_->wrong, text(key, " is ", t.dtype(), " ", t.shape(), ", wanted ", shape));
    return {};
  }
  if (is_block(t.dtype()) && t.shape() != shape && (shape.rank() == 0 || shape[-1] % info(t.dtype()).block != 0)) {
    note(source_->wrong, text(key, " is ", t.dtype(), " ", t.shape(), ", wanted ", shape));
    return {};
  }
  if (source_->trains) {
    auto it = source_->kept.find(key);
    if (it == source_->kept.end()) {
      const bool plan = source_->device == Device::meta;
      const Tensor rows = plan ? Tensor::empty(t.shape(), DType::f32, Device::meta) : copy_to(dequantised(t), source_->device);
      it = source_->kept.emplace(key, Parameter{key, t.shape(), DType::f32, rows.bytes(), init.decay.value_or(shape.rank() > 1), init.group,
                                                init.trained, rows}).first;
    }
    return it->second.value.view(shape);
  }
  return t.contiguous() ? t.view(shape) : t.contiguous_copy().view(shape);
}
Tensor Scope::adapted(const std::string& name, const Tensor& matrix) const {
  return source_->adapt ? source_->adapt(full(name), matrix) : matrix;
}

Tensor Scope::made(const std::string& name, const Shape& shape, const Init& init, bool matrix) const {
  Source& s = *source_;
  const std::string key = full(name);
  auto it = s.kept.find(key);
  if (it == s.kept.end()) {
    const Tensor rows = s.make(key, shape, init);
    const bool there = rows.device() != Device::meta || s.device == Device::meta;     // else it was missing, and finish() says so
    const Tensor plain = matrix || rows.dtype() == DType::f32 ? rows
        : s.device == Device::meta ? Tensor::empty(shape, DType::f32, Device::meta) : copy_to(dequantised(rows), s.device);
    const Tensor t = matrix && there ? arranged(plain) : plain;
    it = s.kept.emplace(key, Parameter{key, shape, plain.dtype(), bytes_in_memory(t), init.decay.value_or(shape.rank() > 1), init.group,
                                       init.trained, t}).first;
  }
  expect(it->second.shape == shape, "parameter ", key, " ", it->second.shape, " is declared again as ", shape);
  if (s.used.insert(key).second) s.parameters.push_back(it->second);   // what layers share is one parameter
  return matrix ? adapted(name, it->second.value) : it->second.value;
}

Tensor Scope::operator()(const std::string& name, const Shape& shape, const Init& init) const {
  if (source_->make) return made(name, shape, init, false);
  Tensor raw = fetch(name, shape, init);
  source_->parameters.push_back({full(name), shape, DType::f32, static_cast<size_t>(shape.count()) * 4});
  if (raw && source_->trains) return raw;
  if (!raw || source_->device == Device::meta) return Tensor::empty(shape, DType::f32, Device::meta);
  Tensor t = Tensor::empty(shape);
  int64_t row = shape.rank() ? shape[-1] : 1;
  for (int64_t i = 0; i < shape.count() / std::max<int64_t>(row, 1); ++i)
    dequantise_row(raw.dtype(), raw.data<std::byte>() + bytes_of(raw.dtype(), i * row), t.f32() + i * row, row);
  return copy_to(t, source_->device);
}

Tensor arranged(const Source& s, const Tensor& rows) {
  const bool plan = s.device == Device::meta;
  // CUDA keeps a file's rows, and need not be here to be planned for.
  const auto pack = !s.pack || (plan && s.plan_for == Device::cuda) ? nullptr : kernels(plan ? s.plan_for : s.device).pack;
  if (plan && !pack && rows.device() == Device::meta) return rows;
  const Tensor t = plan ? Tensor::of(allocate(rows.bytes(), Device::meta), 0, rows.dtype(), rows.shape()) : rows;
  if (pack) return pack(t);
  return plan ? t : copy_to(rows, s.device);
}
Tensor Scope::arranged(const Tensor& rows) const { return headrace::arranged(*source_, rows); }

Tensor Scope::place(const std::string& name, const Tensor& rows) const {
  Source& s = *source_;
  Tensor placed = s.trains ? rows : arranged(rows);
  s.parameters.push_back({full(name), rows.shape(), rows.dtype(), bytes_in_memory(placed)});
  if (placed.layout() == Layout::panel && s.device != Device::meta && rows.storage()->owner)
    release_pages(rows.raw(), rows.bytes());       // the mapped original need not stay resident
  return placed;
}

Tensor Scope::matrix(const std::string& name, const Shape& shape, const Init& init) const {
  if (source_->make) return made(name, shape, init, true);
  Tensor raw = fetch(name, shape, init);
  return raw ? adapted(name, place(name, raw)) : Tensor::empty(shape, DType::f32, Device::meta);
}

Tensor Scope::transposed(const std::string& name, int64_t rows, int64_t begin, const Shape& shape) const {
  Tensor raw = fetch(name, {shape[1], rows});
  if (!raw) return Tensor::empty(shape, DType::f32, Device::meta);
  if (is_block(raw.dtype())) {
    note(source_->wrong, text(full(name), " is ", raw.dtype(), "; only plain dtypes can be transposed"));
    return Tensor::empty(shape, DType::f32, Device::meta);
  }
  if (source_->trains) return headrace::transposed(place(name + part_text(rows, begin, shape[0]), adapted(name, raw).slice(1, begin, shape[0])));
  return place(name + part_text(rows, begin, shape[0]), raw.slice(1, begin, shape[0]).transposed_copy());
}

Tensor Scope::part(const std::string& name, int64_t rows, int64_t begin, const Shape& shape) const {
  Tensor raw = fetch(name, {rows, shape[1]});
  if (!raw) return Tensor::empty(shape, DType::f32, Device::meta);
  return place(name + part_text(rows, begin, shape[0]), adapted(name, raw).slice(0, begin, shape[0]));
}

}  // namespace headrace
