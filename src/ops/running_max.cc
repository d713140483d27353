#include "ops/running_max.h"

#include "ops/run.h"

namespace headrace {

RunningMax running_max(const Tensor& x, std::span<const int32_t> positions, const Slot& slot) {
  check_rows("running_max", x, slot);
  const PauseTape pause;
  const int64_t C = x.dim(1);
  const Tensor kept = Tensor::zeros({C}, DType::f32, x.device());            // nothing decays
  std::vector<SlotValue> own(slot.values.empty() ? static_cast<size_t>(slot.sequences.count()) : 0);
  Slot from = slot;
  for (SlotValue& v : own) from.values.push_back(&v);
  const States s = states(from, {C}, x.device(), "running_max", Beginning{0, -1e38f});
  RunningMax r{like(x), like(x)};
  run<&Kernels::running_max>("running_max", x.device(), Rows{kept.f32(), x.dim(0), C, 0}, rows_of(x), slot.sequences, s.data(), rows_of(r.m),
                             rows_of(r.fell));
  r.fell = where_starts(positions, 0, r.fell);
  return r;
}

}  // namespace headrace
