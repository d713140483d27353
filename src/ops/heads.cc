// Ops on heads, and those that only move rows: dot products and factors by head, rotary positions (Su et al. 2021, 2104.09864),
// joins, cuts and gathers. The gradient of a rotation is the rotation back.
#include "ops/ops.h"

#include "ops/run.h"

namespace headrace {
namespace {
int heads_of(const Tensor& x, const char* op) {
  expect(x.rank() == 3, op, ": x ", x.shape(), " must be [N,H,D]");
  return static_cast<int>(x.dim(1));
}
}  // namespace

Tensor head_dot(const Tensor& a, const Tensor& b, const Tensor& w) {
  int heads = heads_of(a, "head_dot");
  expect(a.shape() == b.shape() && (!w || w.count() == a.dim(1) * a.dim(2)), "head_dot: ", a.shape(), " ", b.shape());
  Tensor y = Tensor::empty({a.dim(0), heads}, DType::f32, a.device());
  run<&Kernels::head_dot>("head_dot", a.device(), rows_of(a, 2), rows_of(b, 2), values(w), heads, rows_of(y));
  if (Tape* t = recording(a, b, w))
    t->record({y}, {a, b, w}, [=, wants_w = t->tracks(w)](const Tensors& dy) -> Tensors {
      const Tensor by = scale_heads(a, dy[0]), ay = scale_heads(b, dy[0]);   // dy a, dy b
      return {w ? ay * w : ay, w ? by * w : by, wants_w ? sum_rows(by * b).view(w.shape()) : Tensor{}};
    });
  return y;
}
Tensor scale_heads(const Tensor& x, const Tensor& s) {
  int heads = heads_of(x, "scale_heads");
  expect(s.rank() == 2 && s.dim(0) == x.dim(0) && s.dim(1) == heads, "scale_heads: ", x.shape(), " ", s.shape());
  Tensor y = like(x);
  run<&Kernels::scale_heads>("scale_heads", x.device(), rows_of(x, 2), rows_of(s), heads, rows_of(y, 2));
  if (Tape* t = recording(x, s))
    t->record({y}, {x, s}, [=](const Tensors& dy) -> Tensors { return {scale_heads(dy[0], s), head_dot(dy[0], x, {})}; });
  return y;
}

Tensor rope(const Tensor& x, const Rope& o, std::span<const int32_t> positions) {
  int heads = heads_of(x, "rope");
  if (o.rotary == 0) return x;
  expect(o.rotary <= x.dim(2) && o.rotary % 2 == 0 && static_cast<int>(o.inverse_frequency.size()) == o.rotary / 2 &&
             static_cast<int64_t>(positions.size()) == x.dim(0),
         "rope: x ", x.shape(), " rotary ", o.rotary, " positions ", positions.size());
  Tensor y = like(x);
  Rows in = rows_of(x, 2), out = rows_of(y, 2);
  run<&Kernels::rope>("rope", x.device(),
                      RopeArgs{in.data, in.stride, out.data, out.stride, heads, static_cast<int>(x.dim(2)), o.rotary, o.interleaved,
                               o.factor, o.inverse_frequency.data(), positions});
  if (Tape* t = recording(x)) {
    std::vector<int32_t> back;
    for (int32_t p : positions) back.push_back(-p);
    t->record({y}, {x}, [=](const Tensors& dy) -> Tensors { return {rope(dy[0], o, back)}; });   // turned back
  }
  return y;
}

Tensor concat(std::initializer_list<Tensor> parts) { return concat(std::vector<Tensor>(parts)); }
Tensor concat(const std::vector<Tensor>& parts) {
  int64_t width = 0;
  for (const Tensor& p : parts) width += p.dim(-1);
  Tensor y = with_last(*parts.begin(), width);
  int64_t at = 0;
  for (const Tensor& p : parts) {
    Tensor to = y.slice(-1, at, p.dim(-1));
    copy_into(p, to);
    at += p.dim(-1);
  }
  if (Tape* t = recording(parts)) {
    std::vector<int64_t> widths;
    for (const Tensor& p : parts) widths.push_back(p.dim(-1));
    t->record({y}, parts, [=](const Tensors& dy) {
      Tensors d;
      int64_t from = 0;
      for (int64_t w : widths) d.push_back(dy[0].slice(-1, from, w)), from += w;
      return d;
    });
  }
  return y;
}

Tensor concat_rows(const std::vector<Tensor>& parts) {
  expect(!parts.empty(), "concat_rows: of nothing");
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& p : parts) {
    expect(p.rank() == shape.rank() && p.shape().dims().subspan(1).size() == shape.dims().subspan(1).size() &&
               std::equal(p.shape().dims().begin() + 1, p.shape().dims().end(), shape.dims().begin() + 1), "concat_rows: ", p.shape(), " beside ",
           parts[0].shape());
    shape[0] += p.dim(0);
  }
  Tensor y = Tensor::empty(shape, DType::f32, parts[0].device());
  std::vector<int64_t> lengths;
  int64_t at = 0;
  for (const Tensor& p : parts) {
    Tensor to = y.slice(0, at, p.dim(0));
    if (p.count() > 0) copy_into(p, to);
    at += p.dim(0);
    lengths.push_back(p.dim(0));
  }
  if (Tape* t = recording(parts))
    t->record({y}, parts, [=](const Tensors& dy) {
      Tensors d;
      int64_t from = 0;
      for (int64_t n : lengths) d.push_back(dy[0].slice(0, from, n)), from += n;
      return d;
    });
  return y;
}

Tensor transposed(const Tensor& x) {
  expect(x.rank() == 2, "transposed: ", x.shape(), " must be a matrix");
  Tensor y = x.device() == Device::meta ? Tensor::empty({x.dim(1), x.dim(0)}, DType::f32, x.device())
                                        : copy_to(copy_to(x.contiguous_or_copy(), Device::cpu).transposed_copy(), x.device());
  if (Tape* t = recording(x)) t->record({y}, {x}, [](const Tensors& dy) -> Tensors { return {transposed(dy[0])}; });
  return y;
}

Tensor take_rows(const Tensor& x, std::span<const int64_t> rows) {
  Tensor y = Tensor::empty({static_cast<int64_t>(rows.size()), x.dim(1)}, DType::f32, x.device());
  for (size_t i = 0; i < rows.size(); ++i) {
    expect(rows[i] >= 0 && rows[i] < x.dim(0), "take_rows: row ", rows[i], " of ", x.shape());
    copy_bytes(y.f32() + static_cast<int64_t>(i) * x.dim(1), x.device(), x.f32() + rows[i] * x.stride(0), x.device(),
               static_cast<size_t>(x.dim(1)) * sizeof(float));
  }
  if (Tape* t = recording(x))
    t->record({y}, {x}, [shape = x.shape(), ids = std::vector<int32_t>(rows.begin(), rows.end())](const Tensors& dy) -> Tensors {
      return {scattered(shape, ids, dy[0])};
    });
  return y;
}

}  // namespace headrace
