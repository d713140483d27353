// What stands around linear_scan where its answers are weighted means.
#include "ops/run.h"
#include "ops/ops.h"

namespace headrace {

Tensor with_ones(const Tensor& v) {
  return concat({v.contiguous() ? v : concat_rows({v}), exp(Tensor::zeros({v.dim(0), v.dim(1), 1}, DType::f32, v.device()))});
}

Tensor normalised(const Tensor& x, const Tensor& floor, float eps) {
  expect(x.rank() == 3 && x.dim(2) > 1 && (!floor || floor.shape() == Shape({x.dim(0), x.dim(1)})), "normalised: x ", x.shape(), " floor ",
         floor ? floor.shape() : Shape{});
  const int heads = static_cast<int>(x.dim(1));
  Tensor y = with_last(x, x.dim(2) - 1);
  const Rows low = floor ? rows_of(floor) : Rows{};
  run<&Kernels::normalise>("normalise", x.device(), rows_of(x, 2), low, eps, heads, rows_of(y, 2));
  if (Tape* t = recording(x))
    t->record({y}, {x}, [=](const Tensors& dy) -> Tensors {
      Tensor dx = like(x);
      run<&Kernels::normalise_backward>("normalise_backward", x.device(), rows_of(x, 2), floor ? rows_of(floor) : Rows{}, eps, heads,
                                        rows_of(dy[0], 2), rows_of(dx, 2));
      return {dx};
    });
  return y;
}

}  // namespace headrace
