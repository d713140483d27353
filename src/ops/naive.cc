// The definitions of the ops without time, in double precision, one loop nest each. Every backend is held to them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "ops/kernels.h"
#include "ops/kernels/attention.h"
#include "ops/naive_sequence.h"
#include "tensor/blocks.h"
#include "tensor/half.h"

namespace headrace {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
double gelu_tanh(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
double gelu_erf(double x) { return 0.5 * x * std::erfc(-x * 0.7071067811865476); }

double apply(Unary f, double p, double x) {
  switch (f) {
    case Unary::scale: return p * x;
    case Unary::softcap: return p * std::tanh(x / p);
    case Unary::exp: return std::exp(x);
    case Unary::sigmoid: return sigmoid(x);
    case Unary::tanh: return std::tanh(x);
    case Unary::silu: return x * sigmoid(x);
    case Unary::gelu_tanh: return gelu_tanh(x);
    case Unary::gelu_erf: return gelu_erf(x);
    case Unary::relu: return x > 0 ? x : 0;
    case Unary::relu_squared: return x > 0 ? x * x : 0;
    case Unary::softplus: return softplus(x);
    case Unary::log_sigmoid: return -softplus(-x);
    case Unary::sqrt: return std::sqrt(x);
    case Unary::negate: return -x;
    case Unary::log: return std::log(x);
    case Unary::reciprocal: return 1 / x;
    case Unary::sin: return std::sin(x);
    case Unary::cos: return std::cos(x);
    case Unary::abs: return std::abs(x);
    case Unary::elu_plus_one: return x > 0 ? x + 1 : std::exp(x);
    case Unary::at_least: return std::max(x, p);
    case Unary::at_most: return std::min(x, p);
    case Unary::sqrt_one_minus_exp: return std::sqrt(-std::expm1(p * x));
  }
  return 0;
}
double apply(Binary f, double a, double b) {
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

double slope(Unary f, double p, double x) {
  const double s = sigmoid(x);
  switch (f) {
    case Unary::scale: return p;
    case Unary::softcap: return 1 - std::pow(std::tanh(x / p), 2);
    case Unary::exp: return std::exp(x);
    case Unary::sigmoid: return s * (1 - s);
    case Unary::tanh: return 1 - std::pow(std::tanh(x), 2);
    case Unary::silu: return s * (1 + x * (1 - s));
    case Unary::gelu_tanh: {
      double gate = sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x));
      return gate + x * gate * (1 - gate) * 1.5957691216057308 * (1 + 3 * 0.044715 * x * x);
    }
    case Unary::gelu_erf: return 0.5 * std::erfc(-x * 0.7071067811865476) + x * 0.3989422804014327 * std::exp(-0.5 * x * x);
    case Unary::relu: return x > 0 ? 1 : 0;
    case Unary::relu_squared: return x > 0 ? 2 * x : 0;
    case Unary::softplus: return s;
    case Unary::log_sigmoid: return sigmoid(-x);
    case Unary::sqrt: return 0.5 / std::sqrt(x);
    case Unary::negate: return -1;
    case Unary::log: return 1 / x;
    case Unary::reciprocal: return -1 / (x * x);
    case Unary::sin: return std::cos(x);
    case Unary::cos: return -std::sin(x);
    case Unary::abs: return x > 0 ? 1 : x < 0 ? -1 : 0;
    case Unary::elu_plus_one: return x > 0 ? 1 : std::exp(x);
    case Unary::at_least: return x > p ? 1 : 0;
    case Unary::at_most: return x < p ? 1 : 0;
    case Unary::sqrt_one_minus_exp:   // finite at 0
      return -p * std::exp(p * x) / std::sqrt(std::max(-4 * std::expm1(p * x), 1e-30));
  }
  return 0;
}

void unary_backward(Unary f, float p, Rows x, Rows dy, Rows dx) {
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) dx[i][j] = static_cast<float>(dy[i][j] * slope(f, p, x[i][j]));
}
void sum(Rows x, bool over_rows, float* y) {
  std::vector<double> sums(static_cast<size_t>(over_rows ? x.cols : x.rows));
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) sums[static_cast<size_t>(over_rows ? j : i)] += x[i][j];
  for (double v : sums) *y++ = static_cast<float>(v);
}
double operand(float v, bool bf16) { return bf16 ? bf16_to_f32(f32_to_bf16(v)) : v; }
void product(const MatrixProduct& p) {
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = p.add ? p.c[i * p.ldc + j] : 0;
      for (int64_t l = 0; l < p.k; ++l)
        sum += operand(p.a_transposed ? p.a[l * p.lda + i] : p.a[i * p.lda + l], p.bf16) *
               operand(p.b_transposed ? p.b[j * p.ldb + l] : p.b[l * p.ldb + j], p.bf16);
      p.c[i * p.ldc + j] = static_cast<float>(sum);
    }
}

void unary(Unary f, float p, Rows x, Rows y) {
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) y[i][j] = static_cast<float>(apply(f, p, x[i][j]));
}
void binary(Binary f, Rows a, Rows b, Rows y) {
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < a.cols; ++j)
      y[i][j] = static_cast<float>(apply(f, a[i][j], b[b.rows == 1 ? 0 : i][b.cols == 1 ? 0 : j]));
}
void lerp(Rows a, Rows b, Rows t, Rows y) {
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < a.cols; ++j)
      y[i][j] = static_cast<float>(a[i][j] + (double{b[i][j]} - a[i][j]) * t[t.rows == 1 ? 0 : i][j]);
}
void mix(Rows a, Rows b, Rows t, float* y) {
  for (int64_t m = 0; m < t.cols / a.cols; ++m)
    for (int64_t i = 0; i < a.rows; ++i)
      for (int64_t j = 0; j < a.cols; ++j)
        *y++ = static_cast<float>(a[i][j] + (double{b[i][j]} - a[i][j]) * t[t.rows == 1 ? 0 : i][m * a.cols + j]);
}
void where_starts(std::span<const int32_t> positions, float value, Rows x, Rows y) {
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) y[i][j] = positions[i] == 0 ? value : x[i][j];
}

void rms_norm(Rows x, const float* w, float offset, float eps, int groups, Rows y) {
  int64_t n = x.cols / groups;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t g = 0; g < groups; ++g) {
      double sum = 0;
      for (int64_t j = g * n; j < (g + 1) * n; ++j) sum += double{x[i][j]} * x[i][j];
      double r = 1 / std::sqrt(sum / static_cast<double>(n) + eps);
      for (int64_t j = g * n; j < (g + 1) * n; ++j) y[i][j] = static_cast<float>(x[i][j] * r * (w ? offset + double{w[j]} : 1));
    }
}
void layer_norm(Rows x, const float* w, const float* b, float eps, int groups, Rows y) {
  int64_t n = x.cols / groups;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t g = 0; g < groups; ++g) {
      double sum = 0, square = 0;
      for (int64_t j = g * n; j < (g + 1) * n; ++j) sum += x[i][j];
      double mean = sum / static_cast<double>(n);
      for (int64_t j = g * n; j < (g + 1) * n; ++j) square += (x[i][j] - mean) * (x[i][j] - mean);
      double r = 1 / std::sqrt(square / static_cast<double>(n) + eps);
      for (int64_t j = g * n; j < (g + 1) * n; ++j)
        y[i][j] = static_cast<float>((x[i][j] - mean) * r * (w ? w[j] : 1) + (b ? b[j] : 0));
    }
}
void l2_norm(Rows x, float eps, bool clamp, int groups, Rows y) {
  int64_t n = x.cols / groups;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t g = 0; g < groups; ++g) {
      double sum = 0;
      for (int64_t j = g * n; j < (g + 1) * n; ++j) sum += double{x[i][j]} * x[i][j];
      double r = clamp ? 1 / std::max(std::sqrt(sum), double{eps}) : 1 / std::sqrt(sum + eps);
      for (int64_t j = g * n; j < (g + 1) * n; ++j) y[i][j] = static_cast<float>(x[i][j] * r);
    }
}

void norm_backward(const NormBackward& a) {
  const int64_t n = a.x.cols / a.groups;
  const bool layer = a.kind == NormKind::layer, l2 = a.kind == NormKind::l2 || a.kind == NormKind::l2_clamped;
  for (int64_t i = 0; i < a.x.rows; ++i)
    for (int64_t at = 0; at < a.x.cols; at += n) {
      const float *x = a.x[i] + at, *dy = a.dy[i] + at;
      double mean = 0, square = 0, g_mean = 0, g_xhat = 0;
      for (int64_t j = 0; j < n; ++j) mean += layer ? double{x[j]} / static_cast<double>(n) : 0;
      for (int64_t j = 0; j < n; ++j) square += (x[j] - mean) * (x[j] - mean);
      const bool clamped = a.kind == NormKind::l2_clamped && std::sqrt(square) < a.eps;
      const double r = clamped ? 1 / double{a.eps} : a.kind == NormKind::l2_clamped ? 1 / std::sqrt(square)
                     : 1 / std::sqrt((l2 ? square : square / static_cast<double>(n)) + a.eps);
      auto g = [&](int64_t j) { return dy[j] * (a.w ? a.offset + double{a.w[at + j]} : 1); };
      for (int64_t j = 0; j < n; ++j) g_mean += g(j), g_xhat += g(j) * (x[j] - mean) * r;
      g_mean = layer ? g_mean / static_cast<double>(n) : 0;
      g_xhat = clamped ? 0 : l2 ? g_xhat : g_xhat / static_cast<double>(n);
      for (int64_t j = 0; j < n; ++j) {
        const double xhat = (x[j] - mean) * r;
        a.dx[i][at + j] = static_cast<float>(r * (g(j) - g_mean - xhat * g_xhat));
        if (a.dy_xhat.data) a.dy_xhat[i][at + j] = static_cast<float>(dy[j] * xhat);
      }
    }
}

// One row of a matrix as f32, whatever its dtype. Backends' panel layouts are theirs alone, so rows only.
std::vector<float> weight_row(const Tensor& w, int64_t row) {
  expect(w.layout() == Layout::rows, "naive: a packed weight; load the model with packing off");
  std::vector<float> r(static_cast<size_t>(w.dim(1)));
  dequantise_row(w.dtype(), w.data<std::byte>() + bytes_of(w.dtype(), row * w.dim(1)), r.data(), w.dim(1));
  return r;
}
void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y) {
  for (size_t i = 0; i < ids.size(); ++i) {
    auto row = weight_row(table, ids[i]);
    std::memcpy(y[static_cast<int64_t>(i)], row.data(), row.size() * sizeof(float));
  }
}
void embedding_backward(std::span<const int32_t> ids, Rows dy, Rows dtable) {
  for (size_t i = 0; i < ids.size(); ++i)
    for (int64_t j = 0; j < dy.cols; ++j) dtable[ids[i]][j] += dy[static_cast<int64_t>(i)][j];
}
void linear(std::span<const LinearPart> parts) {
  for (const LinearPart& p : parts)
    for (int64_t o = 0; o < p.weight->dim(0); ++o) {
      const Rows x = p.x;
      auto w = weight_row(*p.weight, o);
      for (int64_t i = 0; i < x.rows; ++i) {
        double sum = p.bias ? p.bias[o] : 0;
        for (int64_t j = 0; j < x.cols; ++j) sum += operand(w[j], p.bf16) * operand(x[i][j], p.bf16);
        p.y[i][o] = static_cast<float>(sum);
      }
    }
}
void block_linear(Rows x, const float* w, const float* b, int blocks, Rows y) {
  int64_t in = x.cols / blocks, out = y.cols / blocks;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t h = 0; h < blocks; ++h)
      for (int64_t o = 0; o < out; ++o) {
        double sum = b ? b[h * out + o] : 0;
        for (int64_t j = 0; j < in; ++j) sum += double{x[i][h * in + j]} * w[(h * in + j) * out + o];
        y[i][h * out + o] = static_cast<float>(sum);
      }
}
void head_dot(Rows a, Rows b, const float* w, int heads, Rows y) {
  int64_t n = a.cols / heads;
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t h = 0; h < heads; ++h) {
      double sum = 0;
      for (int64_t j = h * n; j < (h + 1) * n; ++j) sum += double{a[i][j]} * b[i][j] * (w ? w[j] : 1);
      y[i][h] = static_cast<float>(sum);
    }
}
void scale_heads(Rows x, Rows s, int heads, Rows y) {
  int64_t n = x.cols / heads;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) y[i][j] = x[i][j] * s[i][j / n];
}
void rope(const RopeArgs& r) {
  for (size_t n = 0; n < r.positions.size(); ++n)
    for (int h = 0; h < r.heads; ++h) {
      const float* x = r.x + static_cast<int64_t>(n) * r.x_stride + h * r.width;
      float* y = r.y + static_cast<int64_t>(n) * r.y_stride + h * r.width;
      for (int i = 0; i < r.rotary / 2; ++i) {
        int first = r.interleaved ? 2 * i : i, second = r.interleaved ? 2 * i + 1 : i + r.rotary / 2;
        double angle = double{r.inverse_frequency[i]} * r.positions[n];
        double c = std::cos(angle) * r.factor, s = std::sin(angle) * r.factor, a = x[first], b = x[second];
        y[first] = static_cast<float>(a * c - b * s);
        y[second] = static_cast<float>(b * c + a * s);
      }
      for (int i = r.rotary; i < r.width; ++i) y[i] = x[i];
    }
}

}  // namespace

const Kernels& naive_kernels() {
  static const Kernels table{
      .device = "naive", .unary = unary, .binary = binary, .unary_backward = unary_backward, .sum = sum,
      .lerp = lerp, .mix = mix, .where_starts = where_starts, .rms_norm = rms_norm,
      .layer_norm = layer_norm, .l2_norm = l2_norm, .norm_backward = norm_backward, .softmax = naive::softmax,
      .softmax_backward = naive::softmax_backward, .entmax = naive::entmax, .entmax_backward = naive::entmax_backward, .top_k = naive::top_k,
      .embedding = embedding, .embedding_backward = embedding_backward, .linear = linear, .product = product,
      .block_linear = block_linear,
      .head_dot = head_dot, .scale_heads = scale_heads, .rope = rope, .append_keys = naive::append_keys, .append_gates = append_gates,
      .attention = naive::attention, .attention_backward = naive::attention_backward, .linear_scan = naive::linear_scan,
      .linear_scan_backward = naive::linear_scan_backward, .log_linear = naive::log_linear,
      .running_max = naive::running_max, .normalise = naive::normalise,
      .normalise_backward = naive::normalise_backward, .diag_scan = naive::diag_scan,
      .diag_scan_backward = naive::diag_scan_backward, .cell_scan = naive::cell_scan, .cell_scan_backward = naive::cell_scan_backward,
      .memory_scan = naive::memory_scan, .memory_scan_backward = naive::memory_scan_backward,
      .short_conv = naive::short_conv, .short_conv_backward = naive::short_conv_backward, .long_conv = naive::long_conv,
      .modal_scan = naive::modal_scan, .modal_scan_backward = naive::modal_scan_backward,
      .complex_unary = naive::complex_unary, .modal_filter = naive::modal_filter, .cauchy = naive::cauchy,
      .inverse_fourier = naive::inverse_fourier, .cross_entropy = naive::cross_entropy,
      .cross_entropy_backward = naive::cross_entropy_backward, .dropout = naive::dropout, .square_sum = naive::square_sum,
      .adam_step = naive::adam_step,
      .pack = nullptr, .synchronize = nullptr, .peak = nullptr, .instructions = nullptr};
  return table;
}

}  // namespace headrace
