// Where a tensor's memory comes from: kept blocks by size on the CPU (large ones: large_blocks.h), so that a step that makes the same
// temporaries again asks nobody; the device's own pool on CUDA; a count without memory on meta, which is how a plan knows the peak.
// Then shapes, views and copies.
#include "tensor/tensor.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#include "base/error.h"
#include "tensor/large_blocks.h"

namespace headrace {

const char* name(Device d) { return d == Device::cpu ? "cpu" : d == Device::cuda ? "cuda" : "meta"; }
void append(std::string& s, Device d) { s += name(d); }

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  expect(dims.size() <= max_rank, "a tensor has at most ", max_rank, " dimensions, not ", dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
}
int64_t Shape::count() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= dims_[i];
  return n;
}
bool Shape::operator==(const Shape& o) const {
  return rank_ == o.rank_ && std::equal(dims_.begin(), dims_.begin() + rank_, o.dims_.begin());
}
void append(std::string& s, const Shape& shape) {
  s += '[';
  for (int i = 0; i < shape.rank(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  s += ']';
}

namespace {

std::atomic<size_t> live[3];
std::atomic<bool> poison = false;
struct { void* (*allocate)(size_t); void (*release)(void*); } cuda_memory;
void (*copier)(void*, Device, const void*, Device, size_t) = nullptr;

// Freed blocks of the CPU are kept by size class (powers of two and their halves), so that a decode step that makes
// the same temporaries again takes them from a list. Small blocks only: pieces of larger ones serve any size (tensor/large_blocks.h).
constexpr size_t largest_kept = size_t{8} << 20;
struct FreeLists {
  std::vector<void*> lists[64];
  ~FreeLists() {
    for (auto& l : lists)
      for (void* p : l) std::free(p);
  }
};
thread_local FreeLists* free_lists = nullptr;
struct FreeListsGuard {
  FreeLists lists;
  FreeListsGuard() { free_lists = &lists; }
  ~FreeListsGuard() { free_lists = nullptr; }
};
FreeLists* my_free_lists() {
  static thread_local FreeListsGuard guard;
  return free_lists;
}
// Under the address sanitizer each tensor has a block of its own, of its own size, so that an overrun of one byte is seen.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool exact = true;
#elif defined(__has_feature)
constexpr bool exact = __has_feature(address_sanitizer);
#else
constexpr bool exact = false;
#endif
std::byte* exactly(size_t bytes) {
  void* p = nullptr;
  expect(posix_memalign(&p, 64, bytes) == 0, "out of memory: ", bytes, " bytes");
  return static_cast<std::byte*>(p);
}
size_t class_bytes(size_t bytes) { return std::bit_ceil(std::max<size_t>(bytes, 64)); }
int class_index(size_t rounded) { return std::countr_zero(rounded); }

LargeBlocks& large_blocks() {
  static auto* blocks = new LargeBlocks;           // outlives every tensor
  return *blocks;
}

void release_cpu(Storage& s) {
  live[0] -= s.bytes;
  size_t rounded = class_bytes(s.bytes);
  if (FreeLists* f = free_lists; !exact && f && rounded <= largest_kept && f->lists[class_index(rounded)].size() < 64)
    f->lists[class_index(rounded)].push_back(s.data);
  else if (!exact && rounded > largest_kept)
    large_blocks().give(s.data, s.bytes);
  else
    std::free(s.data);
}
void release_cuda(Storage& s) {
  live[1] -= s.bytes;
  cuda_memory.release(s.data);
}
// What the lists above would keep resident if tensors of the meta device had memory: in each size class as many blocks as
// were ever there at once, each as large as the largest.
struct Planned {
  size_t count[64] = {}, most[64] = {}, largest[64] = {}, unlisted = 0, most_unlisted = 0;
};
thread_local Planned planned;
void plan(size_t bytes, bool made) {
  const size_t rounded = class_bytes(bytes);
  if (rounded > largest_kept) {
    planned.unlisted += made ? bytes : -bytes;
    planned.most_unlisted = std::max(planned.most_unlisted, planned.unlisted);
    return;
  }
  const int c = class_index(rounded);
  planned.count[c] += made ? 1 : -1;
  planned.most[c] = std::max(planned.most[c], planned.count[c]);
  planned.largest[c] = std::max(planned.largest[c], bytes);
}
void release_lasting(Storage& s) { live[0] -= s.bytes; }

// Chunks of memory, from the second on in huge pages where the system gives them (a small model would pay for the rest of
// a page that it does not use); a chunk lives as long as the last tensor in it.
struct Chunk {
  static constexpr size_t bytes = size_t{32} << 20;
  std::byte* data;
  size_t used = 0, size;
  Chunk(size_t n, bool huge_pages) : size(std::max(bytes, (n + huge_page - 1) / huge_page * huge_page)) {
    data = static_cast<std::byte*>(std::aligned_alloc(huge_page, size));
    expect(data != nullptr, "out of memory: ", size, " bytes");
    if (huge_pages) in_huge_pages(data, size);
  }
  ~Chunk() { std::free(data); }
  Chunk(const Chunk&) = delete;
};

void release_meta(Storage& s) {
  live[2] -= s.bytes;
  plan(s.bytes, false);
}

}  // namespace

uint64_t Storage::next_id() {
  static std::atomic<uint64_t> threads{0};
  thread_local uint64_t next = (threads++ << 40) + 1;   // 0 is no storage
  return next++;
}

std::shared_ptr<Storage> allocate(size_t bytes, Device device) {
  auto s = std::make_shared<Storage>();
  s->bytes = bytes;
  s->device = device;
  if (device == Device::meta) {
    plan(bytes, true);
    s->release = release_meta;
  } else if (device == Device::cuda) {
    expect(cuda_memory.allocate != nullptr, "cuda: this program was built without CUDA, or no CUDA device was found");
    s->data = static_cast<std::byte*>(cuda_memory.allocate(bytes));
    s->release = release_cuda;
  } else {
    size_t rounded = class_bytes(bytes);
    auto& list = my_free_lists()->lists[rounded <= largest_kept ? class_index(rounded) : 63];
    if (exact) {
      s->data = exactly(bytes);
    } else if (rounded <= largest_kept && !list.empty()) {
      s->data = static_cast<std::byte*>(list.back());
      list.pop_back();
    } else {
      const bool listed = rounded <= largest_kept;
      s->data = static_cast<std::byte*>(listed ? std::aligned_alloc(rounded < huge_page ? 64 : huge_page, rounded) : large_blocks().take(bytes));
      if (listed && s->data && bytes >= huge_page) in_huge_pages(s->data, bytes / huge_page * huge_page);
      expect(s->data != nullptr, "out of memory: ", bytes, " bytes");
    }
    s->release = release_cpu;
  }
  live[static_cast<int>(device)] += bytes;
  if (poison.load(std::memory_order_relaxed) && device != Device::meta) {
    const std::vector<std::byte> ones(bytes, std::byte{0xff});
    copy_bytes(s->data, device, ones.data(), Device::cpu, bytes);
  }
  return s;
}
std::shared_ptr<Storage> allocate_lasting(size_t bytes) {
  if (exact) return allocate(bytes, Device::cpu);
  static std::mutex mutex;
  static std::weak_ptr<Chunk> current;
  auto s = std::make_shared<Storage>();
  const size_t rounded = (bytes + 63) / 64 * 64;
  std::lock_guard lock(mutex);
  std::shared_ptr<Chunk> chunk = current.lock();
  if (!chunk || chunk->used + rounded > chunk->size) current = chunk = std::make_shared<Chunk>(rounded, chunk != nullptr);
  s->bytes = bytes;
  s->data = chunk->data + chunk->used;
  chunk->used += rounded;
  s->owner = std::move(chunk);
  s->release = release_lasting;
  live[0] += bytes;
  return s;
}
void begin_memory_plan() {
  for (int c = 0; c < 64; ++c) planned.most[c] = planned.count[c] = planned.largest[c] = 0;
  planned.most_unlisted = planned.unlisted = 0;
}
size_t planned_bytes() {
  size_t n = planned.most_unlisted;
  for (int c = 0; c < 64; ++c) n += planned.most[c] * planned.largest[c];
  return n;
}
void set_allocator(Device device, void* (*allocate)(size_t), void (*release)(void*)) {
  expect(device == Device::cuda, "set_allocator: only cuda brings its own memory, not ", device);
  cuda_memory = {allocate, release};
}
void poison_new_memory(bool on) { poison = on; }
size_t allocated_bytes(Device device) { return live[static_cast<int>(device)]; }

Tensor Tensor::of(std::shared_ptr<Storage> storage, size_t offset, DType dtype, const Shape& shape, Layout layout) {
  Tensor t;
  t.storage_ = std::move(storage);
  t.offset_ = offset;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.layout_ = layout;
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    t.strides_[i] = stride;
    stride *= shape[i];
  }
  return t;
}
Tensor Tensor::outline() const {
  Tensor t = *this;
  t.storage_ = nullptr;
  return t;
}
Tensor Tensor::over(std::shared_ptr<Storage> storage) const {
  Tensor t = *this;
  t.storage_ = std::move(storage);
  t.offset_ = offset_ / bytes_of(dtype_, 1) * sizeof(float);
  t.dtype_ = DType::f32;
  return t;
}
Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  expect(shape.rank() == 0 || shape[-1] % info(dtype).block == 0, "a ", dtype, " tensor of shape ", shape,
         ": rows must be multiples of ", info(dtype).block);
  return of(allocate(bytes_of(dtype, shape.count()), device), 0, dtype, shape);
}
Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  if (device == Device::cpu) {
    std::memset(t.raw(), 0, t.bytes());
  } else if (device == Device::cuda) {
    std::vector<std::byte> zero(t.bytes());
    copy_bytes(t.raw(), device, zero.data(), Device::cpu, zero.size());
  }
  return t;
}
Tensor Tensor::view_of(const void* data, DType dtype, const Shape& shape, std::shared_ptr<const void> owner) {
  auto s = std::make_shared<Storage>();
  s->data = static_cast<std::byte*>(const_cast<void*>(data));
  s->bytes = bytes_of(dtype, shape.count());
  s->owner = std::move(owner);
  return of(std::move(s), 0, dtype, shape);
}
Tensor Tensor::from(std::span<const float> values, const Shape& shape) {
  expect(shape.count() == static_cast<int64_t>(values.size()), "Tensor::from: ", values.size(), " values for ", shape);
  Tensor t = empty(shape);
  std::copy(values.begin(), values.end(), t.f32());
  return t;
}
Tensor Tensor::from(std::span<const int64_t> values, const Shape& shape) {
  expect(shape.count() == static_cast<int64_t>(values.size()), "Tensor::from: ", values.size(), " values for ", shape);
  Tensor t = empty(shape, DType::i64);
  std::copy(values.begin(), values.end(), t.data<int64_t>());
  return t;
}

bool Tensor::contiguous() const {
  int64_t stride = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != stride) return false;
    stride *= shape_[i];
  }
  return true;
}

Tensor Tensor::view(const Shape& shape) const {
  expect(shape.count() == count(), "view: ", shape_, " as ", shape);
  Tensor t = *this;
  t.shape_ = shape;
  if (contiguous() || count() == 0) {
    int64_t stride = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      t.strides_[i] = stride;
      stride *= shape[i];
    }
    return t;
  }
  // Walk both shapes from the right; a group of old dimensions must be evenly strided to be cut in another way.
  int old = rank() - 1;
  for (int i = shape.rank() - 1; i >= 0;) {
    while (old > 0 && shape_[old] == 1) --old;
    int64_t group = shape_[old], inner = strides_[old], got = 1, first = i;
    int64_t stride = inner;
    while (i >= 0 && (got < group || shape[i] == 1)) {
      got *= shape[i];
      t.strides_[i] = stride;
      stride *= shape[i];
      --i;
      while (got > group && old > 0) {
        --old;
        expect(strides_[old] == group * inner, "view: ", shape_, " as ", shape, " needs a copy");
        group *= shape_[old];
      }
    }
    expect(got == group && first != i, "view: ", shape_, " as ", shape, " needs a copy");
    --old;
  }
  return t;
}

Tensor Tensor::slice(int dimension, int64_t begin, int64_t length) const {
  int d = dimension < 0 ? dimension + rank() : dimension;
  expect(d >= 0 && d < rank() && begin >= 0 && length >= 0 && begin + length <= shape_[d], "slice: ", shape_, " dimension ",
         dimension, " from ", begin, " length ", length);
  Tensor t = *this;
  t.shape_[d] = length;
  t.offset_ += bytes_of(dtype_, begin * strides_[d]);
  return t;
}
Tensor Tensor::operator[](int64_t row) const {
  Tensor t = slice(0, row, 1);
  Tensor r = t;
  r.shape_ = Shape(shape_.dims().subspan(1));
  for (int i = 1; i < rank(); ++i) r.strides_[i - 1] = strides_[i];
  return r;
}

namespace {
template <class T>
void transpose(const std::byte* from, std::byte* to, int64_t rows, int64_t cols) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  constexpr int64_t tile = 16;                     // both sides of a tile stay in the first-level cache
  for (int64_t i0 = 0; i0 < rows; i0 += tile)
    for (int64_t j0 = 0; j0 < cols; j0 += tile)
      for (int64_t i = i0; i < std::min(rows, i0 + tile); ++i)
        for (int64_t j = j0; j < std::min(cols, j0 + tile); ++j) y[j * rows + i] = x[i * cols + j];
}
}  // namespace

Tensor Tensor::transposed_copy() const {
  const size_t size = bytes_of(dtype_, 1);
  expect(rank() >= 2 && !is_block(dtype_) && device() != Device::cuda && (size == 1 || size == 2 || size == 4 || size == 8), "transpose: ", dtype_,
      " ", shape_);
  const Tensor x = contiguous_or_copy();
  const int64_t rows = shape_[-2], cols = shape_[-1], whole = rows * cols;
  Shape s = shape_;
  s[-2] = cols, s[-1] = rows;
  Tensor y = empty(s, dtype_, device());
  if (device() == Device::meta) return y;
  auto* f = size == 1 ? transpose<uint8_t> : size == 2 ? transpose<uint16_t> : size == 4 ? transpose<uint32_t> : transpose<uint64_t>;
  for (int64_t i = 0; i < count(); i += whole) f(x.data<std::byte>() + i * size, y.data<std::byte>() + i * size, rows, cols);
  return y;
}

Tensor Tensor::contiguous_copy() const {
  Tensor t = empty(shape_, dtype_, device());
  if (device() == Device::meta) return t;
  if (contiguous()) {
    copy_bytes(t.raw(), device(), raw(), device(), bytes());
    return t;
  }
  int64_t inner = shape_[-1], outer = count() / std::max<int64_t>(inner, 1);
  size_t row_bytes = bytes_of(dtype_, inner);
  for (int64_t i = 0; i < outer; ++i) {
    int64_t rest = i, at = 0;
    for (int d = rank() - 2; d >= 0; --d) {
      at += rest % shape_[d] * strides_[d];
      rest /= shape_[d];
    }
    copy_bytes(t.data<std::byte>() + i * row_bytes, device(), data<std::byte>() + bytes_of(dtype_, at), device(), row_bytes);
  }
  return t;
}

Rows rows_of(const Tensor& x, int inner) {
  expect(x.dtype() == DType::f32, "expected f32 activations, not ", x.dtype());
  if (x.rank() == 0) return {x.f32(), 1, 1, 1};
  int first = std::max(0, x.rank() - inner);
  int64_t cols = 1, rows = 1;
  for (int i = x.rank() - 1; i >= first; --i) {
    expect(x.dim(i) == 1 || x.stride(i) == cols, "rows: ", x.shape(), " is not adjacent in its last ", inner, " dimensions");
    cols *= x.dim(i);
  }
  if (first == 0) return {x.f32(), 1, cols, cols};
  int last = first - 1;
  while (last > 0 && x.dim(last) == 1) --last;
  int64_t stride = x.stride(last);
  int64_t span = stride;
  for (int i = first - 1; i >= 0; --i) {
    expect(x.dim(i) == 1 || i > last || x.stride(i) == span, "rows: ", x.shape(), " has uneven rows");
    if (i <= last) span = (x.dim(i) == 1 ? span : x.stride(i)) * x.dim(i);
    rows *= x.dim(i);
  }
  return {x.f32(), rows, cols, stride};
}

void set_copier(void (*copy)(void*, Device, const void*, Device, size_t)) { copier = copy; }
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (bytes == 0 || to_device == Device::meta || from_device == Device::meta) return;
  if (to_device == Device::cpu && from_device == Device::cpu) {
    std::memcpy(to, from, bytes);
    return;
  }
  expect(copier != nullptr, "cuda: this program was built without CUDA");
  copier(to, to_device, from, from_device, bytes);
}
Tensor copy_to(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  Tensor source = x.contiguous_or_copy();
  Tensor t = Tensor::of(allocate(x.layout() == Layout::panel ? x.storage()->bytes : x.bytes(), device), 0, x.dtype(), x.shape(), x.layout());
  copy_bytes(t.raw(), device, source.raw(), x.device(), x.layout() == Layout::panel ? x.storage()->bytes : source.bytes());
  return t;
}

}  // namespace headrace
