#include "ops/sequence.h"

#include "ops/kernels/diag_scan.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {

Tensor diag_scan(const Tensor& log_decay, const Tensor& input, const Slot& slot) {
  check_rows("diag_scan", input, slot);
  expect(log_decay.shape() == input.shape() && input.rank() == 2, "diag_scan: log_decay ", log_decay.shape(), " input ", input.shape());
  States s = states(slot, {input.dim(1)}, input.device(), "diag_scan");
  Rows g = rows_of(log_decay), x = rows_of(input);
  Tensor y = Tensor::empty(input.shape(), DType::f32, input.device());
  run<&Kernels::diag_scan>("diag_scan", input.device(),
      DiagScanArgs{.kind = DiagScan::real, .x = x.data, .x_stride = x.stride, .log_decay = g.data, .decay_stride = g.stride, .y = y.f32(),
                   .y_stride = y.dim(1), .channels = static_cast<int>(input.dim(1)), .state = 1, .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor selective_scan(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B, const Tensor& C, const Slot& slot) {
  check_rows("selective_scan", x, slot);
  expect(x.rank() == 2 && dt.shape() == x.shape() && A.rank() == 2 && A.dim(0) == x.dim(1) && B.dim(-1) == A.dim(1) && C.dim(-1) == A.dim(1) &&
             B.dim(0) == x.dim(0) && C.dim(0) == x.dim(0),
         "selective_scan: x ", x.shape(), " dt ", dt.shape(), " A ", A.shape(), " B ", B.shape(), " C ", C.shape());
  States s = states(slot, A.shape(), x.device(), "selective_scan");
  Rows rx = rows_of(x), rd = rows_of(dt), rb = rows_of(B), rc = rows_of(C);
  Tensor y = Tensor::empty(x.shape(), DType::f32, x.device());
  run<&Kernels::diag_scan>("diag_scan", x.device(),
      DiagScanArgs{.kind = DiagScan::selective, .x = rx.data, .x_stride = rx.stride, .log_decay = A.f32(), .decay_stride = 0, .dt = rd.data,
                   .dt_stride = rd.stride, .B = rb.data, .B_stride = rb.stride, .C = rc.data, .C_stride = rc.stride, .y = y.f32(),
                   .y_stride = y.dim(1), .channels = static_cast<int>(x.dim(1)), .state = static_cast<int>(A.dim(1)),
                   .sequences = slot.sequences, .states = s.data()});
  return y;
}

Tensor rwkv4_scan(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, const Slot& slot) {
  check_rows("rwkv4_scan", v, slot);
  const int64_t C = v.dim(1);
  expect(k.shape() == v.shape() && w.count() == C && u.count() == C, "rwkv4_scan: w ", w.shape(), " u ", u.shape(), " k ", k.shape(), " v ",
      v.shape());
  std::vector<bool> fresh;
  for (const SlotValue* s : slot.values) fresh.push_back(!s->value);
  States s = states(slot, {3, C}, v.device(), "rwkv4_scan");
  std::vector<float> lowest(static_cast<size_t>(C), -1e38f);     // the running maximum starts below every key
  for (size_t i = 0; i < fresh.size(); ++i)
    if (fresh[i]) copy_bytes(s.pointers[i] + 2 * C, v.device(), lowest.data(), Device::cpu, lowest.size() * sizeof(float));
  Rows rk = rows_of(k), rv = rows_of(v);
  Tensor y = Tensor::empty(v.shape(), DType::f32, v.device());
  run<&Kernels::diag_scan>("diag_scan", v.device(),
      DiagScanArgs{.kind = DiagScan::rwkv4, .x = rv.data, .x_stride = rv.stride, .log_decay = w.f32(), .decay_stride = 0, .dt = rk.data,
                   .dt_stride = rk.stride, .B = u.f32(), .B_stride = 0, .y = y.f32(), .y_stride = C, .channels = static_cast<int>(C),
                   .state = 3, .sequences = slot.sequences, .states = s.data()});
  return y;
}

}  // namespace headrace
