// Products: y = x W^T + b, plain and by blocks, matmul, embedding. Weights may have any stored type; gradients are f32, of f32
// weights alone: dx = dy W, dW = dy^T x, db = sum dy. UseBf16Products rounds the operands of each of these products.
#include "ops/ops.h"

#include <array>

#include "ops/run.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {
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

namespace {
// Product i of n is at(i).
template <class At>
std::vector<Tensor> products(size_t n, const At& at) {
  std::vector<Tensor> ys;
  std::array<LinearPart, 8> parts;
  expect(n <= parts.size(), "linear: at most ", parts.size(), " products at once");
  for (size_t i = 0; i < n; ++i) {
    const auto& [x, weight, bias] = at(i);
    expect(weight.rank() == 2 && weight.dim(1) == x.dim(-1), "linear: x ", x.shape(), " weight ", weight.shape());
    expect(weight.device() == x.device(), "linear: x on ", x.device(), ", weight on ", weight.device());
    expect(!bias || bias.count() == weight.dim(0), "linear: weight ", weight.shape(), " bias ", bias ? bias.shape() : Shape{});
    ys.push_back(with_last(x, weight.dim(0)));
    parts[i] = {rows_of(x), &weight, values(bias), rows_of(ys.back()), UseExactInputs::now(), UseBf16Products::now()};
    expect(parts[i].x.rows == parts[0].x.rows, "linear: x ", x.shape(), " beside ", at(0).x.shape());
  }
  if (n == 0) return ys;
  run<&Kernels::linear>("linear", at(0).x.device(), std::span<const LinearPart>(parts.data(), n));
  if (!Tape::current()) return ys;
  Tensors inputs;                                    // x, weight, bias of each
  for (size_t i = 0; i < n; ++i) inputs.insert(inputs.end(), {at(i).x, at(i).weight, at(i).bias});
  if (Tape* t = recording(inputs)) {
    std::vector<bool> wanted;
    for (const Tensor& v : inputs) wanted.push_back(t->tracks(v));
    t->record(ys, inputs, [=](const Tensors& dy) {
      Tensors d(inputs.size());
      for (size_t i = 0; i < dy.size(); ++i) {
        if (!dy[i]) continue;
        const size_t x = 3 * i, w = x + 1, b = x + 2;
        if (wanted[x]) {
          const bool same = inputs[x].storage() == inputs[0].storage() && inputs[x].offset() == inputs[0].offset();
          const size_t to = same && inputs[x].shape() == inputs[0].shape() ? 0 : x;   // one input, one gradient
          const bool first = !d[to];
          if (first) d[to] = like(inputs[x]);
          product(dy[i], false, plain(inputs[w]), false, d[to], !first);
        }
        if (wanted[w]) product(dy[i], true, inputs[x], false, d[w] = like(inputs[w]));
        if (wanted[b]) d[b] = summed_like(dy[i], inputs[b]);
      }
      return d;
    });
  }
  return ys;
}
}  // namespace

std::vector<Tensor> linear(const Tensor& x, std::initializer_list<Weight> weights) {
  return products(weights.size(), [&](size_t i) { return Product{x, weights.begin()[i].weight, weights.begin()[i].bias}; });
}
std::vector<Tensor> linear(std::span<const Product> all) {
  return products(all.size(), [&](size_t i) -> const Product& { return all[i]; });
}
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) { return std::move(linear(x, {{weight, bias}})[0]); }

Tensor block_linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  expect(w.rank() == 3 && x.dim(-1) == w.dim(0) * w.dim(1) && (!b || b.count() == w.dim(0) * w.dim(2)), "block_linear: x ", x.shape(),
         " w ", w.shape());
  Tensor y = with_last(x, w.dim(0) * w.dim(2));
  if (UseBf16Products::now()) {
    PauseTape pause;
    const int64_t in = w.dim(1), out = w.dim(2);
    for (int64_t h = 0; h < w.dim(0); ++h) product(x.slice(-1, h * in, in), false, w[h], false, y.slice(-1, h * out, out));
    if (b) y = y + b.view({b.count()});
  } else {
    run<&Kernels::block_linear>("block_linear", x.device(), rows_of(x), w.f32(), values(b), static_cast<int>(w.dim(0)), rows_of(y));
  }
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
