// cell_scan: LSTM, GRU and sLSTM (equations: kernels/cell_scan.h). The kernel's backward gives the gradients of the gates; that of
// the recurrent matrix is then one product over all tokens, since every hidden state is known.
#include "ops/kernels/cell_scan.h"

#include "ops/ops.h"
#include "ops/run.h"
#include "ops/sequence.h"

namespace headrace {
namespace {

// The hidden state that each token met: that of the token before, or of the state before (its first row).
Tensor hidden_before(const Tensor& y, const Tensors& before, const std::vector<int64_t>& offsets) {
  std::vector<SlotValue> states(before.size());
  Slot slot{.sequences = {offsets}, .values = {}};
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i]) states[i].value = before[i].slice(0, 0, 1);
    slot.values.push_back(&states[i]);
  }
  return token_shift(y, slot);
}

// The gradient of the matrices [G*C,C/H]: of each gate and head, that of its product.
Tensor recurrent_gradient(const Tensor& d_product, const Tensor& hidden, const Tensor& recurrent) {
  const int64_t width = recurrent.dim(1), C = hidden.dim(1);
  if (width == C) return matmul(d_product, hidden, true);
  Tensor d = like(recurrent);
  for (int64_t row = 0; row < d.dim(0); row += width) {
    Tensor part = d.slice(0, row, width);
    copy_into(matmul(d_product.slice(1, row, width), hidden.slice(1, row % C, width), true), part);
  }
  return d;
}

Tensor scan(Cell kind, const char* op, const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot) {
  check_rows(op, x, slot);
  const int64_t G = gates_of(kind), N = x.dim(0), C = x.dim(-1) / G, width = recurrent.dim(-1);
  expect(x.rank() == 2 && x.dim(1) == G * C && C > 0 && recurrent.rank() == 2 && recurrent.contiguous() && recurrent.dim(0) == G * C && width > 0 &&
             C % width == 0 && (!bias || (bias.count() == G * C && bias.contiguous())),
         op, ": x ", x.shape(), " recurrent ", recurrent.shape(), " bias ", bias ? bias.shape() : Shape{});
  const Device device = x.device();
  const Shape state_shape{states_of(kind), C};
  States s = states(slot, state_shape, device, op, kind == Cell::slstm ? Beginning{3, slstm_lowest} : Beginning{});
  const Tensors inputs = Tape::current() ? joined({x, recurrent, bias}, s.before) : Tensors{};
  Tape* tape = recording(inputs);
  Tensor y = Tensor::empty({N, C}, DType::f32, device), saved = tape ? Tensor::empty({N, saved_of(kind) * C}, DType::f32, device) : Tensor{};
  const Rows rx = rows_of(x);
  const int heads = static_cast<int>(C / width), channels = static_cast<int>(C);
  run<&Kernels::cell_scan>("cell_scan", device,
      CellScanArgs{.kind = kind, .x = rx.data, .x_stride = rx.stride, .recurrent = recurrent.f32(), .bias = values(bias), .channels = channels,
                   .heads = heads, .y = y.f32(), .saved = saved ? saved.f32() : nullptr, .sequences = slot.sequences, .states = s.data()});
  if (!tape) return y;
  std::vector<bool> wanted;
  for (const Tensor& i : inputs) wanted.push_back(i && tape->tracks(i));
  const std::vector<int64_t> offsets(slot.sequences.offsets.begin(), slot.sequences.offsets.end());
  tape->record(joined({y}, s.after), inputs, [=, before = s.before, bias = bias ? bias.outline() : Tensor{}](const Tensors& d) {
    Tensors to(3 + before.size());
    std::vector<const float*> states_before, d_after;
    std::vector<float*> d_before;
    for (size_t i = 0; i < before.size(); ++i) {
      if (wanted[3 + i]) to[3 + i] = Tensor::empty(state_shape, DType::f32, device);
      states_before.push_back(values(before[i]));
      d_after.push_back(values(d[1 + i]));
      d_before.push_back(wanted[3 + i] ? to[3 + i].f32() : nullptr);
    }
    to[0] = Tensor::empty({N, G * C}, DType::f32, device);
    const Tensor d_product = kind == Cell::gru ? Tensor::empty({N, G * C}, DType::f32, device) : to[0];
    run<&Kernels::cell_scan_backward>("cell_scan_backward", device,
        CellScanBackwardArgs{.kind = kind, .recurrent = recurrent.f32(), .channels = channels, .heads = heads, .saved = saved.f32(),
                             .dy = values(d[0]), .y = y.f32(), .sequences = {offsets}, .before = states_before.data(), .d_after = d_after.data(),
                             .dx = to[0].f32(), .d_product = d_product.f32(), .d_before = d_before.data()});
    if (wanted[1]) to[1] = recurrent_gradient(d_product, hidden_before(y, before, offsets), recurrent);
    if (wanted[2]) to[2] = sum_rows(d_product).view(bias.shape());
    return to;
  });
  return y;
}

}  // namespace

Tensor lstm_scan(const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot) {
  return scan(Cell::lstm, "lstm_scan", x, recurrent, bias, slot);
}
Tensor gru_scan(const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot) {
  return scan(Cell::gru, "gru_scan", x, recurrent, bias, slot);
}
Tensor slstm_scan(const Tensor& x, const Tensor& recurrent, const Tensor& bias, const Slot& slot) {
  return scan(Cell::slstm, "slstm_scan", x, recurrent, bias, slot);
}

}  // namespace headrace
