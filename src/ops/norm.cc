// rms_norm (Zhang and Sennrich 2019, 1910.07467), layer_norm (Ba et al. 2016, 1607.06450), l2_norm: y = x^ w + b, x^ = x / rms(x),
// (x - mean) / std or x / |x|. One backward for the three; the gradients of w and b are sums of what the kernel gives by row.
#include "ops/ops.h"

#include "ops/run.h"

namespace headrace {
namespace {
void check_vector(const char* op, const Tensor& x, const Tensor& w, const char* what) {
  expect(!w || (w.dtype() == DType::f32 && w.contiguous() && w.count() == x.dim(-1)), op, ": x ", x.shape(), " ", what, " ",
         w ? w.shape() : Shape{}, w ? name(w.dtype()) : "");
}
// Records y's gradients with respect to x, w and b.
void record_norm(NormKind kind, const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& b, float offset, float eps, int groups) {
  Tape* t = recording(x, w, b);
  if (!t) return;
  t->record({y}, {x, w, b}, [=, wants_w = t->tracks(w), wants_b = t->tracks(b)](const Tensors& dy) -> Tensors {
    Tensor dx = like(x), dy_xhat = wants_w ? like(x) : Tensor{};
    run<&Kernels::norm_backward>("norm_backward", x.device(),
        NormBackward{.kind = kind, .x = rows_of(x), .dy = rows_of(dy[0]), .dx = rows_of(dx), .w = values(w), .offset = offset, .eps = eps,
                     .groups = groups, .dy_xhat = wants_w ? rows_of(dy_xhat) : Rows{}});
    return {dx, wants_w ? summed_like(dy_xhat, w) : Tensor{}, wants_b ? summed_like(dy[0], b) : Tensor{}};
  });
}
}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& w, RmsNorm o) {
  check_vector("rms_norm", x, w, "w");
  expect(o.groups > 0 && x.dim(-1) % o.groups == 0, "rms_norm: ", x.shape(), " in ", o.groups, " groups");
  Tensor y = like(x);
  run<&Kernels::rms_norm>("rms_norm", x.device(), rows_of(x), values(w), o.offset, o.eps, o.groups, rows_of(y));
  record_norm(NormKind::rms, y, x, w, {}, o.offset, o.eps, o.groups);
  return y;
}

Tensor layer_norm(const Tensor& x, const Tensor& w, const Tensor& b, float eps, int groups) {
  check_vector("layer_norm", x, w, "w");
  check_vector("layer_norm", x, b, "b");
  expect(groups > 0 && x.dim(-1) % groups == 0, "layer_norm: ", x.shape(), " in ", groups, " groups");
  Tensor y = like(x);
  run<&Kernels::layer_norm>("layer_norm", x.device(), rows_of(x), values(w), values(b), eps, groups, rows_of(y));
  record_norm(NormKind::layer, y, x, w, b, 0, eps, groups);
  return y;
}

Tensor l2_norm(const Tensor& x, float eps, bool clamp) {
  Tensor y = like(x);
  run<&Kernels::l2_norm>("l2_norm", x.device(), rows_of(x), eps, clamp, 1, rows_of(y));
  record_norm(clamp ? NormKind::l2_clamped : NormKind::l2, y, x, {}, {}, 0, eps, 1);
  return y;
}

}  // namespace headrace
