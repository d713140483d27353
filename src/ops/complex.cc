// Complex ops and the generators of filters (kernels/filters.h). A gradient is that of both parts: dz = dy conj(f'(z)).
#include "ops/complex.h"

#include <bit>

#include "ops/kernels/filters.h"
#include "ops/run.h"
#include "ops/sequence.h"

namespace headrace {
namespace {
ComplexRows rows_of(const Complex& z) { return {headrace::rows_of(z.re), headrace::rows_of(z.im)}; }
Complex like(const Complex& z) { return {headrace::like(z.re), headrace::like(z.im)}; }
Complex apply(ComplexUnary f, bool slope, const Complex& z) {
  Complex y = like(z);
  run<&Kernels::complex_unary>("complex_unary", z.re.device(), f, slope, rows_of(z), rows_of(y));
  return y;
}
void check(const char* op, const Complex& z) {
  expect(z.re.shape() == z.im.shape() && z.re.rank() == 2, op, ": real parts ", z.re.shape(), ", imaginary parts ", z.im.shape(),
         ", wanted matrices");
}
}  // namespace

Complex complex_of_pairs(const Tensor& x) {
  const Tensor pairs = x.view({x.count() / 2, 2});
  const Shape shape(x.shape().dims().first(static_cast<size_t>(x.rank() - 1)));
  return {concat({pairs.slice(1, 0, 1)}).view(shape), concat({pairs.slice(1, 1, 1)}).view(shape)};
}

Complex unary(ComplexUnary f, const Complex& z) {
  check("complex_unary", z);
  Complex y = apply(f, false, z);
  if (Tape* t = recording(z.re, z.im))                            // dz = dy conj(f'(z))
    t->record({y.re, y.im}, {z.re, z.im}, [=, shape = z.re.outline(), device = z.re.device()](const Tensors& d) -> Tensors {
      auto zeros = [&] { return Tensor::zeros(shape.shape(), DType::f32, device); };
      const Complex dz = Complex{d[0] ? d[0] : zeros(), d[1] ? d[1] : zeros()} * conj(apply(f, true, z));
      return {dz.re, dz.im};
    });
  return y;
}

Tensor modal_filter(const Complex& p, const Complex& r, int64_t taps) {
  check("modal_filter", p), check("modal_filter", r);
  expect(p.re.shape() == r.re.shape() && taps >= 1, "modal_filter: poles ", p.re.shape(), " residues ", r.re.shape(), " taps ", taps);
  Tensor k = Tensor::empty({p.re.dim(0), taps}, DType::f32, p.re.device());
  run<&Kernels::modal_filter>("modal_filter", k.device(), ModalFilterArgs{.log_pole = rows_of(p), .residue = rows_of(r), .k = headrace::rows_of(k)});
  if (Tape* t = recording(p.re, p.im, r.re, r.im))
    t->record({k}, {p.re, p.im, r.re, r.im}, [=](const Tensors& d) -> Tensors {
      Complex dp = like(p), dr = like(r);
      run<&Kernels::modal_filter>("modal_filter", d[0].device(), ModalFilterArgs{.log_pole = rows_of(p), .residue = rows_of(r),
                                  .k = headrace::rows_of(d[0]), .gradient = true, .dlog_pole = rows_of(dp), .dresidue = rows_of(dr)});
      return {dp.re, dp.im, dr.re, dr.im};
    });
  return k;
}

Modes modes_of(const Complex& p, const Complex& r) {
  check("modes_of", p), check("modes_of", r);
  expect(p.re.shape() == r.re.shape(), "modes_of: poles ", p.re.shape(), " residues ", r.re.shape());
  return {transposed(concat({p.re, p.im})), transposed(concat({r.re, r.im}))};
}

Complex cauchy(const Complex& w, const Complex& z, int64_t length) {
  check("cauchy", w), check("cauchy", z);
  expect(w.re.dim(1) == z.re.dim(1) && z.re.dim(0) > 0 && w.re.dim(0) % z.re.dim(0) == 0 && length >= 1, "cauchy: w ", w.re.shape(), " z ",
         z.re.shape(), " length ", length);
  const Shape shape{w.re.dim(0), length / 2 + 1};
  Complex r{Tensor::empty(shape, DType::f32, w.re.device()), Tensor::empty(shape, DType::f32, w.re.device())};
  run<&Kernels::cauchy>("cauchy", r.re.device(), CauchyArgs{.w = rows_of(w), .z = rows_of(z), .r = rows_of(r), .length = length});
  if (Tape* t = recording(w.re, w.im, z.re, z.im))
    t->record({r.re, r.im}, {w.re, w.im, z.re, z.im}, [=](const Tensors& d) -> Tensors {
      const Tensor like_r = Tensor::empty({w.re.dim(0), length / 2 + 1}, DType::f32, Device::meta);
      auto zeros = [&](const Tensor& g) { return g ? g : Tensor::zeros(like_r.shape(), DType::f32, w.re.device()); };
      Complex dr{zeros(d[0]), zeros(d[1])}, dw = like(w), dz = like(z);
      run<&Kernels::cauchy>("cauchy", dw.re.device(), CauchyArgs{.w = rows_of(w), .z = rows_of(z), .r = rows_of(dr), .length = length,
                            .gradient = true, .dw = rows_of(dw), .dz = rows_of(dz)});
      return {dw.re, dw.im, dz.re, dz.im};
    });
  return r;
}

Tensor inverse_fourier(const Complex& s, int64_t length) {
  check("inverse_fourier", s);
  expect(std::has_single_bit(static_cast<uint64_t>(length)) && s.re.dim(1) == length / 2 + 1, "inverse_fourier: a spectrum ", s.re.shape(), " for ",
         length, " numbers, which must be a power of two");
  Tensor x = Tensor::empty({s.re.dim(0), length}, DType::f32, s.re.device());
  run<&Kernels::inverse_fourier>("inverse_fourier", x.device(), rows_of(s), false, headrace::rows_of(x));
  if (Tape* t = recording(s.re, s.im))
    t->record({x}, {s.re, s.im}, [shape = s.re.shape(), device = s.re.device()](const Tensors& d) -> Tensors {
      Complex ds{Tensor::empty(shape, DType::f32, device), Tensor::empty(shape, DType::f32, device)};
      run<&Kernels::inverse_fourier>("inverse_fourier", device, rows_of(ds), true, headrace::rows_of(d[0]));
      return {ds.re, ds.im};
    });
  return x;
}

}  // namespace headrace
