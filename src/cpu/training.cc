// The loss and its gradient row by row, Adam's step, sums of squares, dropout (definitions: ops/naive_training.cc).
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "cpu/kernels.h"
#include "ops/kernels/training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/training.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

void LossRow(const CrossEntropyArgs& a, int64_t n) {
  const float* x = a.x[n];
  V high = set(-HUGE_VALF), sum = set(0), all = set(0);
  strips(a.x.cols, [&](auto s) { high = hn::Max(high, s.only(s.load(x), -HUGE_VALF)); });
  const float top = max_of(high);
  const int32_t t = a.targets[static_cast<size_t>(n)];
  const float at = t < 0 ? 0 : x[t];                         // before dx takes its place
  float* dx = a.dx.data ? a.dx[n] : nullptr;
  strips(a.x.cols, [&](auto s) {
    const V v = s.load(x), e = exp_through(hn::Sub(v, set(top)));
    sum = hn::Add(sum, s.only(e)), all = hn::Add(all, s.only(v));
    if (dx) s.store(e, dx);
  });
  const float total = sum_of(sum), lse = top + std::log(total);
  a.lse[n] = lse;
  if (t < 0) a.loss[n] = 0;
  else a.loss[n] = (1 - a.smoothing) * (lse - at) + a.smoothing * (lse - sum_of(all) / static_cast<float>(a.x.cols)) + a.z * lse * lse;
  if (!dx) return;
  const V gain = set(t < 0 ? 0 : (1 + 2 * a.z * lse) / total), spread = set(t < 0 ? 0 : -a.smoothing / static_cast<float>(a.x.cols));
  strips(a.x.cols, [&](auto s) { s.store(hn::MulAdd(gain, s.load(dx), spread), dx); });
  if (t >= 0) dx[t] -= 1 - a.smoothing;
}
void LossRowBackward(const CrossEntropyBackwardArgs& a, int64_t n) {
  const float *x = a.x[n], d = a.targets[static_cast<size_t>(n)] < 0 ? 0 : a.dloss[n], lse = a.lse[n];
  float* dx = a.dx[n];
  if (d == 0) return strips(a.x.cols, [&](auto s) { s.store(set(0), dx); });
  const V gain = set(d * (1 + 2 * a.z * lse)), spread = set(-d * a.smoothing / static_cast<float>(a.x.cols)), low = set(lse);
  strips(a.x.cols, [&](auto s) { s.store(hn::MulAdd(gain, exp_through(hn::Sub(s.load(x), low)), spread), dx); });
  dx[a.targets[static_cast<size_t>(n)]] -= d * (1 - a.smoothing);
}

void AdamPiece(const AdamArgs& a, int64_t begin, int64_t end) {
  const V scale = set(a.scale), keep1 = set(1 - a.beta1), keep2 = set(1 - a.beta2), gain1 = set(a.gain1), gain2 = set(a.gain2), eps = set(a.eps),
          rate = set(-a.rate), decay = set(a.decay);
  float *w = a.value + begin, *m = a.first + begin, *v = a.second + begin;
  const float* g = a.gradient + begin;
  strips(end - begin, [&](auto s) {
    const V d = hn::Mul(scale, s.load(g)), m0 = s.load(m), v0 = s.load(v), w0 = s.load(w);
    const V m1 = hn::MulAdd(keep1, hn::Sub(d, m0), m0), v1 = hn::MulAdd(keep2, hn::Sub(hn::Mul(d, d), v0), v0);
    s.store(m1, m), s.store(v1, v);
    const V step = hn::Div(hn::Mul(m1, gain1), hn::Add(hn::Sqrt(hn::Mul(v1, gain2)), eps));
    s.store(hn::MulAdd(rate, hn::MulAdd(decay, w0, step), w0), w);
  });
}
float SquarePiece(const float* x, int64_t n) { return dot(x, x, n); }

using DU = hn::RebindToUnsigned<D>;
using U = hn::Vec<DU>;
// x <- the high halves of x m, and returns the low ones.
HWY_INLINE U multiply_wide(U& x, U m) {
  const hn::Repartition<uint64_t, DU> dq;
  const auto even = hn::MulEven(x, m), odd = hn::MulEven(hn::BitCast(DU(), hn::ShiftRight<32>(hn::BitCast(dq, x))), m);
  x = hn::OddEven(hn::BitCast(DU(), odd), hn::BitCast(DU(), hn::ShiftRight<32>(even)));
  return hn::OddEven(hn::BitCast(DU(), hn::ShiftLeft<32>(odd)), hn::BitCast(DU(), even));
}
// A block of Philox (base/random.h) in each lane: their numbers, in order.
void RandomBlocks(const Philox& key, uint64_t first, uint32_t* to) {
  const auto all = [](uint64_t x) { return hn::Set(DU(), static_cast<uint32_t>(x)); };
  const U one = all(1), step = hn::Iota(DU(), 0);
  U c0 = hn::Add(all(first), step), c1 = all(first >> 32), c2 = all(key.stream), c3 = all(key.stream >> 32);
  c1 = hn::Add(c1, hn::IfThenElseZero(hn::Lt(c0, step), one));           // the low half has wrapped
  auto k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    U a = c0, b = c2;
    const U a_low = multiply_wide(a, all(0xD2511F53u)), b_low = multiply_wide(b, all(0xCD9E8D57u));
    c0 = hn::Xor(hn::Xor(b, c1), all(k0)), c1 = b_low;
    c2 = hn::Xor(hn::Xor(a, c3), all(k1)), c3 = a_low;
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, DU(), to);
}
// Elements begin .. end of a row whose first has number `place`.
void DropoutPiece(const DropoutArgs& a, int64_t row, int64_t begin, int64_t end, uint64_t place) {
  const Philox key{a.seed, a.stream};
  const V gain = set(static_cast<float>(1 / (1 - double{a.rate})));
  const U limit = hn::Set(DU(), static_cast<uint32_t>(std::ceil(double{a.rate} * 0x1p32 - 0.5)));   // (n + 1/2) / 2^32 < rate
  alignas(64) uint32_t numbers[4 * hn::MaxLanes(DU())];
  for (int64_t i = begin; i < end;) {
    const uint64_t at = place + static_cast<uint64_t>(i), skip = at % 4;
    RandomBlocks(key, at / 4, numbers);
    const int64_t n = std::min(end - i, 4 * lanes() - static_cast<int64_t>(skip));
    const float *x = a.x[row] + i, *bits = reinterpret_cast<const float*>(numbers) + skip;
    float* y = a.y[row] + i;
    strips(n, [&](auto s) {
      const auto drop = hn::RebindMask(D(), hn::Lt(hn::BitCast(DU(), s.load(bits)), limit));
      s.store(hn::IfThenZeroElse(drop, hn::Mul(gain, s.load(x))), y);
    });
    i += n;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(LossRow);
HWY_EXPORT(LossRowBackward);
HWY_EXPORT(AdamPiece);
HWY_EXPORT(SquarePiece);
HWY_EXPORT(DropoutPiece);

namespace {
int64_t grain(int64_t cols, int64_t least) { return std::max<int64_t>(1, least / std::max<int64_t>(cols, 1)); }
}  // namespace

void cross_entropy(const CrossEntropyArgs& a) {
  parallel(a.x.rows, grain(a.x.cols, 4096), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) HWY_DYNAMIC_DISPATCH(LossRow)(a, n);
  });
}
void cross_entropy_backward(const CrossEntropyBackwardArgs& a) {
  parallel(a.x.rows, grain(a.x.cols, 4096), [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) HWY_DYNAMIC_DISPATCH(LossRowBackward)(a, n);
  });
}
void adam_step(const AdamArgs& a) {
  constexpr int64_t unit = 4096;
  parallel((a.count + unit - 1) / unit, 2, [&](int64_t b, int64_t e, int) {
    HWY_DYNAMIC_DISPATCH(AdamPiece)(a, b * unit, std::min(a.count, e * unit));
  });
}
// Pieces do not depend on the threads, and their sums are added in order.
void square_sum(Rows x, double* sum) {
  constexpr int64_t unit = 4096;
  const int64_t pieces = (x.cols + unit - 1) / unit;
  std::vector<float> parts(static_cast<size_t>(x.rows * pieces));
  parallel(x.rows * pieces, grain(std::min(x.cols, unit), 16384), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t at = p % pieces * unit;
      parts[static_cast<size_t>(p)] = HWY_DYNAMIC_DISPATCH(SquarePiece)(x[p / pieces] + at, std::min(unit, x.cols - at));
    }
  });
  *sum = 0;
  for (float p : parts) *sum += p;
}
void dropout(const DropoutArgs& a) {
  constexpr int64_t unit = 4096;
  const int64_t pieces = (a.x.cols + unit - 1) / unit;
  parallel(a.x.rows * pieces, grain(std::min(a.x.cols, unit), 4096), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t row = p / pieces, at = p % pieces * unit;
      HWY_DYNAMIC_DISPATCH(DropoutPiece)(a, row, at, std::min(at + unit, a.x.cols), static_cast<uint64_t>(row * a.x.cols));
    }
  });
}

}  // namespace headrace::cpu
#endif
