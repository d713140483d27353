// mLSTM as a linear scan: with m_t = max(g_t + m_{t-1}, i_t) the state is kept times e^-m, so its decay is e^(g_t + m_{t-1} - m_t) <= 1
// and what is written comes times e^(i_t - m_t) <= 1. The answer does not depend on m, so m has no gradient.
#include "ops/ops.h"
#include "ops/run.h"
#include "ops/sequence.h"

namespace headrace {

Tensor mlstm(const Mlstm& x, const Slot& memory, const Slot& maximum) {
  const char* op = "mlstm";
  const int64_t N = x.q.dim(0), H = x.q.dim(1);
  check_rows(op, x.q, maximum);
  expect(x.k.shape() == x.q.shape() && x.v.rank() == 3 && x.v.dim(0) == N && x.v.dim(1) == H, op, ": q ", x.q.shape(), " k ", x.k.shape(), " v ",
         x.v.shape());
  expect(x.input.shape() == Shape({N, H}) && x.log_forget.shape() == Shape({N, H}), op, ": input ", x.input.shape(), " log_forget ",
         x.log_forget.shape(), " for ", N, " tokens, ", H, " heads");
  const Device device = x.q.device();
  Tensor m = like(x.input), fell = like(x.input);
  const States s = states(maximum, {H}, device, op);
  run<&Kernels::running_max>("running_max", device, rows_of(x.log_forget), rows_of(x.input), maximum.sequences, s.data(), rows_of(m), rows_of(fell));
  const Tensor y = linear_scan({.q = x.q, .k = scale_heads(x.k, exp(x.input - m)), .v = with_ones(x.v), .log_decay = x.log_forget + fell,
                                .scale = x.scale}, memory);
  return normalised(y, exp(-1.f * m), x.eps);
}

}  // namespace headrace
