// What sees later tokens (whole.h), composed of ops sequence by sequence; nothing is carried, so a state is refused first.
#include "ops/whole.h"

#include <algorithm>

#include "base/error.h"
#include "ops/run.h"

namespace headrace {

void expect_whole(const char* op, const Slot& slot) { expect(slot.values.empty(), op, ": cannot continue: not causal"); }

Tensor softmax_over_time(const Tensor& x, const Slot& slot) {
  expect_whole("softmax_over_time", slot);
  check_rows("softmax_over_time", x, slot);
  const int64_t C = x.dim(0) ? x.count() / x.dim(0) : 0;
  if (x.dim(0) == 0) return like(x);
  return each_sequence(slot.sequences, [&](int64_t first, int64_t n, int) {
    Shape shape = x.shape();
    shape[0] = n;
    return transposed(softmax(transposed(x.slice(0, first, n).view({n, C})))).view(shape);
  });
}

Tensor max_over_time(const Tensor& x, const Slot& slot) {
  expect_whole("max_over_time", slot);
  check_rows("max_over_time", x, slot);
  const int64_t C = x.dim(1);
  if (x.dim(0) == 0) return like(x);
  return each_sequence(slot.sequences, [&](int64_t first, int64_t n, int) {
    const Tensor largest = top_k(transposed(x.slice(0, first, n)), 1).values.view({C});
    return Tensor::zeros({n, C}, DType::f32, x.device()) + largest;
  });
}

Tensor linear_whole(const Tensor& q, const Tensor& k, const Tensor& v, const Slot& slot) {
  expect_whole("linear_whole", slot);
  check_rows("linear_whole", q, slot);
  expect(q.rank() == 3 && v.rank() == 3 && k.shape() == q.shape() && v.dim(0) == q.dim(0) && v.dim(1) == q.dim(1), "linear_whole: q ", q.shape(),
         " k ", k.shape(), " v ", v.shape());
  const int64_t H = q.dim(1), V = v.dim(2);
  if (q.dim(0) == 0) return Tensor::empty({0, H, V}, DType::f32, q.device());
  return each_sequence(slot.sequences, [&](int64_t first, int64_t n, int) {
    std::vector<Tensor> heads;
    for (int64_t h = 0; h < H; ++h) {
      const auto rows = [&](const Tensor& x) { return x.slice(0, first, n).slice(1, h, 1).view({n, x.dim(2)}); };
      heads.push_back(matmul(rows(q), matmul(rows(k), rows(v), true)));
    }
    return (H == 1 ? heads[0] : concat(heads)).view({n, H, V});
  });
}

}  // namespace headrace
