// The device opened once, with a memory pool that keeps what is freed, and the functions by which tensors allocate and copy.
#include "cuda/device.h"

#include <string>

#include "base/error.h"

namespace headrace::cuda {
namespace {

cudaStream_t the_stream = nullptr;

void copy(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, the_stream), "copy");
  if (to_device == Device::cpu || from_device == Device::cpu) synchronize();   // the host may change or read its side at once
}

}  // namespace

void check(cudaError_t status, const char* what) {
  expect(status == cudaSuccess, "cuda: ", what, ": ", cudaGetErrorString(status));
}

void open() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  const char* why = status == cudaErrorInsufficientDriver ? "no NVIDIA driver, or one that is too old"
                    : status != cudaSuccess               ? cudaGetErrorString(status)
                                                          : "the driver lists none";
  expect(status == cudaSuccess && count > 0, "cuda: no CUDA device can be used here (", why, "); run with --device cpu");
  check(cudaSetDevice(0), "device 0");
  check(cudaStreamCreateWithFlags(&the_stream, cudaStreamNonBlocking), "stream");
  // Freed memory stays in the pool: a decode step takes the same temporaries again without asking the driver.
  cudaMemPool_t pool;
  check(cudaDeviceGetDefaultMemPool(&pool, 0), "memory pool");
  uint64_t keep = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "memory pool");
  set_allocator(Device::cuda, take, [](void* p) { Release()(p); });
  set_copier(copy);
}

cudaStream_t stream() { return the_stream; }
void synchronize() { check(cudaStreamSynchronize(the_stream), "a kernel failed"); }

const char* instructions() {
  static const std::string name = [] {
    cudaDeviceProp p;
    check(cudaGetDeviceProperties(&p, 0), "properties");
    return text(static_cast<const char*>(p.name), ", sm_", p.major, p.minor);
  }();
  return name.c_str();
}

void* take(size_t bytes) {
  void* p = nullptr;
  const cudaError_t status = cudaMallocAsync(&p, bytes ? bytes : 1, the_stream);
  expect(status == cudaSuccess, "cuda: ", bytes, " bytes of device memory: ", cudaGetErrorString(status));
  return p;
}
void Release::operator()(void* p) const { cudaFreeAsync(p, the_stream); }   // at exit the driver may be gone; nothing is lost then
void to_device(void* to, const void* from, size_t bytes) {
  if (bytes) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, the_stream), "upload");
}

}  // namespace headrace::cuda
