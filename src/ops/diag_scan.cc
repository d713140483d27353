// diag_scan: h_t = w_t h_{t-1} + x_t by channel, in four kinds (sequence.h; gradients: docs/math/diag_scan.md). Real and complex
// scans keep y for backward, since it is the state; the others compute theirs again.
#include "ops/sequence.h"

#include "ops/kernels/diag_scan.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {
namespace {

// What a scan reads, as tensors: pointers of the arguments come from here both times, for y and for the gradients.
struct Inputs {
  DiagScan kind;
  Tensor x, decay, dt, B, C;

  DiagScanArgs args(const Tensor& y, const Sequences& sequences) const {
    const Rows rx = rows_of(x), g = rows_of(decay), d = dt ? rows_of(dt) : Rows{}, b = B ? rows_of(B) : Rows{}, c = C ? rows_of(C) : Rows{};
    const bool timed = decay.rank() == 2 && kind != DiagScan::selective && kind != DiagScan::rwkv4;
    const int64_t channels = kind == DiagScan::complex ? x.dim(1) / 2 : x.dim(1);
    return {.kind = kind, .x = rx.data, .x_stride = rx.stride, .log_decay = g.data, .decay_stride = timed ? g.stride : 0, .dt = d.data,
            .dt_stride = d.stride, .B = b.data, .B_stride = kind == DiagScan::selective ? b.stride : 0, .C = c.data, .C_stride = c.stride,
            .y = y.f32(), .y_stride = y.dim(1), .channels = static_cast<int>(channels),
            .state = static_cast<int>(kind == DiagScan::selective ? decay.dim(1) : kind == DiagScan::rwkv4 ? 3 : 1), .sequences = sequences};
  }
};

Tensor scan(const Inputs& in, const Shape& state_shape, const Slot& slot, const char* op) {
  const Device device = in.x.device();
  States s = states(slot, state_shape, device, op, in.kind == DiagScan::rwkv4 ? Beginning{2, -1e38f} : Beginning{});
  Tensor y = Tensor::empty(in.x.shape(), DType::f32, device);
  DiagScanArgs args = in.args(y, slot.sequences);
  args.states = s.data();
  run<&Kernels::diag_scan>("diag_scan", device, args);

  if (!Tape::current()) return y;
  const Tensors inputs = joined({in.x, in.decay, in.dt, in.B, in.C}, s.before);
  if (Tape* t = recording(inputs)) {
    std::vector<bool> wanted;
    for (const Tensor& b : s.before) wanted.push_back(b && t->tracks(b));
    const std::vector<int64_t> offsets(slot.sequences.offsets.begin(), slot.sequences.offsets.end());
    const Tensor read = in.kind == DiagScan::real || in.kind == DiagScan::complex ? y : in.x;   // y, where it is the state, is kept
    t->record(joined({y}, s.after), inputs, [=, before = s.before](const Tensors& d) {
      auto gradient = [&](const Tensor& x) { return x ? Tensor::empty(x.shape(), DType::f32, device) : Tensor{}; };
      Tensors to{gradient(in.x), gradient(in.decay), gradient(in.dt), gradient(in.B), gradient(in.C)};
      std::vector<const float*> states_before, d_after;
      std::vector<float*> d_before;
      for (size_t i = 0; i < before.size(); ++i) {
        to.push_back(wanted[i] ? Tensor::empty(state_shape, DType::f32, device) : Tensor{});
        states_before.push_back(before[i] ? before[i].f32() : nullptr);
        d_after.push_back(d[1 + i] ? d[1 + i].f32() : nullptr);
        d_before.push_back(to.back() ? to.back().f32() : nullptr);
      }
      auto place = [](const Tensor& x) { return x ? x.f32() : nullptr; };
      const Rows dy = d[0] ? rows_of(d[0]) : Rows{};
      DiagScanArgs forward = in.args(read, {offsets});
      run<&Kernels::diag_scan_backward>("diag_scan_backward", device,
          DiagScanBackwardArgs{.forward = forward, .dy = dy.data, .dy_stride = dy.stride, .before = states_before.data(), .d_after = d_after.data(),
                               .dx = place(to[0]), .d_decay = place(to[1]), .d_dt = place(to[2]), .dB = place(to[3]), .dC = place(to[4]),
                               .d_before = d_before.data()});
      return to;
    });
  }
  return y;
}

}  // namespace

Tensor diag_scan(const Tensor& log_decay, const Tensor& input, const Slot& slot) {
  check_rows("diag_scan", input, slot);
  expect(input.rank() == 2 && (log_decay.shape() == input.shape() || log_decay.shape() == Shape({input.dim(1)})), "diag_scan: log_decay ",
         log_decay.shape(), " input ", input.shape());
  return scan({.kind = DiagScan::real, .x = input, .decay = log_decay}, {input.dim(1)}, slot, "diag_scan");
}

Tensor complex_scan(const Tensor& factor, const Tensor& input, const Slot& slot) {
  check_rows("complex_scan", input, slot);
  expect(input.rank() == 2 && input.dim(1) % 2 == 0 && (factor.shape() == input.shape() || factor.shape() == Shape({input.dim(1)})),
         "complex_scan: factor ", factor.shape(), " input ", input.shape());
  return scan({.kind = DiagScan::complex, .x = input, .decay = factor}, {2, input.dim(1) / 2}, slot, "complex_scan");
}

Tensor selective_scan(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B, const Tensor& C, const Slot& slot) {
  check_rows("selective_scan", x, slot);
  expect(x.rank() == 2 && dt.shape() == x.shape() && A.rank() == 2 && A.contiguous() && A.dim(0) == x.dim(1) && B.dim(-1) == A.dim(1) &&
             C.dim(-1) == A.dim(1) && B.dim(0) == x.dim(0) && C.dim(0) == x.dim(0),
         "selective_scan: x ", x.shape(), " dt ", dt.shape(), " A ", A.shape(), " B ", B.shape(), " C ", C.shape());
  return scan({.kind = DiagScan::selective, .x = x, .decay = A, .dt = dt, .B = B, .C = C}, A.shape(), slot, "selective_scan");
}

Tensor rwkv4_scan(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, const Slot& slot) {
  check_rows("rwkv4_scan", v, slot);
  const int64_t C = v.dim(1);
  expect(k.shape() == v.shape() && w.count() == C && u.count() == C, "rwkv4_scan: w ", w.shape(), " u ", u.shape(), " k ", k.shape(), " v ",
      v.shape());
  return scan({.kind = DiagScan::rwkv4, .x = v, .decay = w, .dt = k, .B = u}, {3, C}, slot, "rwkv4_scan");
}

}  // namespace headrace
