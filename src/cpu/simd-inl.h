// What the CPU's vector files share, once per Highway target: strips of a row with a masked tail, functions of a vector,
// and a small product of matrices that stay in the first-level cache. The files are compiled for AVX2 and AVX-512.
#include "cpu/ahead.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

// Highway's guard: visible once per target.
#if defined(HEADRACE_CPU_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_CPU_SIMD_INL
#undef HEADRACE_CPU_SIMD_INL
#else
#define HEADRACE_CPU_SIMD_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

inline int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }
inline V set(float x) { return hn::Set(D(), x); }

// A whole vector at place i of a row, or the last part of one.
struct Full {
  int64_t i;
  V load(const float* p) const { return hn::LoadU(D(), p + i); }
  void store(V v, float* p) const { hn::StoreU(v, D(), p + i); }
  V only(V v) const { return v; }                            // zero outside the row
  V only(V v, float) const { return v; }
};
struct Tail {
  int64_t i;
  hn::Mask<D> mask;
  V load(const float* p) const { return hn::MaskedLoad(mask, D(), p + i); }
  void store(V v, float* p) const { hn::BlendedStore(v, mask, D(), p + i); }
  V only(V v) const { return hn::IfThenElseZero(mask, v); }
  V only(V v, float otherwise) const { return hn::IfThenElse(mask, v, set(otherwise)); }
};
template <class F>
HWY_INLINE void strips(int64_t n, F&& f) {
  const int64_t L = lanes();
  int64_t i = 0;
  for (; i + L <= n; i += L) f(Full{i});
  if (i < n) f(Tail{i, hn::FirstN(D(), static_cast<size_t>(n - i))});
}

// Highway's is 0 where x is NaN.
HWY_INLINE V exp_through(V x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(D(), x)); }
// Arguments are bounded so that no intermediate overflows; the bound comes first so that NaN passes through min and max.
HWY_INLINE V exp_of(V x) { return exp_through(hn::Min(set(88.7f), x)); }
// 2^x within 1e-7, exact at whole numbers; at least 2^-126, at most 2^127.99. The polynomial is 2^f, |f| <= 1/2; 2^n goes to the exponent's
// bits: of `shifted`, the low ones are n.
HWY_INLINE V exp2_of(V x) {
  const hn::RebindToSigned<D> di;
  const V magic = set(12582912.f);                           // 1.5 * 2^23
  x = hn::Min(set(127.99f), hn::Max(set(-126), x));
  const V shifted = hn::Add(x, magic), f = hn::Sub(x, hn::Sub(shifted, magic));
  V p = hn::MulAdd(set(1.53458119e-4f), f, set(1.33999312e-3f));
  p = hn::MulAdd(p, f, set(9.61848896e-3f));
  p = hn::MulAdd(p, f, set(5.55032878e-2f));
  p = hn::MulAdd(p, f, set(2.40226469e-1f));
  p = hn::MulAdd(p, f, set(6.93147206e-1f));
  p = hn::MulAdd(p, f, set(1));
  return hn::BitCast(D(), hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}
HWY_INLINE V sigmoid_of(V x) { return hn::Div(set(1), hn::Add(set(1), exp_of(hn::Neg(x)))); }
HWY_INLINE V softplus_of(V x) {
  return hn::Add(hn::Max(set(0), x), hn::Log1p(D(), hn::Exp(D(), hn::Neg(hn::Abs(x)))));
}
// NaN below zero and -infinity at it, which Highway's leaves open.
HWY_INLINE V log_of(V x) {
  V y = hn::Log(D(), hn::Max(set(1.17549435e-38f), x));
  y = hn::IfThenElse(hn::Eq(x, set(0)), set(-HUGE_VALF), y);
  return hn::IfThenElse(hn::Eq(x, set(HUGE_VALF)), x, hn::IfThenElse(hn::Lt(x, set(0)), set(NAN), y));
}
HWY_INLINE V elu_plus_one_of(V x) { return hn::IfThenElse(hn::Gt(x, set(0)), hn::Add(x, set(1)), exp_of(x)); }
HWY_INLINE V tanh_of(V x) { return hn::Tanh(D(), x); }
// 0.5 x (1 + tanh u) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
HWY_INLINE V gelu_tanh_of(V x) {
  V cube = hn::Mul(hn::Mul(x, x), x);
  return hn::Mul(x, sigmoid_of(hn::Mul(set(1.5957691216f), hn::MulAdd(set(0.044715f), cube, x))));
}
// 0.5 erfc(-x / sqrt 2); erfc(z) = t p(t) exp(-z^2) for z >= 0, t = 1 / (1 + 0.3275911 z) (Abramowitz and Stegun 7.1.26)
HWY_INLINE V gaussian_of(V x) {
  V z = hn::Mul(hn::Abs(x), set(0.70710678f));
  V t = hn::Div(set(1), hn::MulAdd(set(0.3275911f), z, set(1)));
  V p = hn::MulAdd(hn::MulAdd(hn::MulAdd(hn::MulAdd(set(1.061405429f), t, set(-1.453152027f)), t, set(1.421413741f)), t, set(-0.284496736f)), t,
                   set(0.254829592f));
  V tail = hn::Mul(hn::Mul(p, t), exp_of(hn::Neg(hn::Mul(z, z))));
  return hn::Mul(set(0.5f), hn::IfThenElse(hn::Gt(x, set(0)), hn::Sub(set(2), tail), tail));
}
HWY_INLINE V gelu_erf_of(V x) { return hn::Mul(x, gaussian_of(x)); }

inline float sum_of(V v) { return hn::GetLane(hn::SumOfLanes(D(), v)); }
inline float max_of(V v) { return hn::GetLane(hn::MaxOfLanes(D(), v)); }
inline float dot(const float* a, const float* b, int64_t n) {
  V sum = set(0), more = set(0);
  const int64_t L = lanes();
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L) {
    sum = hn::MulAdd(hn::LoadU(D(), a + i), hn::LoadU(D(), b + i), sum);
    more = hn::MulAdd(hn::LoadU(D(), a + i + L), hn::LoadU(D(), b + i + L), more);
  }
  strips(n - i, [&](auto s) { sum = hn::MulAdd(s.load(a + i), s.load(b + i), sum); });
  return sum_of(hn::Add(sum, more));
}

// C[m,n] (+)= sum_k A[m,k] B[k,n]. A has any strides, rows of B and C are adjacent. Sums run over k in order.
struct Product {
  const float* A; int64_t A_row, A_col;
  const float* B; int64_t B_row;
  float* C; int64_t C_row;
  int64_t K;
  const float* next = nullptr;           // the B of the following product: fetched meanwhile
  Ahead* ahead = nullptr;                // some() of it every 16 k of a tile

  // About how often, of M rows and N columns.
  static int64_t calls(int64_t M, int64_t N, int64_t K) { return (M + 11) / 12 * std::max<int64_t>(1, N / (2 * lanes())) * ((K + 15) / 16); }
};
template <int M, int W, bool add>
HWY_INLINE void product_tile(const Product& p, int64_t m, int64_t n) {
  const D d;
  const int64_t L = lanes();
  V sum[M][W];
  for (int i = 0; i < M; ++i)
    for (int w = 0; w < W; ++w) sum[i][w] = add ? hn::LoadU(d, p.C + (m + i) * p.C_row + n + w * L) : hn::Zero(d);
  const float* a = p.A + m * p.A_row;
  const float* b = p.B + n;
  if (p.ahead)
    for (int64_t k = 0; k < p.K; k += 16) p.ahead->some();
  for (int64_t k = 0; k < p.K; ++k, a += p.A_col, b += p.B_row) {
    if (p.next && m == 0)
      for (int w = 0; w < W; ++w) __builtin_prefetch(p.next + k * p.B_row + n + w * L);
    V row[W];
    for (int w = 0; w < W; ++w) row[w] = hn::LoadU(d, b + w * L);
    for (int i = 0; i < M; ++i) {
      V x = hn::Set(d, a[i * p.A_row]);
      for (int w = 0; w < W; ++w) sum[i][w] = hn::MulAdd(x, row[w], sum[i][w]);
    }
  }
  for (int i = 0; i < M; ++i)
    for (int w = 0; w < W; ++w) hn::StoreU(sum[i][w], d, p.C + (m + i) * p.C_row + n + w * L);
}
template <int M, bool add>
HWY_INLINE void product_last(const Product& p, int64_t m, int64_t n, int64_t count) {
  const D d;
  auto mask = hn::FirstN(d, static_cast<size_t>(count));
  V sum[M];
  for (int i = 0; i < M; ++i) sum[i] = add ? hn::MaskedLoad(mask, d, p.C + (m + i) * p.C_row + n) : hn::Zero(d);
  for (int64_t k = 0; k < p.K; ++k) {
    V row = hn::MaskedLoad(mask, d, p.B + k * p.B_row + n);
    for (int i = 0; i < M; ++i) sum[i] = hn::MulAdd(hn::Set(d, p.A[(m + i) * p.A_row + k * p.A_col]), row, sum[i]);
  }
  for (int i = 0; i < M; ++i) hn::BlendedStore(sum[i], mask, d, p.C + (m + i) * p.C_row + n);
}
template <int M, bool add>
HWY_INLINE void product_rows(const Product& p, int64_t m, int64_t N) {
  const int64_t L = lanes();
  constexpr int W = M <= 2 ? 4 : 2;
  int64_t n = 0;
  for (; n + W * L <= N; n += W * L) product_tile<M, W, add>(p, m, n);
  for (; n + L <= N; n += L) product_tile<M, 1, add>(p, m, n);
  if (n < N) product_last<M, add>(p, m, n, N - n);
}
template <bool add>
HWY_INLINE void product(int64_t M, int64_t N, const Product& p) {
  constexpr int tile = HWY_TARGET == HWY_AVX2 ? 6 : 12;      // rows whose sums fit in the registers
  int64_t m = 0;
  for (; m + tile <= M && (tile < 8 || M - m != 16); m += tile) product_rows<tile, add>(p, m, N);
  if constexpr (tile > 8)
    for (; m + 8 <= M; m += 8) product_rows<8, add>(p, m, N);   // and twice rather than 12 and 4
  if (m + 4 <= M) product_rows<4, add>(p, m, N), m += 4;
  if (m + 2 <= M) product_rows<2, add>(p, m, N), m += 2;
  if (m < M) product_rows<1, add>(p, m, N);
}

// b[j][i] = a[i][j]; columns of b from `rows` to `padded` are zero.
HWY_INLINE void transpose(const float* a, int64_t a_row, int64_t rows, int64_t cols, float* b, int64_t b_row, int64_t padded) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR                                 // which has no vectors of four
  const hn::Full128<float> d;
  for (; i + 4 <= rows; i += 4) {
    int64_t j = 0;
    for (; j + 4 <= cols; j += 4) {
      const float* p = a + i * a_row + j;
      float* to = b + j * b_row + i;
      const auto r0 = hn::LoadU(d, p), r1 = hn::LoadU(d, p + a_row), r2 = hn::LoadU(d, p + 2 * a_row), r3 = hn::LoadU(d, p + 3 * a_row);
      const auto t0 = hn::InterleaveLower(d, r0, r1), t1 = hn::InterleaveLower(d, r2, r3), t2 = hn::InterleaveUpper(d, r0, r1),
                 t3 = hn::InterleaveUpper(d, r2, r3);
      hn::StoreU(hn::ConcatLowerLower(d, t1, t0), d, to), hn::StoreU(hn::ConcatUpperUpper(d, t1, t0), d, to + b_row);
      hn::StoreU(hn::ConcatLowerLower(d, t3, t2), d, to + 2 * b_row), hn::StoreU(hn::ConcatUpperUpper(d, t3, t2), d, to + 3 * b_row);
    }
    for (; j < cols; ++j)
      for (int64_t e = i; e < i + 4; ++e) b[j * b_row + e] = a[e * a_row + j];
  }
#endif
  for (; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) b[j * b_row + i] = a[i * a_row + j];
  for (; i < padded; ++i)
    for (int64_t j = 0; j < cols; ++j) b[j * b_row + i] = 0;
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();
#endif
