// What cuts a product into blocks and gives them to threads, and the product of rounded copies for processors that multiply no bf16.
// A sum runs over k in one order whatever the blocks and threads are.
#include "cpu/product_bf16.h"

#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/product_bf16.cc"
#include "hwy/foreach_target.h"
#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace headrace::cpu {
namespace HWY_NAMESPACE {

// As f32_to_bf16 (tensor/half.h), kept as f32.
void RoundRow(const float* from, float* to, int64_t n) {
  const hn::RebindToUnsigned<D> du;
  strips(n, [&](auto s) {
    const V x = s.load(from);
    const auto u = hn::BitCast(du, x);
    const auto up = hn::Add(u, hn::Add(hn::Set(du, 0x7fff), hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1))));
    const V rounded = hn::BitCast(D(), hn::And(up, hn::Set(du, 0xffff0000u)));
    s.store(hn::IfThenElse(hn::IsNaN(x), set(NAN), rounded), to);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace headrace::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::cpu {

HWY_EXPORT(RoundRow);

namespace {

// The memory of both operands; the calling thread keeps it between calls.
template <class T>
T* room(size_t which, int64_t n) {
  static thread_local std::vector<T> kept[2];
  if (std::ssize(kept[which]) < n) kept[which].resize(static_cast<size_t>(n));
  return kept[which].data();
}

void round_rows(const float* from, int64_t stride, int64_t rows, int64_t cols, float* to) {
  parallel(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, cols)), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) HWY_DYNAMIC_DISPATCH(RoundRow)(from + r * stride, to + r * cols, cols);
  });
}
void product_of_copies(MatrixProduct p) {
  const auto rounded = [&](size_t which, const float*& from, int64_t& stride, int64_t rows, int64_t cols) {
    float* to = room<float>(which, rows * cols);
    round_rows(from, stride, rows, cols, to);
    from = to, stride = cols;
  };
  rounded(0, p.a, p.lda, p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k);
  rounded(1, p.b, p.ldb, p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n);
  p.bf16 = false;
  product(p);
}

int64_t over(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

void product_of_pairs(const MatrixProduct& p, MultiplyPairs& multiply) {
  PairTiles a{over(p.m, 16), over(p.k, 32)}, b{over(p.n, 16), a.k};
  a.data = room<uint32_t>(0, a.x * a.k * 256), b.data = room<uint32_t>(1, b.x * b.k * 256);
  parallel(a.x + b.x, std::max<int64_t>(1, 32 / std::max<int64_t>(1, a.k)), [&](int64_t begin, int64_t end, int) {
    if (begin < a.x) pack_pairs(p.a, p.lda, p.a_transposed, p.m, p.k, false, begin, std::min(end, a.x), a);
    if (end > a.x) pack_pairs(p.b, p.ldb, !p.b_transposed, p.n, p.k, true, std::max<int64_t>(0, begin - a.x), end - a.x, b);
  });
  constexpr int64_t depth = 64;                    // tiles of k that stay near while 8 tiles of each operand meet: 512 KiB of each
  int64_t side = 8;
  while (side > 2 && over(a.x, side) * over(b.x, side) < 2 * thread_count()) side /= 2;
  const int64_t across = over(b.x, side), blocks = over(a.x, side) * across;
  parallel(blocks, std::max<int64_t>(1, 256 / std::max<int64_t>(1, side * side * a.k)), [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t i = block / across * side, j = block % across * side;
      for (int64_t l = 0; l < a.k; l += depth)
        multiply(a, b, i, std::min(a.x, i + side), j, std::min(b.x, j + side), l, std::min(a.k, l + depth), p.c, p.ldc, p.m, p.n,
                 p.add || l > 0);
    }
  });
}

}  // namespace

void product_bf16(const MatrixProduct& p) {
  MultiplyPairs* const multiply = p.k > 0 ? multiply_pairs() : nullptr;
  if (multiply) product_of_pairs(p, *multiply);
  else product_of_copies(p);
}

}  // namespace headrace::cpu
#endif
