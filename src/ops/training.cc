// The loss, dropout and Adam's step (papers: training.h). The loss keeps one number a row, lse, for its gradient (ops/kernels/training.h).
#include "ops/training.h"

#include <cmath>

#include "ops/kernels/training.h"
#include "ops/run.h"

namespace headrace {

Tensor cross_entropy(const Tensor& x, std::span<const int32_t> targets, CrossEntropy o) {
  expect(x.rank() == 2 && std::ssize(targets) == x.dim(0), "cross_entropy: x ", x.shape(), " with ", targets.size(), " targets");
  expect(o.smoothing >= 0 && o.smoothing < 1 && o.z >= 0, "cross_entropy: smoothing ", o.smoothing, " z ", o.z);
  for (int32_t t : targets) expect(t < x.dim(1), "cross_entropy: target ", t, " is not in the vocabulary of ", x.dim(1));
  Tensor loss = Tensor::empty({x.dim(0)}, DType::f32, x.device()), lse = like(loss);
  run<&Kernels::cross_entropy>("cross_entropy", x.device(),
      CrossEntropyArgs{.x = rows_of(x), .targets = targets, .smoothing = o.smoothing, .z = o.z, .loss = loss.f32(), .lse = lse.f32()});
  if (Tape* t = recording(x))
    t->record({loss}, {x}, [=, targets = std::vector(targets.begin(), targets.end())](const Tensors& dy) -> Tensors {
      Tensor dx = like(x);
      const Tensor d = dy[0].contiguous() ? dy[0] : 1.f * dy[0];
      run<&Kernels::cross_entropy_backward>("cross_entropy_backward", x.device(),
          CrossEntropyBackwardArgs{rows_of(x), targets, o.smoothing, o.z, lse.f32(), d.f32(), rows_of(dx)});
      return {dx};
    });
  return loss;
}

Tensor linear_cross_entropy(const Tensor& h, const Tensor& weight, std::span<const int32_t> targets, float scale, CrossEntropy o) {
  expect(h.rank() == 2 && std::ssize(targets) == h.dim(0) && weight.rank() == 2 && weight.dim(1) == h.dim(1) && weight.dtype() == DType::f32 &&
         weight.layout() == Layout::rows, "linear_cross_entropy: h ", h.shape(), " weight ", weight.dtype(), " ", weight.shape(), " with ",
         targets.size(), " targets");
  const int64_t N = h.dim(0), V = weight.dim(0);
  std::vector<int64_t> asked;
  std::vector<int32_t> wanted;
  for (int64_t n = 0; n < N; ++n) {
    const int32_t t = targets[static_cast<size_t>(n)];
    expect(t < V, "linear_cross_entropy: target ", t, " is not in the vocabulary of ", V);
    if (t >= 0) asked.push_back(n), wanted.push_back(t);
  }
  if (std::ssize(asked) < N) return linear_cross_entropy(take_rows(h, asked), weight, wanted, scale, o);
  Tape* tape = recording(h, weight);
  const bool wants_h = tape && tape->tracks(h), wants_w = tape && tape->tracks(weight);
  const int64_t rows = std::clamp<int64_t>((int64_t{1} << 21) / V, 16, std::max<int64_t>(16, N));
  const Tensor losses = Tensor::empty({1, N}, DType::f32, h.device()), lse = like(losses);
  const Tensor logits = Tensor::empty({std::min(rows, N), V}, DType::f32, h.device());
  Tensor dh = wants_h ? like(h) : Tensor{}, dw = wants_w ? like(weight) : Tensor{};
  if (wants_w && N == 0) dw = Tensor::zeros(weight.shape(), DType::f32, h.device());
  for (int64_t begin = 0; begin < N; begin += rows) {
    const int64_t n = std::min(rows, N - begin);
    const Tensor x = h.slice(0, begin, n), y = logits.slice(0, 0, n);
    product(x, false, weight, true, y);
    run<&Kernels::cross_entropy>("cross_entropy", h.device(),
        CrossEntropyArgs{.x = rows_of(y), .targets = targets.subspan(static_cast<size_t>(begin), static_cast<size_t>(n)), .smoothing = o.smoothing,
                         .z = o.z, .loss = losses.slice(1, begin, n).f32(), .lse = lse.slice(1, begin, n).f32(), .dx = tape ? rows_of(y) : Rows{}});
    if (wants_h) product(y, false, weight, false, dh.slice(0, begin, n));
    if (wants_w) product(y, true, x, false, dw, begin > 0);
  }
  const Tensor loss = scale * sum_columns(losses);
  if (tape)
    tape->record({loss}, {h, weight}, [=](const Tensors& dy) -> Tensors {
      const float s = scale * (dy[0].device() == Device::meta ? 1.f : copy_to(dy[0], Device::cpu).f32()[0]);
      return {wants_h ? s * dh : Tensor{}, wants_w ? s * dw : Tensor{}};
    });
  return loss;
}

Tensor dropout(const Tensor& x, float rate, const Philox& key) {
  expect(rate >= 0 && rate < 1, "dropout: rate ", rate, ", wanted 0 to below 1");
  if (rate == 0) return x;
  Tensor y = like(x);
  run<&Kernels::dropout>("dropout", x.device(), DropoutArgs{rows_of(x), rate, key.seed, key.stream, rows_of(y)});
  if (Tape* t = recording(x)) t->record({y}, {x}, [=](const Tensors& dy) -> Tensors { return {dropout(dy[0], rate, key)}; });
  return y;
}

double square_sum(const Tensor& x) {
  double sum = 0;
  if (x.count() > 0) run<&Kernels::square_sum>("square_sum", x.device(), rows_of(x.contiguous() ? x.view({x.count()}) : x), &sum);
  return sum;
}

void adam_step(Tensor& value, const Tensor& gradient, Tensor& first, Tensor& second, const Adam& o, int64_t step) {
  const Tensor* const all[] = {&value, &gradient, &first, &second};
  for (const Tensor* t : all)
    expect(t->shape() == value.shape() && t->contiguous() && t->dtype() == DType::f32, "adam_step: value ", value.shape(), " with ", t->dtype(),
           " ", t->shape());
  expect(step > 0, "adam_step: step ", step, ", the first is 1");
  auto gain = [&](float beta) { return static_cast<float>(1 / (1 - std::pow(double{beta}, static_cast<double>(step)))); };
  run<&Kernels::adam_step>("adam_step", value.device(),
      AdamArgs{.value = value.f32(), .first = first.f32(), .second = second.f32(), .gradient = gradient.f32(), .count = value.count(),
               .rate = o.rate, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .decay = o.decay, .scale = o.scale,
               .gain1 = gain(o.beta1), .gain2 = gain(o.beta2)});
}

}  // namespace headrace
