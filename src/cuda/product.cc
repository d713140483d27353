// y = x w^T + bias in f32 by cuBLASLt (CUBLAS_COMPUTE_32F: no TF32). The library is opened when the device is first used, so that the
// program starts on machines that have no CUDA.
#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <tuple>

#include "base/error.h"
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace headrace::cuda {
namespace {

struct Library {
  void* handle;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetStatusString) words;
  decltype(&cublasLtMatmulDescCreate) new_matmul;
  decltype(&cublasLtMatmulDescSetAttribute) set_matmul;
  decltype(&cublasLtMatrixLayoutCreate) new_layout;
  decltype(&cublasLtMatmulPreferenceCreate) new_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) free_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithms;
  decltype(&cublasLtMatmul) matmul;
};

template <class F>
void bind(void* handle, const char* name, F*& f) {
  f = reinterpret_cast<F*>(dlsym(handle, name));
  expect(f != nullptr, "cuda: cuBLASLt has no function ", name);
}
const Library& library() {
  static const Library loaded = [] {
    const std::string name = text("libcublasLt.so.", CUBLAS_VER_MAJOR);
    Library l{};
    l.handle = dlopen(name.c_str(), RTLD_NOW);
    expect(l.handle != nullptr, "cuda: ", name, " is needed for products: ", dlerror());
    bind(l.handle, "cublasLtCreate", l.create), bind(l.handle, "cublasLtGetStatusString", l.words);
    bind(l.handle, "cublasLtMatmulDescCreate", l.new_matmul), bind(l.handle, "cublasLtMatmulDescSetAttribute", l.set_matmul);
    bind(l.handle, "cublasLtMatrixLayoutCreate", l.new_layout), bind(l.handle, "cublasLtMatmulPreferenceCreate", l.new_preference);
    bind(l.handle, "cublasLtMatmulPreferenceSetAttribute", l.set_preference), bind(l.handle, "cublasLtMatmulPreferenceDestroy", l.free_preference);
    bind(l.handle, "cublasLtMatmulAlgoGetHeuristic", l.find_algorithms), bind(l.handle, "cublasLtMatmul", l.matmul);
    return l;
  }();
  return loaded;
}
void check(cublasStatus_t status, const char* what) {
  expect(status == CUBLAS_STATUS_SUCCESS, "cuda: cuBLASLt ", what, ": ", library().words(status));
}
cublasLtHandle_t handle() {
  static const cublasLtHandle_t h = [] {
    cublasLtHandle_t made;
    check(library().create(&made), "handle");
    return made;
  }();
  return h;
}

constexpr size_t workspace_bytes = size_t{32} << 20;
void* workspace() {
  static void* const w = take(workspace_bytes);
  return w;
}

// One shape of product: (rows of x, out, in, stride of x, stride of y, with bias, alignment of x, w, y, bias in bytes).
using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, bool, uint32_t, uint32_t, uint32_t, uint32_t>;
struct Plan {
  cublasLtMatmulDesc_t matmul;
  cublasLtMatrixLayout_t w, x, y;
  cublasLtMatmulAlgo_t algorithm;
};

uint32_t alignment(const void* p) { return p ? uint32_t{1} << std::min(8, std::countr_zero(reinterpret_cast<uintptr_t>(p))) : 256; }

Plan make_plan(const Key& key) {
  const auto& [M, N, K, x_stride, y_stride, with_bias, x_align, w_align, y_align, bias_align] = key;
  const Library& l = library();
  Plan p;
  // cuBLASLt counts columns first: there w is [K,N], to be transposed, x is [K,M] and y is [N,M].
  check(l.new_matmul(&p.matmul, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
  const cublasOperation_t transpose = CUBLAS_OP_T;
  const cublasLtEpilogue_t epilogue = with_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  check(l.set_matmul(p.matmul, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose), "transpose");
  check(l.set_matmul(p.matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue), "bias");
  check(l.new_layout(&p.w, CUDA_R_32F, K, N, K), "layout of w"), check(l.new_layout(&p.x, CUDA_R_32F, K, M, x_stride), "layout of x");
  check(l.new_layout(&p.y, CUDA_R_32F, N, M, y_stride), "layout of y");
  cublasLtMatmulPreference_t wish;
  check(l.new_preference(&wish), "preference");
  const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, decltype(l.free_preference)> owner(wish, l.free_preference);
  auto set = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
    check(l.set_preference(wish, what, &value, sizeof value), "preference");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, w_align), set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, x_align);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, y_align), set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y_align);
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  check(l.find_algorithms(handle(), p.matmul, p.w, p.x, p.y, p.y, wish, 1, &found, &count), "algorithm");
  expect(count == 1, "cuda: cuBLASLt has no algorithm for a product of [", M, ",", K, "] and [", N, ",", K, "]");
  p.algorithm = found.algo;
  return p;
}

}  // namespace

void product(Rows x, const float* w, const float* bias, Rows y) {
  if (x.rows == 0 || y.cols == 0) return;
  static std::map<Key, Plan> plans;                // few: the shapes of a model, times the lengths of its batches
  const Key key{x.rows, y.cols, x.cols, std::max(x.stride, x.cols), std::max(y.stride, y.cols), bias != nullptr,
                alignment(x.data), alignment(w), alignment(y.data), alignment(bias)};
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, make_plan(key)).first;
  const Plan& p = found->second;
  if (bias) check(library().set_matmul(p.matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias), "bias");
  const float one = 1, zero = 0;
  check(library().matmul(handle(), p.matmul, &one, w, p.w, x.data, p.x, &zero, y.data, p.y, y.data, p.y, &p.algorithm, workspace(), workspace_bytes,
                         stream()), "product");
}

}  // namespace headrace::cuda
