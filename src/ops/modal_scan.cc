// modal_scan: x = p x + u by mode, y = Re sum_n R_n x_n (modal_scan.h); gradients in u, poles, residues and the states before.
#include "ops/modal_scan.h"

#include "ops/kernels/modal_scan.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {

Tensor modal_scan(const Tensor& u, const Modes& m, const Slot& slot) {
  const Device device = u.device();
  const Shape shape = m.pole.shape();
  expect(u.rank() == 2 && shape.rank() == 2 && shape[0] > 0 && shape[0] % 2 == 0 && shape[1] == u.dim(1) && m.residue && m.residue.shape() == shape,
         "long_conv: u ", u.shape(), " poles ", shape, " residues ", m.residue ? m.residue.shape() : Shape{});
  States s = states(slot, shape, device, "long_conv");
  const Tensor y = Tensor::empty(u.shape(), DType::f32, device);
  auto args = [=](const Rows& to, const Sequences& sequences, float* const* in_place) {
    return ModalScanArgs{.u = rows_of(u), .y = to, .pole = rows_of(m.pole), .residue = rows_of(m.residue), .sequences = sequences,
                         .states = in_place};
  };
  run<&Kernels::modal_scan>("modal_scan", device, args(rows_of(y), slot.sequences, s.data()));
  if (!Tape::current()) return y;
  const Tensors inputs = joined({u, m.pole, m.residue}, s.before);
  if (Tape* t = recording(inputs)) {
    std::vector<bool> wanted;
    for (const Tensor& b : s.before) wanted.push_back(b && t->tracks(b));
    const std::vector<int64_t> offsets(slot.sequences.offsets.begin(), slot.sequences.offsets.end());
    t->record(joined({y}, s.after), inputs, [=, before = s.before](const Tensors& d) {
      Tensors g{like(u), like(m.pole), like(m.residue)};
      std::vector<const float*> was, after;
      std::vector<float*> first;
      for (size_t i = 0; i < before.size(); ++i) {
        g.push_back(wanted[i] ? Tensor::empty(shape, DType::f32, device) : Tensor{});
        was.push_back(before[i] ? before[i].f32() : nullptr), after.push_back(d[1 + i] ? d[1 + i].f32() : nullptr);
        first.push_back(g.back() ? g.back().f32() : nullptr);
      }
      const Tensor dy = d[0] ? d[0] : Tensor::zeros(u.shape(), DType::f32, device);
      run<&Kernels::modal_scan_backward>("modal_scan_backward", device,
          ModalScanBackwardArgs{.forward = args({}, {offsets}, nullptr), .dy = rows_of(dy), .du = rows_of(g[0]), .dpole = rows_of(g[1]),
                                .dresidue = rows_of(g[2]),
                                .before = was.empty() ? nullptr : was.data(), .d_after = after.empty() ? nullptr : after.data(),
                                .d_before = first.empty() ? nullptr : first.data()});
      return g;
    });
  }
  return y;
}

}  // namespace headrace
