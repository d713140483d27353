#include "ops/ops.h"

#include <array>
#include <cstring>

#include "base/error.h"

namespace headrace {
namespace {

// Runs the kernel `member` of x's device; on the meta device there is nothing to run.
template <auto member, class... Args>
void run(const char* kernel, Device device, Args&&... args) {
  if (device == Device::meta) return;
  const Kernels& table = kernels(device);
  launch(table.*member, kernel, table.device, std::forward<Args>(args)...);
}

Tensor like(const Tensor& x) { return Tensor::empty(x.shape(), DType::f32, x.device()); }
Tensor with_last(const Tensor& x, int64_t n) {
  Shape s = x.shape();
  s[-1] = n;
  return Tensor::empty(s, DType::f32, x.device());
}
const float* values(const Tensor& w) { return w ? w.f32() : nullptr; }
void check_vector(const char* op, const Tensor& x, const Tensor& w, const char* what) {
  expect(!w || (w.dtype() == DType::f32 && w.contiguous() && w.count() == x.dim(-1)), op, ": x ", x.shape(), " ", what, " ",
         w ? w.shape() : Shape{}, w ? name(w.dtype()) : "");
}
int heads_of(const Tensor& x, const char* op) {
  expect(x.rank() == 3, op, ": x ", x.shape(), " must be [N,H,D]");
  return static_cast<int>(x.dim(1));
}

}  // namespace

Tensor unary(Unary f, const Tensor& x, float parameter) {
  Tensor y = like(x);
  run<&Kernels::unary>("unary", x.device(), f, parameter, rows_of(x), rows_of(y));
  return y;
}

Tensor binary(Binary f, const Tensor& a, const Tensor& b) {
  Tensor y = like(a);
  Rows x = rows_of(a), w = rows_of(b);
  if (b.count() == a.dim(-1) && b.rank() == 1) {
    w = {b.f32(), 1, b.count(), b.count()};
  } else if (!(w.rows == x.rows && w.cols == x.cols)) {
    if (b.count() == a.count() / std::max<int64_t>(a.dim(0), 1) && b.contiguous()) {   // one row over [H,D]
      x = rows_of(a, a.rank() - 1);
      w = {b.f32(), 1, b.count(), b.count()};
      run<&Kernels::binary>("binary", a.device(), f, x, w, rows_of(y, a.rank() - 1));
      return y;
    }
    expect(w.rows == x.rows && w.cols == 1, name(f), ": ", a.shape(), " with ", b.shape());
  }
  run<&Kernels::binary>("binary", a.device(), f, x, w, rows_of(y));
  return y;
}

Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& t) {
  Rows x = rows_of(a), z = rows_of(b), w = t.count() == a.dim(-1) ? Rows{t.f32(), 1, t.count(), t.count()} : rows_of(t);
  expect(z.rows == x.rows && z.cols == x.cols && w.cols == x.cols && (w.rows == 1 || w.rows == x.rows), "lerp: ", a.shape(), " ",
         b.shape(), " ", t.shape());
  Tensor y = like(a);
  run<&Kernels::lerp>("lerp", a.device(), x, z, w, rows_of(y));
  return y;
}

Tensor mix(const Tensor& a, const Tensor& b, const Tensor& t) {
  const int64_t N = a.dim(0), D = a.dim(-1), M = t.dim(-2);
  expect(a.rank() == 2 && b.shape() == a.shape() && t.contiguous() && (t.shape() == Shape({M, D}) || t.shape() == Shape({N, M, D})), "mix: ",
         a.shape(), " ", b.shape(), " ", t.shape());
  Tensor y = Tensor::empty({M, N, D}, DType::f32, a.device());
  run<&Kernels::mix>("mix", a.device(), rows_of(a), rows_of(b), Rows{t.f32(), t.rank() == 3 ? N : 1, M * D, M * D}, y.f32());
  return y;
}

Tensor where_starts(std::span<const int32_t> positions, float value, const Tensor& x) {
  expect(static_cast<int64_t>(positions.size()) == x.dim(0), "where_starts: ", positions.size(), " positions for ", x.shape());
  Tensor y = like(x);
  run<&Kernels::where_starts>("where_starts", x.device(), positions, value, rows_of(x), rows_of(y));
  return y;
}

Tensor rms_norm(const Tensor& x, const Tensor& w, RmsNorm o) {
  check_vector("rms_norm", x, w, "w");
  expect(o.groups > 0 && x.dim(-1) % o.groups == 0, "rms_norm: ", x.shape(), " in ", o.groups, " groups");
  Tensor y = like(x);
  run<&Kernels::rms_norm>("rms_norm", x.device(), rows_of(x), values(w), o.offset, o.eps, o.groups, rows_of(y));
  return y;
}

Tensor layer_norm(const Tensor& x, const Tensor& w, const Tensor& b, float eps, int groups) {
  check_vector("layer_norm", x, w, "w");
  check_vector("layer_norm", x, b, "b");
  expect(groups > 0 && x.dim(-1) % groups == 0, "layer_norm: ", x.shape(), " in ", groups, " groups");
  Tensor y = like(x);
  run<&Kernels::layer_norm>("layer_norm", x.device(), rows_of(x), values(w), values(b), eps, groups, rows_of(y));
  return y;
}

Tensor l2_norm(const Tensor& x, float eps, bool clamp) {
  Tensor y = like(x);
  run<&Kernels::l2_norm>("l2_norm", x.device(), rows_of(x), eps, clamp, 1, rows_of(y));
  return y;
}

Tensor embedding(const Tensor& table, std::span<const int32_t> ids) {
  for (int32_t id : ids)
    expect(id >= 0 && id < table.dim(0), "token ", id, " is not in the vocabulary of ", table.dim(0));
  Tensor y = Tensor::empty({static_cast<int64_t>(ids.size()), table.dim(1)}, DType::f32, table.device());
  run<&Kernels::embedding>("embedding", table.device(), table, ids, rows_of(y));
  return y;
}

std::vector<Tensor> linear(const Tensor& x, std::initializer_list<Weight> weights) {
  std::vector<Tensor> ys;
  std::array<LinearPart, 8> parts;
  expect(weights.size() <= parts.size(), "linear: at most ", parts.size(), " products at once");
  for (const Weight& w : weights) {
    expect(w.weight.rank() == 2 && w.weight.dim(1) == x.dim(-1), "linear: x ", x.shape(), " weight ", w.weight.shape());
    expect(w.weight.device() == x.device(), "linear: x on ", x.device(), ", weight on ", w.weight.device());
    expect(!w.bias || w.bias.count() == w.weight.dim(0), "linear: weight ", w.weight.shape(), " bias ", w.bias ? w.bias.shape() : Shape{});
    ys.push_back(with_last(x, w.weight.dim(0)));
    parts[ys.size() - 1] = {&w.weight, values(w.bias), rows_of(ys.back())};
  }
  run<&Kernels::linear>("linear", x.device(), rows_of(x), std::span<const LinearPart>(parts.data(), ys.size()));
  return ys;
}
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) { return std::move(linear(x, {{weight, bias}})[0]); }

Tensor block_linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  expect(w.rank() == 3 && x.dim(-1) == w.dim(0) * w.dim(1) && (!b || b.count() == w.dim(0) * w.dim(2)), "block_linear: x ", x.shape(),
         " w ", w.shape());
  Tensor y = with_last(x, w.dim(0) * w.dim(2));
  run<&Kernels::block_linear>("block_linear", x.device(), rows_of(x), w.f32(), values(b), static_cast<int>(w.dim(0)), rows_of(y));
  return y;
}

Tensor head_dot(const Tensor& a, const Tensor& b, const Tensor& w) {
  int heads = heads_of(a, "head_dot");
  expect(a.shape() == b.shape() && (!w || w.count() == a.dim(1) * a.dim(2)), "head_dot: ", a.shape(), " ", b.shape());
  Tensor y = Tensor::empty({a.dim(0), heads}, DType::f32, a.device());
  run<&Kernels::head_dot>("head_dot", a.device(), rows_of(a, 2), rows_of(b, 2), values(w), heads, rows_of(y));
  return y;
}
Tensor scale_heads(const Tensor& x, const Tensor& s) {
  int heads = heads_of(x, "scale_heads");
  expect(s.rank() == 2 && s.dim(0) == x.dim(0) && s.dim(1) == heads, "scale_heads: ", x.shape(), " ", s.shape());
  Tensor y = like(x);
  run<&Kernels::scale_heads>("scale_heads", x.device(), rows_of(x, 2), rows_of(s), heads, rows_of(y, 2));
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
  return y;
}

Tensor concat(std::initializer_list<Tensor> parts) {
  int64_t width = 0;
  for (const Tensor& p : parts) width += p.dim(-1);
  Tensor y = with_last(*parts.begin(), width);
  int64_t at = 0;
  for (const Tensor& p : parts) {
    Tensor to = y.slice(-1, at, p.dim(-1));
    run<&Kernels::unary>("unary", p.device(), Unary::scale, 1.f, rows_of(p), rows_of(to));
    at += p.dim(-1);
  }
  return y;
}

Tensor take_rows(const Tensor& x, std::span<const int64_t> rows) {
  Tensor y = Tensor::empty({static_cast<int64_t>(rows.size()), x.dim(1)}, DType::f32, x.device());
  for (size_t i = 0; i < rows.size(); ++i) {
    expect(rows[i] >= 0 && rows[i] < x.dim(0), "take_rows: row ", rows[i], " of ", x.shape());
    copy_bytes(y.f32() + static_cast<int64_t>(i) * x.dim(1), x.device(), x.f32() + rows[i] * x.stride(0), x.device(),
               static_cast<size_t>(x.dim(1)) * sizeof(float));
  }
  return y;
}

}  // namespace headrace
