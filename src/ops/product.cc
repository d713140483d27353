#include "ops/ops.h"

#include <array>

#include "ops/run.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {
void product(const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed, const Tensor& c) {
  const Rows x = rows_of(a), w = rows_of(b), y = rows_of(c);
  run<&Kernels::product>("product", a.device(),
      MatrixProduct{.a_transposed = a_transposed, .b_transposed = b_transposed, .m = y.rows, .n = y.cols, .k = a_transposed ? x.rows : x.cols,
                    .a = x.data, .lda = x.stride, .b = w.data, .ldb = w.stride, .c = y.data, .ldc = y.stride, .add = false});
}
// A weight as rows of f32; only these have a gradient, but one flows through any.
Tensor plain(const Tensor& w) {
  if (w.dtype() == DType::f32 && w.layout() == Layout::rows) return w;
  expect(w.layout() == Layout::rows && w.device() == Device::cpu, "linear: gradients need weights as they lie in the file, not packed ones");
  return dequantised(w);
}
}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool a_transposed, bool b_transposed) {
  const int64_t k = a.dim(a_transposed ? 0 : 1), other = b.dim(b_transposed ? 1 : 0);
  expect(a.rank() == 2 && b.rank() == 2 && k == other, "matmul: ", a.shape(), a_transposed ? " transposed " : " ", b.shape(),
         b_transposed ? " transposed" : "");
  Tensor y = Tensor::empty({a.dim(a_transposed ? 1 : 0), b.dim(b_transposed ? 0 : 1)}, DType::f32, a.device());
  product(a, a_transposed, b, b_transposed, y);
  if (Tape* t = recording(a, b))
    t->record({y}, {a, b}, [=, wants_a = t->tracks(a), wants_b = t->tracks(b)](const Tensors& dy) -> Tensors {
      const Tensor& d = dy[0];
      Tensors g(2);                                  // y = A B: dA = dy B^T, dB = A^T dy, transposed where the input is
      if (wants_a) g[0] = a_transposed ? matmul(b, d, b_transposed, true) : matmul(d, b, false, !b_transposed);
      if (wants_b) g[1] = b_transposed ? matmul(d, a, true, a_transposed) : matmul(a, d, !a_transposed, false);
      return g;
    });
  return y;
}

Tensor embedding(const Tensor& table, std::span<const int32_t> ids) {
  for (int32_t id : ids)
    expect(id >= 0 && id < table.dim(0), "token ", id, " is not in the vocabulary of ", table.dim(0));
  Tensor y = Tensor::empty({static_cast<int64_t>(ids.size()), table.dim(1)}, DType::f32, table.device());
  run<&Kernels::embedding>("embedding", table.device(), table, ids, rows_of(y));
  if (Tape* t = recording(table))
    t->record({y}, {table}, [shape = table.shape(), ids = std::vector(ids.begin(), ids.end())](const Tensors& dy) -> Tensors {
      return {scattered(shape, ids, dy[0])};
    });
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
  if (!Tape::current()) return ys;
  Tensors inputs{x};
  for (const Weight& w : weights) inputs.push_back(w.weight), inputs.push_back(w.bias);
  if (Tape* t = recording(inputs)) {
    std::vector<bool> wanted;
    for (const Tensor& v : inputs) wanted.push_back(t->tracks(v));
    t->record(ys, inputs, [=](const Tensors& dy) {
      Tensors d(inputs.size());
      for (size_t i = 0; i < dy.size(); ++i) {
        if (!dy[i]) continue;
        const size_t w = 1 + 2 * i, b = w + 1;
        if (wanted[0]) {
          Tensor part = like(inputs[0]);
          product(dy[i], false, plain(inputs[w]), false, part);
          if (d[0]) add_into(part, d[0]);
          else d[0] = std::move(part);
        }
        if (wanted[w]) product(dy[i], true, inputs[0], false, d[w] = like(inputs[w]));
        if (wanted[b]) d[b] = summed_like(dy[i], inputs[b]);
      }
      return d;
    });
  }
  return ys;
}
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) { return std::move(linear(x, {{weight, bias}})[0]); }

Tensor block_linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  expect(w.rank() == 3 && x.dim(-1) == w.dim(0) * w.dim(1) && (!b || b.count() == w.dim(0) * w.dim(2)), "block_linear: x ", x.shape(),
         " w ", w.shape());
  Tensor y = with_last(x, w.dim(0) * w.dim(2));
  run<&Kernels::block_linear>("block_linear", x.device(), rows_of(x), w.f32(), values(b), static_cast<int>(w.dim(0)), rows_of(y));
  if (Tape* t = recording(x, w, b))
    t->record({y}, {x, w, b}, [=, wants_b = t->tracks(b)](const Tensors& dy) -> Tensors {
      Tensor dx = like(x), dw = like(w);
      const int64_t in = w.dim(1), out = w.dim(2);
      for (int64_t h = 0; h < w.dim(0); ++h) {
        const Tensor d = dy[0].slice(-1, h * out, out);
        product(d, false, w[h], true, dx.slice(-1, h * in, in));
        product(x.slice(-1, h * in, in), true, d, false, dw[h]);
      }
      return {dx, dw, wants_b ? summed_like(dy[0], b) : Tensor{}};
    });
  return y;
}

}  // namespace headrace
