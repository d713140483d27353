#include "ops/sequence.h"

#include <algorithm>

#include "ops/kernels/linear_scan.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {

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
  States s = states(slot, {H, K, V}, x.q.device(), op);
  Tensor y = Tensor::empty({N, H, V}, DType::f32, x.q.device());
  args.y = y.f32(), args.y_stride = H * V, args.states = s.data();
  run<&Kernels::linear_scan>(op, x.q.device(), args);
  return y;
}

}  // namespace headrace
