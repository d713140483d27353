// Products with stored weights: any dtype becomes f32 on the device, then cuBLASLt multiplies (product.cc).
// Compiled without fused multiply-adds (CMakeLists.txt), so that a block's values have the same bits as on the CPU.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "tensor/block_formats.h"

namespace headrace::cuda {
namespace {

template <class T>
struct Bits { T value; };
__device__ void read_f32(const uint8_t* p, float* y) { *y = reinterpret_cast<const Bits<float>*>(p)->value; }
__device__ void read_f16(const uint8_t* p, float* y) { *y = f16_to_f32(reinterpret_cast<const Bits<uint16_t>*>(p)->value); }
__device__ void read_bf16(const uint8_t* p, float* y) { *y = bf16_to_f32(reinterpret_cast<const Bits<uint16_t>*>(p)->value); }
__device__ void read_f64(const uint8_t* p, float* y) { *y = static_cast<float>(reinterpret_cast<const Bits<double>*>(p)->value); }

// Row ids[i] of w (row i without ids) to y[i]: a thread for each block, or for each value of a plain dtype.
template <void (*read)(const uint8_t*, float*)>
void rows(const Tensor& w, const int32_t* ids, Rows y) {
  const DTypeInfo& format = info(w.dtype());
  const int64_t size = format.block, bytes = format.block_bytes, blocks = w.dim(1) / size;
  const auto* data = w.data<uint8_t>();
  for_each("dequantise", y.rows * blocks, [=] __device__(int64_t i) {
    const int64_t row = i / blocks, b = i % blocks;
    read(data + ((ids ? ids[row] : row) * blocks + b) * bytes, y[row] + b * size);
  });
}
void dequantise(const Tensor& w, const int32_t* ids, Rows y) {
  expect(w.layout() == Layout::rows, "cuda: a weight in another device's arrangement");
  switch (w.dtype()) {
    case DType::f32: return rows<read_f32>(w, ids, y);
    case DType::f16: return rows<read_f16>(w, ids, y);
    case DType::bf16: return rows<read_bf16>(w, ids, y);
    case DType::f64: return rows<read_f64>(w, ids, y);
    case DType::q4_0: return rows<block_formats::q4_0>(w, ids, y);
    case DType::q4_1: return rows<block_formats::q4_1>(w, ids, y);
    case DType::q5_0: return rows<block_formats::q5_0>(w, ids, y);
    case DType::q5_1: return rows<block_formats::q5_1>(w, ids, y);
    case DType::q8_0: return rows<block_formats::q8_0>(w, ids, y);
    case DType::q2_k: return rows<block_formats::q2_k>(w, ids, y);
    case DType::q3_k: return rows<block_formats::q3_k>(w, ids, y);
    case DType::q4_k: return rows<block_formats::q4_k>(w, ids, y);
    case DType::q5_k: return rows<block_formats::q5_k>(w, ids, y);
    case DType::q6_k: return rows<block_formats::q6_k>(w, ids, y);
    case DType::iq4_nl: return rows<block_formats::iq4_nl>(w, ids, y);
    case DType::iq4_xs: return rows<block_formats::iq4_xs>(w, ids, y);
    default: fail("cuda: weights of dtype ", w.dtype(), " cannot be multiplied");
  }
}

}  // namespace

void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y) {
  auto up = upload(ids);
  dequantise(table, up.get(), y);
}

void linear(std::span<const LinearPart> parts) {
  for (const LinearPart& p : parts) {
    expect(!p.bf16, "cuda: has no products that round to bf16");
    const Tensor& w = *p.weight;
    if (w.dtype() == DType::f32 && w.contiguous()) {
      product(p.x, w.f32(), p.bias, p.y);
      continue;
    }
    auto values = scratch<float>(w.count());
    dequantise(w, nullptr, {values.get(), w.dim(0), w.dim(1), w.dim(1)});
    product(p.x, values.get(), p.bias, p.y);
  }
}

void product(const MatrixProduct& p) {
  expect(!p.bf16, "cuda: has no products that round to bf16");
  for_each("product", p.m * p.n, [=] __device__(int64_t at) {
    const int64_t i = at / p.n, j = at % p.n;
    double sum = p.add ? p.c[i * p.ldc + j] : 0;
    for (int64_t l = 0; l < p.k; ++l)
      sum += double{p.a_transposed ? p.a[l * p.lda + i] : p.a[i * p.lda + l]} * (p.b_transposed ? p.b[j * p.ldb + l] : p.b[l * p.ldb + j]);
    p.c[i * p.ldc + j] = static_cast<float>(sum);
  });
}

void block_linear(Rows x, const float* w, const float* b, int blocks, Rows y) {
  const int64_t in = x.cols / blocks, out = y.cols / blocks;
  for_each("block_linear", y.rows * y.cols, [=] __device__(int64_t at) {
    const int64_t i = at / y.cols, c = at % y.cols, h = c / out, o = c % out;
    float sum = b ? b[c] : 0;
    for (int64_t j = 0; j < in; ++j) sum += x[i][h * in + j] * w[(h * in + j) * out + o];
    y[i][c] = sum;
  });
}

}  // namespace headrace::cuda
