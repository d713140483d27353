// softmax: dx = p (dp - p.dp); entmax (Peters et al. 2019, 1905.05702), whose gradient also reaches alpha; top_k, whose gradient
// goes to the columns that were chosen.
#include "ops/ops.h"

#include "ops/run.h"

namespace headrace {

Tensor softmax(const Tensor& x) {
  Tensor y = like(x);
  run<&Kernels::softmax>("softmax", x.device(), rows_of(x), rows_of(y));
  if (Tape* t = recording(x))
    t->record({y}, {x}, [=](const Tensors& dy) -> Tensors {
      Tensor dx = like(y);
      run<&Kernels::softmax_backward>("softmax_backward", y.device(), rows_of(y), rows_of(dy[0]), rows_of(dx));
      return {dx};
    });
  return y;
}

Tensor entmax(const Tensor& x, const Tensor& alpha) {
  const int64_t rows = x.dim(-1) ? x.count() / x.dim(-1) : 0;
  expect(alpha.dtype() == DType::f32 && alpha.contiguous() && (alpha.count() == 1 || alpha.count() == rows) && x.dim(-1) > 0, "entmax: x ",
         x.shape(), " alpha ", alpha.dtype(), " ", alpha.shape(), ", wanted one f32, or one a row");
  if (alpha.device() == Device::cpu)
    for (float a : alpha.floats()) expect(a >= 1, "entmax: alpha ", a, ", wanted at least 1");
  Tensor y = like(x);
  run<&Kernels::entmax>("entmax", x.device(), rows_of(x), alpha.floats(), rows_of(y));
  if (Tape* t = recording(x, alpha))
    t->record({y}, {x, alpha}, [=, wanted = t->tracks(alpha)](const Tensors& dy) -> Tensors {
      Tensor dx = like(x), dalpha = wanted ? like(alpha) : Tensor{};
      run<&Kernels::entmax_backward>("entmax_backward", x.device(),
          EntmaxBackward{.x = rows_of(x), .dy = rows_of(dy[0]), .dx = rows_of(dx), .alpha = alpha.floats(),
                         .dalpha = wanted ? dalpha.f32() : nullptr});
      return {dx, dalpha};
    });
  return y;
}

TopK top_k(const Tensor& x, int64_t k) {
  expect(k >= 0 && k <= x.dim(-1), "top_k: ", k, " of each row of ", x.shape());
  TopK best{.values = with_last(x, k), .columns = {}};
  best.columns = Tensor::empty(best.values.shape(), DType::i64, x.device());
  run<&Kernels::top_k>("top_k", x.device(), rows_of(x), rows_of(best.values), best.columns.data<int64_t>());
  if (Tape* t = recording(x))
    t->record({best.values}, {x}, [k, shape = x.shape(), columns = best.columns](const Tensors& dy) -> Tensors {
      Tensor dx = Tensor::zeros(shape, DType::f32, dy[0].device());
      expect(dy[0].device() != Device::cuda, "top_k: no backward on ", dy[0].device());
      if (dy[0].device() == Device::meta) return {dx};
      const Rows d = rows_of(dy[0]), to = rows_of(dx);
      for (int64_t i = 0; i < d.rows; ++i)
        for (int64_t j = 0; j < k; ++j) to[i][columns.data<int64_t>()[i * k + j]] = d[i][j];
      return {dx};
    });
  return best;
}

}  // namespace headrace
