// Ops of one element or one pair: a thread each.
#include "cuda/kernels.h"
#include "cuda/launch.h"

namespace headrace::cuda {
namespace {

__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }
__device__ float softplus(float x) { return fmaxf(x, 0.f) + log1pf(expf(-fabsf(x))); }
__device__ float gelu_tanh(float x) { return x * sigmoid(1.5957691216f * (x + 0.044715f * x * x * x)); }   // 1 + tanh(u) = 2 sigmoid(2u)
__device__ float gelu_erf(float x) { return 0.5f * x * erfcf(-x * 0.7071067812f); }

__device__ float apply(Unary f, float p, float x) {
  switch (f) {
    case Unary::scale: return p * x;
    case Unary::softcap: return p * tanhf(x / p);
    case Unary::exp: return expf(x);
    case Unary::sigmoid: return sigmoid(x);
    case Unary::tanh: return tanhf(x);
    case Unary::silu: return x * sigmoid(x);
    case Unary::gelu_tanh: return gelu_tanh(x);
    case Unary::gelu_erf: return gelu_erf(x);
    case Unary::relu: return fmaxf(x, 0.f);
    case Unary::relu_squared: return x > 0 ? x * x : 0;
    case Unary::softplus: return softplus(x);
    case Unary::log_sigmoid: return -softplus(-x);
    case Unary::log: return logf(x);
    case Unary::reciprocal: return 1 / x;
    case Unary::sin: return sinf(x);
    case Unary::cos: return cosf(x);
    case Unary::abs: return fabsf(x);
    case Unary::elu_plus_one: return x > 0 ? x + 1 : expf(x);
    case Unary::sqrt: return sqrtf(x);
    case Unary::negate: return -x;
    case Unary::at_least: return fmaxf(x, p);
    case Unary::at_most: return fminf(x, p);
    case Unary::sqrt_one_minus_exp: return sqrtf(-expm1f(p * x));
  }
  return 0;
}
__device__ float apply(Binary f, float a, float b) {
  switch (f) {
    case Binary::add: return a + b;
    case Binary::subtract: return a - b;
    case Binary::multiply: return a * b;
    case Binary::silu_multiply: return a * sigmoid(a) * b;
    case Binary::gelu_tanh_multiply: return gelu_tanh(a) * b;
    case Binary::gelu_erf_multiply: return gelu_erf(a) * b;
    case Binary::sigmoid_multiply: return sigmoid(a) * b;
  }
  return 0;
}

// f(row, column) for every element of y.
template <class F>
void for_elements(const char* name, Rows y, F f) {
  for_each(name, y.rows * y.cols, [=] __device__(int64_t i) { f(i / y.cols, i % y.cols); });
}

}  // namespace

void unary(Unary f, float parameter, Rows x, Rows y) {
  for_elements("unary", y, [=] __device__(int64_t i, int64_t j) { y[i][j] = apply(f, parameter, x[i][j]); });
}
void binary(Binary f, Rows a, Rows b, Rows y) {
  for_elements("binary", y, [=] __device__(int64_t i, int64_t j) { y[i][j] = apply(f, a[i][j], b[b.rows == 1 ? 0 : i][b.cols == 1 ? 0 : j]); });
}
void lerp(Rows a, Rows b, Rows t, Rows y) {
  for_elements("lerp", y, [=] __device__(int64_t i, int64_t j) { y[i][j] = a[i][j] + (b[i][j] - a[i][j]) * t[t.rows == 1 ? 0 : i][j]; });
}
void mix(Rows a, Rows b, Rows t, float* y) {
  const int64_t parts = t.cols / a.cols;
  for_elements("mix", {y, parts * a.rows, a.cols, a.cols}, [=] __device__(int64_t r, int64_t j) {
    const int64_t m = r / a.rows, i = r % a.rows;
    y[r * a.cols + j] = a[i][j] + (b[i][j] - a[i][j]) * t[t.rows == 1 ? 0 : i][m * a.cols + j];
  });
}
void where_starts(std::span<const int32_t> positions, float value, Rows x, Rows y) {
  auto up = upload(positions);
  const int32_t* p = up.get();
  for_elements("where_starts", y, [=] __device__(int64_t i, int64_t j) { y[i][j] = p[i] == 0 ? value : x[i][j]; });
}
void scale_heads(Rows x, Rows s, int heads, Rows y) {
  const int64_t width = x.cols / heads;
  for_elements("scale_heads", y, [=] __device__(int64_t i, int64_t j) { y[i][j] = x[i][j] * s[i][j / width]; });
}
void normalise(Rows x, Rows floor, float eps, int heads, Rows y) {
  const int64_t width = y.cols / heads;
  for_elements("normalise", y, [=] __device__(int64_t i, int64_t j) {
    const int64_t h = j / width;
    const float *from = x[i] + h * (width + 1), n = from[width];
    y[i][j] = from[j % width] / ((floor.data ? fmaxf(fabsf(n), floor[i][h]) : n) + eps);
  });
}

// Angles in double precision: at position 10^6 an f32 angle would be off by a tenth of a radian.
void rope(const RopeArgs& args) {
  auto positions = upload(args.positions);
  auto frequencies = upload(std::span(args.inverse_frequency, static_cast<size_t>(args.rotary / 2)));
  const int32_t* position = positions.get();
  const float* frequency = frequencies.get();
  const int64_t rows = static_cast<int64_t>(args.positions.size()) * args.heads, half = args.rotary / 2, steps = half + args.width - args.rotary;
  for_elements("rope", {nullptr, rows, steps, steps}, [=, r = args] __device__(int64_t row, int64_t i) {
    const int64_t n = row / r.heads, h = row % r.heads;
    const float* x = r.x + n * r.x_stride + h * r.width;
    float* y = r.y + n * r.y_stride + h * r.width;
    if (i >= half) {                               // the dimensions that do not turn
      y[i + half] = x[i + half];
      return;
    }
    const int64_t first = r.interleaved ? 2 * i : i, second = r.interleaved ? 2 * i + 1 : i + half;
    double s, c;
    sincos(double{frequency[i]} * position[n], &s, &c);
    const double a = x[first], b = x[second];
    y[first] = static_cast<float>((a * c - b * s) * r.factor);
    y[second] = static_cast<float>((b * c + a * s) * r.factor);
  });
}

}  // namespace headrace::cuda
