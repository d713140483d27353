// running_max: m_t = max over s <= t of x_s, and how far it rose (running_max.h). Its gradient goes to the row that is the
// largest, the latest of equal ones; that of a fall to the two rows that it lies between.
#include "ops/running_max.h"

#include "ops/run.h"

namespace headrace {

RunningMax running_max(const Tensor& x, std::span<const int32_t> positions, const Slot& slot) {
  check_rows("running_max", x, slot);
  const int64_t C = x.dim(1);
  const Tensor kept = Tensor::zeros({C}, DType::f32, x.device());            // nothing decays
  std::vector<SlotValue> own(slot.values.empty() ? static_cast<size_t>(slot.sequences.count()) : 0);
  Slot from = slot;
  for (SlotValue& v : own) from.values.push_back(&v);
  Tape* tape = recording(x);
  const PauseTape pause;
  const States s = states(from, {C}, x.device(), "running_max", Beginning{0, -1e38f});
  RunningMax r{like(x), like(x)};
  run<&Kernels::running_max>("running_max", x.device(), Rows{kept.f32(), x.dim(0), C, 0}, rows_of(x), slot.sequences, s.data(), rows_of(r.m),
                             rows_of(r.fell));
  r.fell = where_starts(positions, 0, r.fell);
  if (tape)
    tape->record({r.m, r.fell}, {x}, [x, m = r.m, starts = std::vector(positions.begin(), positions.end()),
                                      offsets = std::vector(slot.sequences.offsets.begin(), slot.sequences.offsets.end())](
                                         const Tensors& d) -> Tensors {
      expect(x.device() != Device::cuda, "running_max: no backward on ", x.device());
      Tensor dx = Tensor::zeros(x.shape(), DType::f32, x.device());
      if (x.device() == Device::meta) return {dx};
      const Rows dm = d[0] ? rows_of(d[0]) : Rows{}, df = d[1] ? rows_of(d[1]) : Rows{};
      for (size_t s = 0; s + 1 < offsets.size(); ++s)
        for (int64_t c = 0; c < x.dim(1); ++c) {
          int64_t top = -1;                            // the row that is the largest; -1: one from before
          for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) {
            const float fell = df.data && starts[static_cast<size_t>(t)] != 0 ? df[t][c] : 0;
            if (top >= 0) dx.f32()[top * x.dim(1) + c] += fell;                // m_(t-1)
            if (x.f32()[t * x.stride(0) + c] == m.f32()[t * x.dim(1) + c]) top = t;
            if (top >= 0) dx.f32()[top * x.dim(1) + c] += (dm.data ? dm[t][c] : 0) - fell;
          }
        }
      return {dx};
    });
  return r;
}

}  // namespace headrace
