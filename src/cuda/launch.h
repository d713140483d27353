// How kernels are started, and sums over a block. For .cu files only.
#pragma once
#include "base/error.h"
#include "cuda/device.h"

namespace headrace::cuda {

template <class... P, class... A>
void start(const char* name, void (*kernel)(P...), int64_t blocks, int threads, size_t shared_bytes, A... args) {
  if (blocks == 0) return;
  expect(blocks <= INT32_MAX, "cuda: ", name, ": ", blocks, " blocks are too many for one launch");
  if (shared_bytes > size_t{48} << 10) {
    expect(shared_bytes <= size_t{227} << 10, "cuda: ", name, " needs ", shared_bytes, " bytes of shared memory");
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)), name);
  }
  kernel<<<static_cast<unsigned>(blocks), threads, shared_bytes, stream()>>>(args...);
  check(cudaGetLastError(), name);
}

template <class F>
__global__ void each_kernel(int64_t n, F f) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) f(i);
}
// f(i) for i in [0, n), one thread each.
template <class F>
void for_each(const char* name, int64_t n, F f) { start(name, each_kernel<F>, (n + 255) / 256, 256, 0, n, f); }

constexpr int block_threads = 256;
template <class F>
__global__ void each_block_kernel(F f) { f(int64_t{blockIdx.x}); }
// f(i) for i in [0, n), in every thread of a block each.
template <class F>
void for_blocks(const char* name, int64_t n, F f) { start(name, each_block_kernel<F>, n, block_threads, 0, f); }

// The result of all threads of a block (whole warps), in every thread.
template <class T, class Join>
__device__ T block_join(T v, Join join) {
  __shared__ T parts[32];
  for (int d = 16; d > 0; d /= 2) v = join(v, __shfl_xor_sync(~0u, v, d));
  __syncthreads();                                 // the parts of the call before have been read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  v = parts[0];
  for (unsigned w = 1; w < blockDim.x / 32; ++w) v = join(v, parts[w]);
  return v;
}
template <class T>
__device__ T block_sum(T v) { return block_join(v, [](T a, T b) { return a + b; }); }
template <class T>
__device__ T block_max(T v) { return block_join(v, [](T a, T b) { return a < b ? b : a; }); }

// The sequence that holds row `row` of a ragged batch.
__device__ inline int sequence_of(const int64_t* offsets, int count, int64_t row) {
  int low = 0, high = count;                       // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

}  // namespace headrace::cuda
