// The one CUDA device and its one stream: memory, copies and kernels are ordered by that stream, so nothing waits but copies
// to the host. One host thread drives it at a time.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>
#include <span>

#include "tensor/tensor.h"

namespace headrace::cuda {

void check(cudaError_t status, const char* what);        // throws Error with the driver's words
void open();                                             // the first device; registers memory and copies. Throws Error when there is none
cudaStream_t stream();
void synchronize();
const char* instructions();                              // the card and what it is able to: "NVIDIA H100 80GB HBM3, sm_90"

// Memory of the pool that is given back in stream order: a kernel launched before may still read it.
struct Release { void operator()(void* p) const; };
template <class T> using Scratch = std::unique_ptr<T, Release>;
void* take(size_t bytes);
template <class T> Scratch<T> scratch(int64_t count) { return Scratch<T>(static_cast<T*>(take(static_cast<size_t>(count) * sizeof(T)))); }

// What a kernel needs from host memory: copied when this returns, valid for the kernels launched while it lives.
void to_device(void* to, const void* from, size_t bytes);
template <class T>
Scratch<T> upload(std::span<const T> values) {
  auto p = scratch<T>(static_cast<int64_t>(values.size()));
  to_device(p.get(), values.data(), values.size_bytes());
  return p;
}

}  // namespace headrace::cuda
