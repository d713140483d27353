// How many threads, and which kernels, OpenBLAS reads from the environment as it is opened; both are set for that moment alone.
#include "base/blas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

#ifdef HEADRACE_STATIC
extern "C" {
void gotoblas_dynamic_quit();
void gotoblas_dynamic_init();
void dsyevd_(), dgeev_(), dposv_();
}
#endif

namespace headrace {
namespace {

class Setting {
 public:
  Setting(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value, 1);
  }
  ~Setting() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

// It knows processors by their model numbers, and has kernels of 2004 (SSE3) for one that is newer than itself: a third of the speed on Emerald
// Rapids with 0.3.21.
std::string kernels_of_this_machine() {
  if (const char* chosen = std::getenv("OPENBLAS_CORETYPE")) return chosen;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return "";
}

template <class F>
void bind([[maybe_unused]] void* handle, const char* name, F*& f) {
  f = reinterpret_cast<F*>(dlsym(handle, name));
  expect(f != nullptr, "OpenBLAS has no function ", name);
}

Blas opened() {
  const Setting one("OPENBLAS_NUM_THREADS", "1"), alone("OMP_NUM_THREADS", "1");
  std::optional<Setting> kernels;
  if (const std::string name = kernels_of_this_machine(); !name.empty()) kernels.emplace("OPENBLAS_CORETYPE", name.c_str());
  Blas b{};
#ifdef HEADRACE_STATIC
  gotoblas_dynamic_quit(), gotoblas_dynamic_init();
  openblas_set_num_threads(1);
  b = {&cblas_sgemm, &cblas_dsyrk, &cblas_dgemv, reinterpret_cast<decltype(b.dsyevd)>(&dsyevd_), reinterpret_cast<decltype(b.dgeev)>(&dgeev_),
       reinterpret_cast<decltype(b.dposv)>(&dposv_)};
  const std::string_view build = openblas_get_config();
#else
  void* handle = dlopen(HEADRACE_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
  if (!handle) handle = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  expect(handle != nullptr, "OpenBLAS is needed for products of plain matrices: ", dlerror());
  bind(handle, "cblas_sgemm", b.sgemm), bind(handle, "cblas_dsyrk", b.dsyrk), bind(handle, "cblas_dgemv", b.dgemv);
  bind(handle, "dsyevd_", b.dsyevd), bind(handle, "dgeev_", b.dgeev), bind(handle, "dposv_", b.dposv);
  decltype(&openblas_get_config) config;
  bind(handle, "openblas_get_config", config);
  const std::string_view build = config();
#endif
  expect(build.find("SINGLE_THREADED") == build.npos, "OpenBLAS: its build without threads is not for several callers; install libopenblas0-openmp");
  return b;
}

}  // namespace

const Blas& blas() {
  static const Blas b = opened();
  return b;
}

}  // namespace headrace
