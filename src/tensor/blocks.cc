// From stored rows to f32: a switch to the decoder of each block format in tensor/block_formats.h, which CUDA compiles too.
#include "tensor/blocks.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "tensor/block_formats.h"
#include "tensor/tensor.h"

namespace headrace {

const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
void unpack_scales_k4(const uint8_t* packed12, uint8_t* scales8, uint8_t* mins8) { block_formats::unpack_scales_k4(packed12, scales8, mins8); }

namespace {

using namespace block_formats;

template <void (*block)(const uint8_t*, float*)>
void blocks(DType t, const void* from, float* to, int64_t n) {
  const auto* p = static_cast<const uint8_t*>(from);
  const int size = info(t).block, bytes = info(t).block_bytes;
  for (int64_t i = 0; i < n; i += size, p += bytes) block(p, to + i);
}
template <class T, class Convert>
void plain(const void* from, float* to, int64_t n, Convert convert) {
  const auto* p = static_cast<const std::byte*>(from);
  for (int64_t i = 0; i < n; ++i) {
    T v;
    std::memcpy(&v, p + i * sizeof(T), sizeof(T));
    to[i] = convert(v);
  }
}

}  // namespace

void dequantise_row(DType t, const void* from, float* to, int64_t n) {
  expect(n >= 0 && n % info(t).block == 0, "dequantise: ", n, " values of ", t, " are not whole blocks of ", info(t).block);
  switch (t) {
    case DType::f32: if (n) std::memcpy(to, from, static_cast<size_t>(n) * 4); return;
    case DType::f16: return plain<uint16_t>(from, to, n, f16_to_f32);
    case DType::bf16: return plain<uint16_t>(from, to, n, bf16_to_f32);
    case DType::f64: return plain<double>(from, to, n, [](double v) { return static_cast<float>(v); });
    case DType::q4_0: return blocks<q4_0>(t, from, to, n);
    case DType::q4_1: return blocks<q4_1>(t, from, to, n);
    case DType::q5_0: return blocks<q5_0>(t, from, to, n);
    case DType::q5_1: return blocks<q5_1>(t, from, to, n);
    case DType::q8_0: return blocks<q8_0>(t, from, to, n);
    case DType::q2_k: return blocks<q2_k>(t, from, to, n);
    case DType::q3_k: return blocks<q3_k>(t, from, to, n);
    case DType::q4_k: return blocks<q4_k>(t, from, to, n);
    case DType::q5_k: return blocks<q5_k>(t, from, to, n);
    case DType::q6_k: return blocks<q6_k>(t, from, to, n);
    case DType::iq4_nl: return blocks<iq4_nl>(t, from, to, n);
    case DType::iq4_xs: return blocks<iq4_xs>(t, from, to, n);
    default: fail("dequantise: ", t, " is not a float type");
  }
}

Tensor dequantised(const Tensor& t) {
  const Tensor from = t.contiguous_or_copy();
  Tensor y = Tensor::empty(t.shape());
  const int64_t cols = from.rank() > 0 ? from.dim(-1) : 1, rows = cols > 0 ? from.count() / cols : 0;
  parallel(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, cols)), [&](int64_t begin, int64_t end, int) {
    dequantise_row(from.dtype(), from.data<std::byte>() + bytes_of(from.dtype(), begin * cols), y.f32() + begin * cols, (end - begin) * cols);
  });
  return y;
}

}  // namespace headrace
