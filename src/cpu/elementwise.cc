// Element by element: functions of one and two tensors, mixes of a token and its neighbour, products per head.
#include "base/parallel.h"
#include "cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/elementwise.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t cheap = 32768, costly = 4096;              // elements below which one thread is faster

// f(strip, row) over all elements; adjacent rows are one long row.
template <class F>
void over(int64_t rows, int64_t cols, int64_t grain, F f) {
  parallel(rows, std::max<int64_t>(1, grain / std::max<int64_t>(cols, 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) f(i, int64_t{0}, cols);
  });
}
template <class F>
void over_columns(int64_t n, int64_t grain, F f) {
  parallel((n + 63) / 64, std::max<int64_t>(1, grain / 64), [&](int64_t b, int64_t e, int) { f(int64_t{0}, b * 64, std::min(n, e * 64) - b * 64); });
}
bool adjacent(Rows x) { return x.stride == x.cols; }

template <class F>
void map(Rows x, Rows y, int64_t grain, F f) {
  auto part = [&](int64_t i, int64_t at, int64_t n) { strips(n, [&](auto s) { s.store(f(s.load(x[i] + at)), y[i] + at); }); };
  if (x.rows == 1 || (adjacent(x) && adjacent(y))) over_columns(x.rows * x.cols, grain, part);
  else over(x.rows, x.cols, grain, part);
}

void Unary(headrace::Unary f, float p, Rows x, Rows y) {
  using enum headrace::Unary;
  const V P = set(p);
  switch (f) {
    case scale: return map(x, y, cheap, [=](V v) { return hn::Mul(P, v); });
    case negate: return map(x, y, cheap, [](V v) { return hn::Neg(v); });
    case at_least: return map(x, y, cheap, [=](V v) { return hn::Max(P, v); });
    case at_most: return map(x, y, cheap, [=](V v) { return hn::Min(P, v); });
    case relu: return map(x, y, cheap, [](V v) { return hn::Max(set(0), v); });
    case relu_squared: return map(x, y, cheap, [](V v) { V r = hn::Max(set(0), v); return hn::Mul(r, r); });
    case headrace::Unary::sqrt: return map(x, y, cheap, [](V v) { return hn::Sqrt(v); });
    case headrace::Unary::abs: return map(x, y, cheap, [](V v) { return hn::Abs(v); });
    case reciprocal: return map(x, y, cheap, [](V v) { return hn::Div(set(1), v); });
    case headrace::Unary::log: return map(x, y, costly, [](V v) { return log_of(v); });
    case headrace::Unary::sin: return map(x, y, costly, [](V v) { return hn::Sin(D(), v); });
    case headrace::Unary::cos: return map(x, y, costly, [](V v) { return hn::Cos(D(), v); });
    case elu_plus_one: return map(x, y, costly, [](V v) { return elu_plus_one_of(v); });
    case headrace::Unary::exp:
      return map(x, y, costly, [](V v) { return hn::IfThenElse(hn::Gt(v, set(88.72283f)), set(HUGE_VALF), exp_of(v)); });
    case headrace::Unary::tanh: return map(x, y, costly, [](V v) { return tanh_of(v); });
    case softcap: return map(x, y, costly, [=](V v) { return hn::Mul(P, tanh_of(hn::Div(v, P))); });
    case sigmoid: return map(x, y, costly, [](V v) { return sigmoid_of(v); });
    case silu: return map(x, y, costly, [](V v) { return hn::Mul(v, sigmoid_of(v)); });
    case gelu_tanh: return map(x, y, costly, [](V v) { return gelu_tanh_of(v); });
    case gelu_erf: return map(x, y, costly, [](V v) { return gelu_erf_of(v); });
    case softplus: return map(x, y, costly, [](V v) { return softplus_of(v); });
    case log_sigmoid: return map(x, y, costly, [](V v) { return hn::Neg(softplus_of(hn::Neg(v))); });
    case sqrt_one_minus_exp: return map(x, y, costly, [=](V v) { return hn::Sqrt(hn::Neg(hn::Expm1(D(), hn::Max(set(-100.f), hn::Mul(P, v))))); });
  }
}

// dx = dy slope(x)
template <class F>
void map_backward(Rows x, Rows dy, Rows dx, F slope) {
  auto part = [&](int64_t i, int64_t at, int64_t n) {
    strips(n, [&](auto s) { s.store(hn::Mul(s.load(dy[i] + at), slope(s.load(x[i] + at))), dx[i] + at); });
  };
  if (x.rows == 1 || (adjacent(x) && adjacent(dy) && adjacent(dx))) over_columns(x.rows * x.cols, costly, part);
  else over(x.rows, x.cols, costly, part);
}
V one_minus_square(V v) { return hn::NegMulAdd(v, v, set(1)); }
V gate_slope(V s) { return hn::NegMulAdd(s, s, s); }                     // s (1 - s)
V one_if(hn::Mask<D> m) { return hn::IfThenElseZero(m, set(1)); }

void UnaryBackward(headrace::Unary f, float p, Rows x, Rows dy, Rows dx) {
  using enum headrace::Unary;
  const V P = set(p);
  auto go = [&](auto slope) { map_backward(x, dy, dx, slope); };
  switch (f) {
    case scale: return go([=](V) { return P; });
    case negate: return go([](V) { return set(-1); });
    case at_least: return go([=](V v) { return one_if(hn::Gt(v, P)); });
    case at_most: return go([=](V v) { return one_if(hn::Lt(v, P)); });
    case relu: return go([](V v) { return one_if(hn::Gt(v, set(0))); });
    case relu_squared: return go([](V v) { return hn::Mul(set(2), hn::Max(set(0), v)); });
    case headrace::Unary::sqrt: return go([](V v) { return hn::Div(set(0.5f), hn::Sqrt(v)); });
    case headrace::Unary::abs: return go([](V v) { return hn::IfThenZeroElse(hn::Eq(v, set(0)), hn::CopySign(set(1), v)); });
    case reciprocal: return go([](V v) { return hn::Div(set(-1), hn::Mul(v, v)); });
    case headrace::Unary::log: return go([](V v) { return hn::Div(set(1), v); });
    case headrace::Unary::sin: return go([](V v) { return hn::Cos(D(), v); });
    case headrace::Unary::cos: return go([](V v) { return hn::Neg(hn::Sin(D(), v)); });
    case elu_plus_one: return go([](V v) { return hn::IfThenElse(hn::Gt(v, set(0)), set(1), exp_of(v)); });
    case headrace::Unary::exp: return go([](V v) { return hn::IfThenElse(hn::Gt(v, set(88.72283f)), set(HUGE_VALF), exp_of(v)); });
    case headrace::Unary::tanh: return go([](V v) { return one_minus_square(tanh_of(v)); });
    case softcap: return go([=](V v) { return one_minus_square(tanh_of(hn::Div(v, P))); });
    case sigmoid: return go([](V v) { return gate_slope(sigmoid_of(v)); });
    case silu: return go([](V v) { V s = sigmoid_of(v); return hn::MulAdd(v, gate_slope(s), s); });
    case gelu_tanh: return go([](V v) {
      V square = hn::Mul(v, v), s = sigmoid_of(hn::Mul(hn::Mul(set(1.5957691216f), v), hn::MulAdd(set(0.044715f), square, set(1))));
      V inner = hn::Mul(set(1.5957691216f), hn::MulAdd(set(3 * 0.044715f), square, set(1)));
      return hn::MulAdd(hn::Mul(v, gate_slope(s)), inner, s);
    });
    case gelu_erf: return go([](V v) {
      V density = hn::Mul(set(0.39894228f), exp_of(hn::Mul(set(-0.5f), hn::Mul(v, v))));
      return hn::MulAdd(v, density, gaussian_of(v));
    });
    case softplus: return go([](V v) { return sigmoid_of(v); });
    case log_sigmoid: return go([](V v) { return sigmoid_of(hn::Neg(v)); });
    case sqrt_one_minus_exp: return go([=](V v) {                          // finite at 0
      V e = hn::Mul(P, v), rest = hn::Neg(hn::Expm1(D(), hn::Max(set(-100.f), e)));
      return hn::Div(hn::Neg(hn::Mul(P, exp_of(e))), hn::Sqrt(hn::Max(set(1e-30f), hn::Mul(set(4), rest))));
    });
  }
}

// Sums over rows: every thread takes columns, rows in order, so that sums repeat on any number of threads.
void Sum(Rows x, bool over_rows, float* y) {
  if (!over_rows)
    return over(x.rows, x.cols, cheap, [&](int64_t i, int64_t, int64_t n) {
      V sum = set(0);
      strips(n, [&](auto s) { sum = hn::Add(sum, s.only(s.load(x[i]))); });
      y[i] = sum_of(sum);
    });
  parallel((x.cols + 63) / 64, std::max<int64_t>(1, cheap / std::max<int64_t>(1, 64 * x.rows)), [&](int64_t b, int64_t e, int) {
    const int64_t from = b * 64, n = std::min(x.cols, e * 64) - from;
    std::fill(y + from, y + from + n, 0.f);
    for (int64_t block = 0; block < x.rows; block += 32) {                  // sums of 32 rows are added to the whole: less is rounded away
      const int64_t end = std::min(x.rows, block + 32);
      strips(n, [&](auto s) {
        V sum = set(0);
        for (int64_t i = block; i < end; ++i) sum = hn::Add(sum, s.load(x[i] + from));
        s.store(hn::Add(s.load(y + from), sum), y + from);
      });
    }
  });
}

template <class F>
void map2(Rows a, Rows b, Rows y, int64_t grain, F f) {
  if (b.cols == 1 && a.cols != 1)
    return over(a.rows, a.cols, grain, [&](int64_t i, int64_t, int64_t n) {
      V s = set(b[b.rows == 1 ? 0 : i][0]);
      strips(n, [&](auto t) { t.store(f(t.load(a[i]), s), y[i]); });
    });
  auto part = [&](int64_t i, int64_t at, int64_t n) {
    const float *pa = a[i] + at, *pb = b[b.rows == 1 ? 0 : i] + at;
    float* py = y[i] + at;
    strips(n, [&](auto s) { s.store(f(s.load(pa), s.load(pb)), py); });
  };
  if (a.rows == 1 || (b.rows == a.rows && adjacent(a) && adjacent(b) && adjacent(y))) over_columns(a.rows * a.cols, grain, part);
  else over(a.rows, a.cols, grain, part);
}

void Binary(headrace::Binary f, Rows a, Rows b, Rows y) {
  using enum headrace::Binary;
  switch (f) {
    case add: return map2(a, b, y, cheap, [](V p, V q) { return hn::Add(p, q); });
    case subtract: return map2(a, b, y, cheap, [](V p, V q) { return hn::Sub(p, q); });
    case multiply: return map2(a, b, y, cheap, [](V p, V q) { return hn::Mul(p, q); });
    case silu_multiply: return map2(a, b, y, costly, [](V p, V q) { return hn::Mul(hn::Mul(p, sigmoid_of(p)), q); });
    case sigmoid_multiply: return map2(a, b, y, costly, [](V p, V q) { return hn::Mul(sigmoid_of(p), q); });
    case gelu_tanh_multiply: return map2(a, b, y, costly, [](V p, V q) { return hn::Mul(gelu_tanh_of(p), q); });
    case gelu_erf_multiply: return map2(a, b, y, costly, [](V p, V q) { return hn::Mul(gelu_erf_of(p), q); });
  }
}

void Lerp(Rows a, Rows b, Rows t, Rows y) {
  over(a.rows, a.cols, cheap, [&](int64_t i, int64_t, int64_t n) {
    const float* w = t[t.rows == 1 ? 0 : i];
    strips(n, [&](auto s) {
      V p = s.load(a[i]);
      s.store(hn::MulAdd(hn::Sub(s.load(b[i]), p), s.load(w), p), y[i]);
    });
  });
}

void Mix(Rows a, Rows b, Rows t, float* y) {
  const int64_t W = a.cols, M = t.cols / std::max<int64_t>(W, 1);
  over(a.rows, a.cols, cheap / std::max<int64_t>(M, 1), [&](int64_t i, int64_t, int64_t n) {
    const float* w = t[t.rows == 1 ? 0 : i];
    strips(n, [&](auto s) {
      V p = s.load(a[i]), d = hn::Sub(s.load(b[i]), p);
      for (int64_t m = 0; m < M; ++m) s.store(hn::MulAdd(d, s.load(w + m * W), p), y + (m * a.rows + i) * W);
    });
  });
}

void HeadDot(Rows a, Rows b, const float* w, int heads, Rows y) {
  const int64_t n = a.cols / heads;
  over(a.rows, a.cols, cheap, [&](int64_t i, int64_t, int64_t) {
    for (int h = 0; h < heads; ++h) {
      V sum = set(0);
      strips(n, [&](auto s) {
        V p = hn::Mul(s.load(a[i] + h * n), s.load(b[i] + h * n));
        sum = w ? hn::MulAdd(p, s.load(w + h * n), sum) : hn::Add(sum, p);
      });
      y[i][h] = sum_of(sum);
    }
  });
}

void ScaleHeads(Rows x, Rows s, int heads, Rows y) {
  const int64_t n = x.cols / heads;
  over(x.rows, x.cols, cheap, [&](int64_t i, int64_t, int64_t) {
    for (int h = 0; h < heads; ++h) {
      V by = set(s[i][h]);
      strips(n, [&](auto t) { t.store(hn::Mul(t.load(x[i] + h * n), by), y[i] + h * n); });
    }
  });
}

void BlockLinear(Rows x, const float* w, const float* b, int blocks, Rows y) {
  const int64_t in = x.cols / blocks, out = y.cols / blocks;
  // A strip of rows meets all blocks whose weights stay in the cache before the next strip does.
  const int64_t strip = 64, strips_of_rows = (x.rows + strip - 1) / strip, group = std::clamp<int64_t>((int64_t{128} << 10) / (in * out), 1, blocks);
  parallel(blocks * strips_of_rows, std::max<int64_t>(1, cheap / std::max<int64_t>(1, std::min(strip, x.rows) * in * out)),
      [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t g = task / (group * strips_of_rows) * group, wide = std::min(group, blocks - g), rest = task - g * strips_of_rows;
      const int64_t h = g + rest % wide, first = rest / wide * strip, rows = std::min(strip, x.rows - first);
      for (int64_t i = first; i < first + rows; ++i)
        strips(out, [&](auto s) { s.store(b ? s.load(b + h * out) : set(0), y[i] + h * out); });
      product<true>(rows, out, {x[first] + h * in, x.stride, 1, w + h * in * out, out, y[first] + h * out, y.stride, in});
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cstring>
namespace headrace::cpu {

HWY_EXPORT(Unary);
HWY_EXPORT(UnaryBackward);
HWY_EXPORT(Sum);
HWY_EXPORT(Binary);
HWY_EXPORT(Lerp);
HWY_EXPORT(Mix);
HWY_EXPORT(HeadDot);
HWY_EXPORT(ScaleHeads);
HWY_EXPORT(BlockLinear);

void unary(headrace::Unary f, float p, Rows x, Rows y) { HWY_DYNAMIC_DISPATCH(Unary)(f, p, x, y); }
void unary_backward(headrace::Unary f, float p, Rows x, Rows dy, Rows dx) { HWY_DYNAMIC_DISPATCH(UnaryBackward)(f, p, x, dy, dx); }
void sum(Rows x, bool over_rows, float* y) { HWY_DYNAMIC_DISPATCH(Sum)(x, over_rows, y); }
void binary(headrace::Binary f, Rows a, Rows b, Rows y) { HWY_DYNAMIC_DISPATCH(Binary)(f, a, b, y); }
void lerp(Rows a, Rows b, Rows t, Rows y) { HWY_DYNAMIC_DISPATCH(Lerp)(a, b, t, y); }
void mix(Rows a, Rows b, Rows t, float* y) { HWY_DYNAMIC_DISPATCH(Mix)(a, b, t, y); }
void head_dot(Rows a, Rows b, const float* w, int heads, Rows y) { HWY_DYNAMIC_DISPATCH(HeadDot)(a, b, w, heads, y); }
void scale_heads(Rows x, Rows s, int heads, Rows y) { HWY_DYNAMIC_DISPATCH(ScaleHeads)(x, s, heads, y); }
void block_linear(Rows x, const float* w, const float* b, int blocks, Rows y) { HWY_DYNAMIC_DISPATCH(BlockLinear)(x, w, b, blocks, y); }

void where_starts(std::span<const int32_t> positions, float value, Rows x, Rows y) {
  for (int64_t i = 0; i < x.rows; ++i) {
    if (positions[static_cast<size_t>(i)] == 0) std::fill(y[i], y[i] + x.cols, value);
    else std::memcpy(y[i], x[i], static_cast<size_t>(x.cols) * sizeof(float));
  }
}

}  // namespace headrace::cpu
#endif
