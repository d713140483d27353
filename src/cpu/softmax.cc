// Softmax and alpha-entmax of rows, and the largest of each.
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"
#include "ops/kernels/entmax.h"
#include "ops/kernels/top_k.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/softmax.cc"
#include "hwy/foreach_target.h"
#include "cpu/entmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

template <class F>
void each_row(Rows x, int64_t least, F f) {
  parallel(x.rows, std::max<int64_t>(1, least / std::max<int64_t>(x.cols, 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

void Softmax(Rows x, Rows y) {
  each_row(x, 8192, [&](int64_t i) {
    V high = set(-HUGE_VALF), sum = set(0);
    strips(x.cols, [&](auto s) { high = hn::Max(high, s.only(s.load(x[i]), -HUGE_VALF)); });
    const V top = set(max_of(high));
    strips(x.cols, [&](auto s) {
      V p = exp_through(hn::Sub(s.load(x[i]), top));
      sum = hn::Add(sum, s.only(p));
      s.store(p, y[i]);
    });
    const V inverse = set(1 / sum_of(sum));
    strips(x.cols, [&](auto s) { s.store(hn::Mul(s.load(y[i]), inverse), y[i]); });
  });
}
void SoftmaxBackward(Rows y, Rows dy, Rows dx) {
  each_row(y, 16384, [&](int64_t i) {
    const V mean = set(dot(y[i], dy[i], y.cols));
    strips(y.cols, [&](auto s) { s.store(hn::Mul(s.load(y[i]), hn::Sub(s.load(dy[i]), mean)), dx[i]); });
  });
}

void EntmaxOfRows(Rows x, std::span<const float> alpha, Rows y) {
  each_row(x, 1024, [&](int64_t i) {
    const Bend bend{alpha[alpha.size() == 1 ? 0 : static_cast<size_t>(i)] - 1};
    const V t = set(threshold(x[i], x.cols, bend));
    V sum = set(0);
    strips(x.cols, [&](auto s) {
      V p = bend.at(hn::Sub(s.load(x[i]), t)).p;
      sum = hn::Add(sum, s.only(p));
      s.store(p, y[i]);
    });
    const V inverse = set(1 / sum_of(sum));
    strips(x.cols, [&](auto s) { s.store(hn::Mul(s.load(y[i]), inverse), y[i]); });
  });
}
void EntmaxRowsBackward(const EntmaxBackward& a, double* dalpha) {
  each_row(a.x, 1024, [&](int64_t i) {
    const Bend bend{a.alpha[a.alpha.size() == 1 ? 0 : static_cast<size_t>(i)] - 1};
    const float *x = a.x[i], *dy = a.dy[i], at = threshold(x, a.x.cols, bend);
    const V t = set(at);
    V total = set(0), sum = set(0);
    strips(a.x.cols, [&](auto s) {
      const V d = s.only(bend.at(hn::Sub(s.load(x), t)).slope);
      total = hn::Add(total, d), sum = hn::MulAdd(d, s.load(dy), sum);
    });
    const V mean = set(sum_of(sum) / sum_of(total));
    strips(a.x.cols, [&](auto s) { s.store(hn::Mul(bend.at(hn::Sub(s.load(x), t)).slope, hn::Sub(s.load(dy), mean)), a.dx[i]); });
    if (!dalpha) return;
    const Entmax row(bend.beta + 1.0, at);            // differences of near numbers: in double
    for (int64_t j = 0; j < a.x.cols; ++j) dalpha[i] += (dy[j] - double{hn::GetLane(mean)}) * row.in_alpha(x[j]);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(Softmax);
HWY_EXPORT(SoftmaxBackward);
HWY_EXPORT(EntmaxOfRows);
HWY_EXPORT(EntmaxRowsBackward);

void softmax(Rows x, Rows y) { HWY_DYNAMIC_DISPATCH(Softmax)(x, y); }
void softmax_backward(Rows y, Rows dy, Rows dx) { HWY_DYNAMIC_DISPATCH(SoftmaxBackward)(y, dy, dx); }
void entmax(Rows x, std::span<const float> alpha, Rows y) { HWY_DYNAMIC_DISPATCH(EntmaxOfRows)(x, alpha, y); }
void entmax_backward(const EntmaxBackward& a) {
  std::vector<double> of_rows(a.dalpha ? static_cast<size_t>(a.x.rows) : 0), dalpha(a.alpha.size());
  HWY_DYNAMIC_DISPATCH(EntmaxRowsBackward)(a, a.dalpha ? of_rows.data() : nullptr);
  if (!a.dalpha) return;
  for (size_t i = 0; i < of_rows.size(); ++i) dalpha[dalpha.size() == 1 ? 0 : i] += of_rows[i];
  for (size_t i = 0; i < dalpha.size(); ++i) a.dalpha[i] = static_cast<float>(dalpha[i]);
}
void top_k(Rows x, Rows values, int64_t* columns) {
  parallel(x.rows, std::max<int64_t>(1, 4096 / std::max<int64_t>(x.cols, 1)), [&](int64_t begin, int64_t end, int) {
    std::vector<std::pair<float, int64_t>> row;
    for (int64_t i = begin; i < end; ++i) top_of_row(x[i], x.cols, values.cols, row, values[i], columns + i * values.cols);
  });
}

}  // namespace headrace::cpu
#endif
