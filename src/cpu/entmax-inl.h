// Rows of alpha-entmax for the CPU's vector files, once per Highway target (ops/kernels/entmax.h has the formulas).
#include "cpu/simd-inl.h"

#if defined(HEADRACE_CPU_ENTMAX_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_CPU_ENTMAX_INL
#undef HEADRACE_CPU_ENTMAX_INL
#else
#define HEADRACE_CPU_ENTMAX_INL
#endif

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// p and dp/dd of d = x - t. 1.5 and 2, the common ones, need neither exp nor log.
struct Bend {
  float beta;                            // alpha - 1
  struct Both { V p, slope; };
  HWY_INLINE Both at(V d) const {
    if (beta <= 0) {
      V p = exp_of(d);
      return {p, p};
    }
    const V u = hn::Mul(set(beta), d), w = hn::Max(set(0), hn::Add(set(1), u));
    const auto outside = hn::Le(w, set(0));          // not NaN
    if (beta == 0.5f) return {hn::Mul(w, w), w};
    if (beta == 1) return {w, hn::IfThenZeroElse(outside, set(1))};
    const V log = hn::Log1p(D(), hn::Max(set(-0.99999994f), u));
    return {hn::IfThenZeroElse(outside, exp_through(hn::Mul(log, set(1 / beta)))),
            hn::IfThenZeroElse(outside, exp_through(hn::Mul(log, set(1 / beta - 1))))};
  }
};

// The t of x, where -inf stands for what is not there. The sum of p is convex in t up to alpha = 2, so Newton's steps from
// the left do not pass the root; beyond, halving.
inline float threshold(const float* x, int64_t n, Bend bend) {
  V high = set(-HUGE_VALF);
  strips(n, [&](auto s) { high = hn::Max(high, s.only(s.load(x), -HUGE_VALF)); });
  const float top = max_of(high), count = static_cast<float>(n);
  float low = 0, far = bend.beta > 0 ? -std::expm1(-bend.beta * std::log(count)) / bend.beta : std::log(count), t = bend.beta > 1 ? far / 2 : 0;
  for (int i = 0; i < 40; ++i) {
    V sum = set(0), slope = set(0);
    const V shift = set(top);
    strips(n, [&](auto s) {
      auto [p, d] = bend.at(hn::Sub(hn::Sub(s.load(x), shift), set(t)));
      sum = hn::Add(sum, s.only(p)), slope = hn::Add(slope, s.only(d));
    });
    const float over = sum_of(sum) - 1;
    (over >= 0 ? low : far) = t;
    const float step = bend.beta > 1 ? (low + far) / 2 - t : over / sum_of(slope);
    if (std::abs(step) <= 1e-7f * (1 + t)) break;
    t = std::clamp(t + step, low, far);
  }
  return top + t;
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();
#endif
