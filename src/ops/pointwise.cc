// Functions of one and two tensors and sums. Of two, the second may be a row or a column; its gradient is then the sum over what
// it was repeated for. Products with an activation, act(a) b, are one kernel each, and so are their gradients.
#include "ops/ops.h"

#include <algorithm>

#include "ops/run.h"

namespace headrace {
namespace {
Tensor unary_backward(Unary f, float parameter, const Tensor& x, const Tensor& dy) {
  Tensor dx = like(x);
  run<&Kernels::unary_backward>("unary_backward", x.device(), f, parameter, rows_of(x), rows_of(dy), rows_of(dx));
  return dx;
}
}  // namespace

Tensor unary(Unary f, const Tensor& x, float parameter) {
  Tensor y = like(x);
  run<&Kernels::unary>("unary", x.device(), f, parameter, rows_of(x), rows_of(y));
  if (Tape* t = recording(x))
    t->record({y}, {x}, [=](const Tensors& dy) -> Tensors { return {unary_backward(f, parameter, x, dy[0])}; });
  return y;
}

Tensor sum_rows(const Tensor& x) {
  Tensor y = Tensor::empty(Shape(x.shape().dims().subspan(1)), DType::f32, x.device());
  run<&Kernels::sum>("sum", x.device(), rows_of(x, x.rank() - 1), true, y.f32());
  if (Tape* t = recording(x))
    t->record({y}, {x}, [x = x.outline(), device = x.device()](const Tensors& dy) -> Tensors {
      return {Tensor::zeros(x.shape(), DType::f32, device) + dy[0]};
    });
  return y;
}
Tensor sum_columns(const Tensor& x) {
  Tensor y = Tensor::empty(Shape(x.shape().dims().first(x.rank() - 1)), DType::f32, x.device());
  run<&Kernels::sum>("sum", x.device(), rows_of(x), false, y.f32());
  if (Tape* t = recording(x))
    t->record({y}, {x}, [x = x.outline(), device = x.device()](const Tensors& dy) -> Tensors {
      return {Tensor::zeros(x.shape(), DType::f32, device) + dy[0].view({dy[0].count(), 1})};
    });
  return y;
}
namespace {
// The most trailing dimensions, the first apart, whose elements are adjacent in both.
int adjacent(const Tensor& x, const Tensor& y) {
  int inner = 1;
  for (int64_t cols = x.rank() ? x.dim(-1) : 1; inner < x.rank() - 1; cols *= x.dim(-1 - inner), ++inner)
    if (x.stride(-1 - inner) != cols || y.stride(-1 - inner) != cols) break;
  return inner;
}
}  // namespace
void copy_into(const Tensor& x, Tensor& y) {
  expect(x.shape() == y.shape(), "copy_into: ", x.shape(), " to ", y.shape());
  const int inner = adjacent(x, y);
  run<&Kernels::unary>("unary", y.device(), Unary::scale, 1.f, rows_of(x, inner), rows_of(y, inner));
}
void add_into(const Tensor& x, Tensor& y) {
  expect(x.shape() == y.shape(), "add_into: ", x.shape(), " to ", y.shape());
  const int inner = adjacent(x, y);
  run<&Kernels::binary>("binary", y.device(), Binary::add, rows_of(y, inner), rows_of(x, inner), rows_of(y, inner));
}

namespace {
// How b lies beside a: one row for each of a's, one for all (of a's last dimension, or of all but the first), or a column.
enum class Beside { same, row, wide_row, column };
Beside beside(const char* op, const Tensor& a, const Tensor& b) {
  if (b.count() == a.dim(-1) && b.rank() == 1) return Beside::row;
  const Rows x = rows_of(a), w = rows_of(b);
  if (w.rows == x.rows && w.cols == x.cols) return Beside::same;
  if (w.rows == x.rows && w.cols == 1 && b.rank() == a.rank()) return Beside::column;      // also where a is square
  if (b.count() == a.count() / std::max<int64_t>(a.dim(0), 1) && b.contiguous()) return Beside::wide_row;
  expect(w.rows == x.rows && w.cols == 1, op, ": ", a.shape(), " with ", b.shape());
  return Beside::column;
}
// A gradient of a's shape becomes one of b's.
Tensor reduced(const Tensor& d, const Tensor& b, Beside how) {
  switch (how) {
    case Beside::same: return d.view(b.shape());
    case Beside::row: return summed_like(d, b);
    case Beside::wide_row: return sum_rows(d).view(b.shape());
    case Beside::column: return sum_columns(d).view(b.shape());
  }
  return {};
}
// act of binary's act(a) b.
Unary activation(Binary f) {
  return f == Binary::silu_multiply ? Unary::silu : f == Binary::sigmoid_multiply ? Unary::sigmoid
       : f == Binary::gelu_tanh_multiply ? Unary::gelu_tanh : Unary::gelu_erf;
}
}  // namespace

Tensor binary(Binary f, const Tensor& a, const Tensor& b) {
  const Beside how = beside(name(f), a, b);
  Tensor y = like(a);
  const int inner = how == Beside::wide_row ? a.rank() - 1 : 1;
  const Rows w = how == Beside::row || how == Beside::wide_row ? Rows{b.f32(), 1, b.count(), b.count()} : rows_of(b);
  run<&Kernels::binary>("binary", a.device(), f, rows_of(a, inner), w, rows_of(y, inner));
  if (Tape* t = recording(a, b)) {
    if (f == Binary::add || f == Binary::subtract)
      t->record({y}, {a, b}, [=, b = b.outline()](const Tensors& dy) -> Tensors {
        return {dy[0], reduced(f == Binary::add ? dy[0] : -1.f * dy[0], b, how)};
      });
    else
      t->record({y}, {a, b}, [=, wants_a = t->tracks(a), wants_b = t->tracks(b)](const Tensors& dy) -> Tensors {
        Tensors d(2);
        if (wants_a) d[0] = dy[0] * b;
        if (wants_a && f != Binary::multiply) d[0] = unary_backward(activation(f), 0, a, d[0]);
        if (wants_b) d[1] = reduced(binary(f, a, dy[0]), b, how);            // act(a) dy
        return d;
      });
  }
  return y;
}

Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& t) {
  Rows x = rows_of(a), z = rows_of(b), w = t.count() == a.dim(-1) ? Rows{t.f32(), 1, t.count(), t.count()} : rows_of(t);
  expect(z.rows == x.rows && z.cols == x.cols && w.cols == x.cols && (w.rows == 1 || w.rows == x.rows), "lerp: ", a.shape(), " ",
         b.shape(), " ", t.shape());
  Tensor y = like(a);
  run<&Kernels::lerp>("lerp", a.device(), x, z, w, rows_of(y));
  if (Tape* tape = recording(a, b, t))
    tape->record({y}, {a, b, t}, [=](const Tensors& dy) -> Tensors {
      const Tensor db = dy[0] * t, dt = dy[0] * (b - a);
      return {dy[0] - db, db, t.count() == a.dim(-1) ? reduced(dt, t, Beside::row) : dt.view(t.shape())};
    });
  return y;
}

Tensor mix(const Tensor& a, const Tensor& b, const Tensor& t) {
  const int64_t N = a.dim(0), D = a.dim(-1), M = t.dim(-2);
  expect(a.rank() == 2 && b.shape() == a.shape() && t.contiguous() && (t.shape() == Shape({M, D}) || t.shape() == Shape({N, M, D})), "mix: ",
         a.shape(), " ", b.shape(), " ", t.shape());
  Tensor y = Tensor::empty({M, N, D}, DType::f32, a.device());
  run<&Kernels::mix>("mix", a.device(), rows_of(a), rows_of(b), Rows{t.f32(), t.rank() == 3 ? N : 1, M * D, M * D}, y.f32());
  if (Tape* tape = recording(a, b, t))
    tape->record({y}, {a, b, t}, [=](const Tensors& dy) -> Tensors {
      Tensor da = Tensor::zeros(a.shape(), DType::f32, a.device()), db = Tensor::zeros(a.shape(), DType::f32, a.device());
      Tensor dt = Tensor::empty(t.shape(), DType::f32, t.device());
      const Tensor difference = b - a;
      for (int64_t m = 0; m < M; ++m) {
        const Tensor d = dy[0][m], part = d * (t.rank() == 3 ? t.slice(1, m, 1).view({N, D}) : t[m]), by_t = d * difference;
        add_into(part, db);
        add_into(d - part, da);
        Tensor to = t.rank() == 3 ? dt.slice(1, m, 1).view({N, D}) : dt.slice(0, m, 1).view({D});
        copy_into(t.rank() == 3 ? by_t : sum_rows(by_t), to);
      }
      return {da, db, dt};
    });
  return y;
}

Tensor where_starts(std::span<const int32_t> positions, float value, const Tensor& x) {
  expect(static_cast<int64_t>(positions.size()) == x.dim(0), "where_starts: ", positions.size(), " positions for ", x.shape());
  Tensor y = like(x);
  run<&Kernels::where_starts>("where_starts", x.device(), positions, value, rows_of(x), rows_of(y));
  if (Tape* t = recording(x))
    t->record({y}, {x}, [starts = std::vector(positions.begin(), positions.end())](const Tensors& dy) -> Tensors {
      return {where_starts(starts, 0, dy[0])};
    });
  return y;
}

}  // namespace headrace
