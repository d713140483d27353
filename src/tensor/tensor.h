// Tensor: a typed view of shared storage on one device.
// Invariants: elements of the last dimension are adjacent; block dtypes and panel layouts are contiguous.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "tensor/dtype.h"

namespace headrace {

enum class Device : uint8_t { cpu, cuda, meta };   // meta: shapes and bytes, no memory
const char* name(Device d);
void append(std::string& s, Device d);

class Shape {
 public:
  static constexpr int max_rank = 5;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i < 0 ? i + rank_ : i]; }
  int64_t& operator[](int i) { return dims_[i < 0 ? i + rank_ : i]; }
  int64_t count() const;                        // product; 1 for rank 0
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& o) const;

 private:
  std::array<int64_t, max_rank> dims_{};
  int rank_ = 0;
};
void append(std::string& s, const Shape& shape);   // "[2,7,64]"

// rows: as in files, last dimension adjacent. panel: a backend's own arrangement of a matrix for its products
// (cpu/panel.h); only linear, embedding and dequantise read it.
enum class Layout : uint8_t { rows, panel };

struct Storage {
  std::byte* data = nullptr;
  size_t bytes = 0;
  Device device = Device::cpu;
  std::shared_ptr<const void> owner;               // a mapped file, or null
  void (*release)(Storage&) = nullptr;             // frees data; null when owner does
  const uint64_t id = next_id();                   // no other storage of this process has it, before or after
  ~Storage() { if (release) release(*this); }
  Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  static uint64_t next_id();
};
// Each device hands out storage here; cuda registers its memory when kernels(Device::cuda) opens it (fails by name before).
std::shared_ptr<Storage> allocate(size_t bytes, Device device);
// Memory of the CPU for what stays, weights: side by side in huge pages, so that reading all of them misses few of the
// processor's page translations.
std::shared_ptr<Storage> allocate_lasting(size_t bytes);
void set_allocator(Device device, void* (*allocate)(size_t bytes), void (*release)(void* data));
// Tests: fresh memory is filled with NaN (every byte 0xFF), so that nothing is read before it is written.
void poison_new_memory(bool on);
size_t allocated_bytes(Device device);             // live bytes handed out (meta counts too: plans)
// Plans: what the CPU's allocator would hold resident for this thread's tensors of the meta device made since the begin.
// Tensors from before it must outlive the plan.
void begin_memory_plan();
size_t planned_bytes();

class Tensor {
 public:
  Tensor() = default;
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor of(std::shared_ptr<Storage> storage, size_t offset, DType dtype, const Shape& shape, Layout layout = Layout::rows);
  // A read-only view of memory that `owner` keeps alive (a mapped file).
  static Tensor view_of(const void* data, DType dtype, const Shape& shape, std::shared_ptr<const void> owner);
  static Tensor from(std::span<const float> values, const Shape& shape);
  static Tensor from(std::span<const int64_t> values, const Shape& shape);
  static Tensor from(std::initializer_list<float> values) {
    return from(std::span(values.begin(), values.size()), {static_cast<int64_t>(values.size())});
  }

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t stride(int i) const { return strides_[i < 0 ? i + rank() : i]; }   // in elements
  int64_t count() const { return shape_.count(); }
  size_t bytes() const { return bytes_of(dtype_, count()); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_->device; }
  Layout layout() const { return layout_; }
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  size_t offset() const { return offset_; }
  bool contiguous() const;

  // Null on the meta device, wherever the view begins.
  template <class T> T* data() const { return storage_->data ? reinterpret_cast<T*>(storage_->data + offset_) : nullptr; }
  void* raw() const { return data<std::byte>(); }
  float* f32() const { return data<float>(); }
  std::span<const float> floats() const { return {f32(), static_cast<size_t>(count())}; }

  // Views of the same storage. view: contiguous, or one that only splits or joins dimensions whose strides allow it.
  Tensor view(const Shape& shape) const;
  Tensor slice(int dimension, int64_t begin, int64_t length) const;   // last dimension too: rows keep their stride
  Tensor operator[](int64_t row) const;                               // slice(0, row, 1) without the dimension
  Tensor contiguous_copy() const;                                     // a fresh copy (cpu)
  Tensor transposed_copy() const;                                     // of the last two dimensions; plain dtypes (cpu)
  Tensor contiguous_or_copy() const { return contiguous() ? *this : contiguous_copy(); }
  // Shape and place without the memory; and the f32 tensor of that shape at that place of another storage (ops/tape.h).
  Tensor outline() const;
  Tensor over(std::shared_ptr<Storage> storage) const;

 private:
  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;                              // bytes
  Shape shape_;
  std::array<int64_t, Shape::max_rank> strides_{};
  DType dtype_ = DType::f32;
  Layout layout_ = Layout::rows;
};

// x as rows: all leading dimensions joined, the last `inner` dimensions joined. Throws when strides do not allow it.
struct Rows {
  float* data;
  int64_t rows, cols, stride;
  constexpr float* operator[](int64_t i) const { return data + i * stride; }   // constexpr: kernels of cuda use it too
};
Rows rows_of(const Tensor& x, int inner = 1);

Tensor copy_to(const Tensor& x, Device device);    // explicit; nothing moves between devices unasked
void set_copier(void (*copy)(void* to, Device to_device, const void* from, Device from_device, size_t bytes));
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes);

}  // namespace headrace
