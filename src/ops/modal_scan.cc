// modal_scan: x = p x + u by mode, y = Re sum_n R_n x_n (modal_scan.h), and what coupled modes add; gradients in u, in what makes the modes
// and in the states before.
#include "ops/modal_scan.h"

#include <cmath>
#include <complex>

#include "base/parallel.h"
#include "ops/kernels/modal_scan.h"
#include "ops/ops.h"
#include "ops/run.h"

namespace headrace {
namespace {

ModalScanArgs arguments(const Modes& m, const Tensor& u, const Rows& y, const Sequences& sequences, float* const* states) {
  ModalScanArgs a{.u = rows_of(u), .y = y, .pole = rows_of(m.pole), .residue = rows_of(m.residue), .sequences = sequences, .states = states};
  if (m.row) a.input = rows_of(m.input), a.column = rows_of(m.column), a.row = rows_of(m.row);
  return a;
}
bool all_have(const Shape& shape, std::initializer_list<Tensor> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t && t.shape() == shape; });
}

}  // namespace

Tensor modal_scan(const Tensor& u, const Modes& m, const Slot& slot) {
  const Device device = u.device();
  const Shape shape = m.pole.shape();
  expect(u.rank() == 2 && shape.rank() == 2 && shape[0] > 0 && shape[0] % 2 == 0 && shape[1] == u.dim(1) && m.residue && m.residue.shape() == shape,
         "long_conv: u ", u.shape(), " poles ", shape, " residues ", m.residue ? m.residue.shape() : Shape{});
  expect(all_have(shape, {m.input, m.column, m.row}) || (!m.input && !m.column && !m.row), "long_conv: modes ", shape,
         ": wanted as many of input, column and row, or none");
  States s = states(slot, shape, device, "long_conv");
  const Tensor y = Tensor::empty(u.shape(), DType::f32, device);
  run<&Kernels::modal_scan>("modal_scan", device, arguments(m, u, rows_of(y), slot.sequences, s.data()));
  if (!Tape::current()) return y;
  const Tensors inputs = joined({u, m.pole, m.residue, m.input, m.column, m.row}, s.before);
  if (Tape* t = recording(inputs)) {
    std::vector<bool> wanted;
    for (const Tensor& b : s.before) wanted.push_back(b && t->tracks(b));
    const std::vector<int64_t> offsets(slot.sequences.offsets.begin(), slot.sequences.offsets.end());
    t->record(joined({y}, s.after), inputs, [=, before = s.before](const Tensors& d) {
      Tensors g{like(u), like(m.pole), like(m.residue)};
      for (const Tensor* x : {&m.input, &m.column, &m.row}) g.push_back(*x ? like(*x) : Tensor{});
      const size_t own = g.size();
      std::vector<const float*> was, after;
      std::vector<float*> first;
      for (size_t i = 0; i < before.size(); ++i) {
        g.push_back(wanted[i] ? Tensor::empty(shape, DType::f32, device) : Tensor{});
        was.push_back(before[i] ? before[i].f32() : nullptr), after.push_back(d[1 + i] ? d[1 + i].f32() : nullptr);
        first.push_back(g[own + i] ? g[own + i].f32() : nullptr);
      }
      const Tensor dy = d[0] ? d[0] : Tensor::zeros(u.shape(), DType::f32, device);
      auto rows = [&](size_t i) { return g[i] ? rows_of(g[i]) : Rows{}; };
      run<&Kernels::modal_scan_backward>("modal_scan_backward", device,
          ModalScanBackwardArgs{.forward = arguments(m, u, {}, {offsets}, nullptr), .dy = rows_of(dy), .du = rows(0), .dpole = rows(1),
                                .dresidue = rows(2),
                                .before = was.empty() ? nullptr : was.data(), .d_after = after.empty() ? nullptr : after.data(),
                                .d_before = first.empty() ? nullptr : first.data(), .dinput = rows(3), .dcolumn = rows(4), .drow = rows(5)});
      return g;
    });
  }
  return y;
}

namespace {

using Number = std::complex<double>;
using Numbers = std::vector<Number>;

Number inverse(const Number& z) { return std::conj(z) / (z.real() * z.real() + z.imag() * z.imag()); }   // 1 / z cares for infinities, slowly

// A channel's A = diag(pole) - left right^T over its modes and their conjugates, as a matrix of all states.
struct Channel {
  Numbers pole, left, right;

  // v (1 - A^length)^-1 for a row v of which half is kept; for a column, left and right change places. 1 / (1 - x^L) is the mean of
  // 1 / (1 - w x) over the roots of unity w, and each (1 - w A)^-1 a diagonal matrix and one of rank one (Woodbury). A root and its conjugate
  // go together: what one gives to a mode, the other gives to its partner.
  Numbers resolve(const Numbers& v, int64_t length) const {
    const size_t N = pole.size();
    Numbers sum(N), one(N), other(N);
    for (int64_t k = 0; k <= length / 2; ++k) {
      const bool alone = k == 0 || 2 * k == length;
      const Number w = std::polar(1.0, 6.283185307179586477 * static_cast<double>(k) / static_cast<double>(length));
      Number top = 0, under = 1;
      for (size_t n = 0; n < N; ++n) {
        one[n] = inverse(1.0 - w * pole[n]), other[n] = alone ? one[n] : inverse(1.0 - std::conj(w) * pole[n]);
        top += v[n] * left[n] * one[n] + std::conj(v[n] * left[n] * other[n]);
        under += w * (right[n] * left[n] * one[n] + std::conj(right[n] * left[n] * other[n]));
      }
      const Number low = w * top / under;
      for (size_t n = 0; n < N; ++n) sum[n] += alone ? low * one[n] : low * one[n] + std::conj(low) * other[n];
    }
    for (size_t n = 0; n < N; ++n)
      sum[n] = v[n] / (1.0 - std::exp(static_cast<double>(length) * std::log(pole[n]))) - sum[n] * right[n] / static_cast<double>(length);
    return sum;
  }
};

// What `resolve` makes of the channels of v [2M,C]: rows, or columns. The coupling takes the real part over half of the states, the matrix
// all of them: half of a row.
Tensor resolved(const Modes& system, const Tensor& v, int64_t length, bool columns) {
  const Tensor y = like(v);
  if (y.device() == Device::meta) return y;
  auto here = [](const Tensor& x) { return copy_to(x.contiguous_or_copy(), Device::cpu); };
  const Tensor pole = here(system.pole), column = here(system.column), row = here(system.row), from = here(v), to = Tensor::empty(v.shape());
  const int64_t N = v.dim(0) / 2, C = v.dim(1);
  parallel(C, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t c = begin; c < end; ++c) {
      auto numbers = [&](const Tensor& x, double scale) {
        Numbers all;
        for (int64_t n = 0; n < N; ++n) all.emplace_back(scale * double{x.f32()[n * C + c]}, scale * double{x.f32()[(N + n) * C + c]});
        return all;
      };
      Channel channel{numbers(pole, 1), numbers(column, 1), numbers(row, 0.5)};
      if (columns) std::swap(channel.left, channel.right);
      const Numbers x = channel.resolve(numbers(from, 1), length);
      for (int64_t n = 0; n < N; ++n) {
        to.f32()[n * C + c] = static_cast<float>(x[static_cast<size_t>(n)].real());
        to.f32()[(N + n) * C + c] = static_cast<float>(x[static_cast<size_t>(n)].imag());
      }
    }
  });
  return copy_to(to, v.device());
}
Tensor conjugate(const Tensor& x) {
  const int64_t N = x.dim(0) / 2;
  return concat_rows({x.slice(0, 0, N), unary(Unary::negate, x.slice(0, N, N))});
}

}  // namespace

// With v = R (1 - A^L)^-1 and y = (1 - A^L)^-1 conj(dv): dR = conj(y), and A's gradient is that of Re(v A^L y), a scan of L tokens of nothing.
Tensor untruncated(const Modes& m, const Tensor& truncated, int64_t length) {
  const Shape shape = m.pole.shape();
  expect(shape.rank() == 2 && shape[0] % 2 == 0 && all_have(shape, {m.column, m.row, truncated}) && length >= 1, "untruncated: modes ", shape,
         " for ", truncated.shape(), " of ", length, " taps");
  const Tensor v = resolved(m, truncated, length, false);
  if (Tape* t = recording(m.pole, m.column, m.row, truncated))
    t->record({v}, {m.pole, m.column, m.row, truncated}, [=](const Tensors& d) -> Tensors {
      PauseTape pause;
      const Device device = v.device();
      const Tensor y = resolved(m, conjugate(d[0]), length, true), d_after = conjugate(v);
      const Tensor none = Tensor::zeros({length, shape[1]}, DType::f32, device), du = like(none);
      const Modes system{m.pole, v, m.column, m.column, m.row};
      const Tensor dpole = like(v), dresidue = like(v), dinput = like(v), dcolumn = like(v), drow = like(v);
      const float *before = y.f32(), *after = d_after.f32();
      const std::vector<int64_t> offsets{0, length};
      run<&Kernels::modal_scan_backward>("modal_scan_backward", device,
          ModalScanBackwardArgs{.forward = arguments(system, none, {}, {offsets}, nullptr), .dy = rows_of(none), .du = rows_of(du),
                                .dpole = rows_of(dpole), .dresidue = rows_of(dresidue), .before = &before, .d_after = &after, .d_before = nullptr,
                                .dinput = rows_of(dinput), .dcolumn = rows_of(dcolumn), .drow = rows_of(drow)});
      return {dpole, dcolumn, drow, conjugate(y)};
    });
  return v;
}

}  // namespace headrace
