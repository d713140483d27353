// What the files of the ops share: running a kernel of a device, fresh results, views as rows, states to update in place.
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ops/kernels.h"
#include "ops/meter.h"
#include "ops/ops.h"
#include "ops/tape.h"

namespace headrace {

using Tensors = std::vector<Tensor>;

template <class F, class... Args>
void launch(F* kernel, const char* name, const char* device, Args&&... args) {
  if (kernel == nullptr) missing_kernel(device, name);
  kernel(std::forward<Args>(args)...);
}
// Runs the kernel `member` of the device; on the meta device there is nothing to run. A meter counts it on any.
template <auto member, class... Args>
void run(const char* kernel, Device device, Args&&... args) {
  if (Meter::current()) launch(meter_kernels().*member, kernel, meter_kernels().device, args...);
  if (device == Device::meta) return;
  const Kernels& table = kernels(device);
  launch(table.*member, kernel, table.device, std::forward<Args>(args)...);
}

inline Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), DType::f32, x.device()); }
inline Tensor with_last(const Tensor& x, int64_t n) {
  Shape s = x.shape();
  s[-1] = n;
  return Tensor::empty(s, DType::f32, x.device());
}
inline const float* values(const Tensor& w) { return w ? w.f32() : nullptr; }

// A gradient [...,C] summed over all rows, in the shape of what every row read: a bias, a norm's weight.
inline Tensor summed_like(const Tensor& d, const Tensor& row) {
  return sum_rows(d.view({d.count() / row.count(), row.count()})).view(row.shape());
}
// The gradient of a [shape] tensor whose rows `ids` were read: each row of dy is added to its own.
inline Tensor scattered(const Shape& shape, const std::vector<int32_t>& ids, const Tensor& dy) {
  Tensor d = Tensor::zeros(shape, DType::f32, dy.device());
  run<&Kernels::embedding_backward>("embedding_backward", dy.device(), ids, rows_of(dy), rows_of(d));
  return d;
}
// c (+)= a b, of rows.
inline void product(const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed, const Tensor& c, bool add = false) {
  const Rows x = rows_of(a), w = rows_of(b), y = rows_of(c);
  run<&Kernels::product>("product", a.device(),
      MatrixProduct{.a_transposed = a_transposed, .b_transposed = b_transposed, .m = y.rows, .n = y.cols, .k = a_transposed ? x.rows : x.cols,
                    .a = x.data, .lda = x.stride, .b = w.data, .ldb = w.stride, .c = y.data, .ldc = y.stride, .add = add,
                    .bf16 = UseBf16Products::now()});
}
// What a primitive's record lists: its inputs and then the states from before, its result and then those after.
inline Tensors joined(Tensors first, const Tensors& states) {
  first.insert(first.end(), states.begin(), states.end());
  return first;
}

// The rows of a [N,H,D] tensor whose heads are adjacent.
inline Rows heads(const Tensor& x, const char* op) {
  expect(x.rank() == 3, op, ": ", x.shape(), " must be [N,H,D]");
  return rows_of(x, 2);
}

inline void check_rows(const char* op, const Tensor& x, const Slot& slot) {
  expect(!slot.sequences.offsets.empty() && slot.sequences.tokens() == x.dim(0), op, ": x ", x.shape(), " but the sequences have ",
         slot.sequences.offsets.empty() ? 0 : slot.sequences.tokens(), " tokens");
  expect(slot.values.empty() || static_cast<int>(slot.values.size()) == slot.sequences.count(), op, ": ", slot.values.size(),
         " states for ", slot.sequences.count(), " sequences");
}

// Where the state of each sequence lies, fresh or unshared and ready to be updated in place. While a tape records, what a
// state was before stays as it was: `before` has it (empty: fresh), for backward, and `after` what it has become.
struct States {
  std::vector<float*> pointers;
  Tensors before, after;
  float* const* data() const { return pointers.empty() ? nullptr : pointers.data(); }
};
// A row of a fresh state that does not begin at zero: a running maximum starts below every number.
struct Beginning { int64_t row = -1; float value = 0; };
inline States states(const Slot& slot, const Shape& shape, Device device, const char* op, Beginning begins = {}, bool some_without = false) {
  States s;
  const bool recorded = Tape::current() != nullptr;
  for (SlotValue* v : slot.values) {
    if (!v) {
      expect(some_without, op, ": a sequence without a state beside others");
      s.pointers.push_back(nullptr);
      if (recorded) s.before.push_back({}), s.after.push_back({});
      continue;
    }
    if (recorded) s.before.push_back(v->value);
    if (!v->value) {
      v->value = Tensor::zeros(shape, DType::f32, device);
      if (begins.row >= 0 && device != Device::meta) {
        const std::vector<float> row(static_cast<size_t>(shape[-1]), begins.value);
        copy_bytes(v->value.f32() + begins.row * shape[-1], device, row.data(), Device::cpu, row.size() * sizeof(float));
      }
    } else if (v->value.storage().use_count() > 1) {
      v->value = v->value.contiguous_copy();
    }
    expect(v->value.shape() == shape && v->value.device() == device, op, ": state ", v->value.shape(), " where ", shape,
           " is needed; it belongs to another model or device");
    s.pointers.push_back(v->value.f32());
    if (recorded) s.after.push_back(v->value);
  }
  return s;
}

}  // namespace headrace
