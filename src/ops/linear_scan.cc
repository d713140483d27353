// linear_scan: S_t = (diag(w_t) + b_t a_t^T) S_{t-1} + k_t v_t^T, o_t = scale S_t^T q_t (variants: sequence.h; chunks and
// gradients: docs/math/linear_scan.md). Here shapes are checked and strides given; heads that read one row have their gradients
// summed.
#include "ops/sequence.h"

#include <algorithm>

#include "ops/kernels/linear_scan.h"
#include "ops/ops.h"
#include "ops/run.h"
#include "ops/weights.h"

namespace headrace {
namespace {

// Gradients of heads that read one row: [N,H,D] -> [N,heads,D].
Tensor summed(const Tensor& d, int64_t heads) {
  if (d.dim(1) == heads) return d;
  const int64_t rows = d.dim(0) * heads, D = d.dim(2);
  const Tensor all = d.view({rows, d.count() / rows});
  Tensor y = 1.f * all.slice(1, 0, D);
  for (int64_t i = D; i < all.dim(1); i += D) add_into(all.slice(1, i, D), y);
  return y.view({d.dim(0), heads, D});
}

float* pointer(const Tensor& x) { return x ? x.f32() : nullptr; }

// inputs: q, k, v, log_decay, a, b, beta, bonus, then the states from before.
void record_backward(Tape& tape, const Tensors& inputs, const LinearScanArgs& args, const Slot& slot, const Tensor& y, const Tensors& after) {
  tape.record(joined({y}, after), inputs,
              [=, offsets = std::vector(slot.sequences.offsets.begin(), slot.sequences.offsets.end())](const Tensors& dy) {
    const int64_t N = offsets.back(), H = args.heads, K = args.key, V = args.value;
    const Device device = inputs[0].device();
    const auto fresh = [&](bool wanted, const Shape& shape) { return wanted ? Tensor::empty(shape, DType::f32, device) : Tensor{}; };
    const Tensor dy0 = dy[0] ? dy[0].contiguous_or_copy() : Tensor::zeros({N, H, V}, DType::f32, device);
    const bool by_key = args.decay_per_key;
    const auto has = [&](size_t i) { return static_cast<bool>(inputs[i]); };
    const Tensor dq = fresh(true, {N, H, K}), dk = fresh(true, {N, H, K}), dv = fresh(true, {N, H, V}),
                 dg = fresh(has(3), by_key ? Shape{N, H, K} : Shape{N, H}), da = fresh(has(4), {N, H, K}), db = fresh(has(4), {N, H, K}),
                 d_beta = fresh(has(6), {N, H}), d_bonus = fresh(has(7), {static_cast<int64_t>(offsets.size()) - 1, H, K});
    const size_t fixed = 8, states = inputs.size() - fixed;
    std::vector<const float*> first;
    std::vector<float*> d_states;
    Tensors d_state;
    for (size_t i = 0; i < states; ++i) {
      const Tensor &before = inputs[fixed + i], &d = dy[1 + i];
      first.push_back(before ? before.f32() : nullptr);
      d_state.push_back(d ? 1.f * d : before ? Tensor::zeros({H, K, V}, DType::f32, device) : Tensor{});
      d_states.push_back(pointer(d_state.back()));
    }
    LinearScanBackward b{.forward = args, .first = states ? first.data() : nullptr, .dy = dy0.f32(), .d_states = states ? d_states.data() : nullptr,
                         .dq = dq.f32(), .dk = dk.f32(), .dv = dv.f32(), .d_decay = pointer(dg), .da = pointer(da), .db = pointer(db),
                         .d_beta = pointer(d_beta), .d_bonus = pointer(d_bonus)};
    b.forward.sequences = {offsets}, b.forward.states = nullptr;
    run<&Kernels::linear_scan_backward>("linear_scan_backward", device, b);
    const Tensor& g = inputs[3];
    for (size_t i = 0; i < states; ++i)
      if (!inputs[fixed + i]) d_state[i] = {};
    Tensors d{summed(dq, args.q_heads), summed(dk, args.k_heads), summed(dv, args.v_heads),
              g && args.decay_stride == 0 ? sum_rows(dg).view(g.shape()) : dg, da, db, d_beta,
              d_bonus ? sum_rows(d_bonus).view(inputs[7].shape()) : Tensor{}};
    d.insert(d.end(), d_state.begin(), d_state.end());
    return d;
  });
}

}  // namespace

Tensor linear_scan(const LinearScan& x, const Slot& slot) {
  const char* op = "linear_scan";
  check_rows(op, x.q, slot);
  Rows q = heads(x.q, op), k = heads(x.k, op), v = heads(x.v, op);
  const int64_t N = x.q.dim(0), K = x.q.dim(2), V = x.v.dim(2), Hq = x.q.dim(1), Hk = x.k.dim(1), Hv = x.v.dim(1), H = std::max({Hq, Hk, Hv});
  expect(x.k.dim(0) == N && x.v.dim(0) == N && x.k.dim(2) == K && Hq > 0 && Hk > 0 && Hv > 0 && H % Hq == 0 && H % Hk == 0 && H % Hv == 0, op,
         ": q ", x.q.shape(), " k ", x.k.shape(), " v ", x.v.shape());
  LinearScanArgs args{.q = q.data, .k = k.data, .v = v.data, .q_stride = q.stride, .k_stride = k.stride, .v_stride = v.stride,
                      .heads = static_cast<int>(H), .q_heads = static_cast<int>(Hq), .k_heads = static_cast<int>(Hk), .v_heads = static_cast<int>(Hv),
                      .key = static_cast<int>(K), .value = static_cast<int>(V), .sequences = slot.sequences, .scale = x.scale};
  if (const Tensor& g = x.log_decay; g) {
    const Shape &s = g.shape(), NH{N, H}, NHK{N, H, K}, H1{H}, HK{1, H, K};
    expect(s == NH || s == NHK || s == H1 || s == HK, op, ": log_decay ", s, " for ", N, " tokens, ", H, " heads of ", K);
    args.decay_per_key = s.rank() == 3;
    bool timed = s == NH || s == NHK;
    Rows r = timed ? rows_of(g, g.rank() - 1) : Rows{g.f32(), 1, g.count(), 0};
    args.log_decay = r.data;
    args.decay_stride = timed ? r.stride : 0;
  }
  if (x.a) {
    Rows a = heads(x.a, op), b = heads(x.b, op);
    expect(x.a.shape() == Shape({N, H, K}) && x.b.shape() == x.a.shape(), op, ": a ", x.a.shape(), " b ", x.b.shape());
    args.a = a.data, args.a_stride = a.stride, args.b = b.data, args.b_stride = b.stride;
  }
  if (x.beta) {
    expect(x.beta.shape() == Shape({N, H}) && Hk == H && !x.a, op, ": beta ", x.beta.shape(), " for q ", x.q.shape(), " k ", x.k.shape());
    Rows b = rows_of(x.beta);
    args.beta = b.data, args.beta_stride = b.stride;
  }
  if (x.bonus) {
    expect(x.bonus.count() == H * K && x.bonus.contiguous() && !x.a && !x.beta, op, ": bonus ", x.bonus.shape(), " for q ", x.q.shape());
    args.bonus = x.bonus.f32();
  }
  WatchWeights::tell(slot, Hv, [&](const Tensor& places) {
    return linear_scan({x.q, x.k, places, x.log_decay, x.a, x.b, x.beta, x.bonus, x.scale}, slot);
  });
  States s = states(slot, {H, K, V}, x.q.device(), op, {}, true);
  Tensor y = Tensor::empty({N, H, V}, DType::f32, x.q.device());
  args.y = y.f32(), args.y_stride = H * V, args.states = s.data();
  run<&Kernels::linear_scan>(op, x.q.device(), args);
  if (!Tape::current()) return y;
  const Tensors inputs = joined({x.q, x.k, x.v, x.log_decay, x.a, x.b, x.beta, x.bonus}, s.before);
  if (Tape* t = recording(inputs)) record_backward(*t, inputs, args, slot, y, s.after);
  return y;
}

}  // namespace headrace
