// Products of plain matrices, for training and for the definitions' inputs: by OpenBLAS on each of our threads, cut along the longer side
// of the result; and the gradient of an embedding. How a row is summed goes with how many there are, so a model that runs packs its
// matrices (linear.cc), where it does not.
#include <cblas.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "base/parallel.h"
#include "cpu/kernels.h"

extern "C" {                                                       // weak: a build for one processor has nothing to choose
__attribute__((weak)) void gotoblas_dynamic_quit();
__attribute__((weak)) void gotoblas_dynamic_init();
}

namespace headrace::cpu {
namespace {

// OpenBLAS knows processors by their model numbers, and has kernels of 2004 (SSE3) for one that is newer than itself: a third of the speed
// on Emerald Rapids with 0.3.21. So it is told to choose by the instructions that there are, unless the user has.
void choose_kernels() {
  const std::string_view have = instructions(), chosen = openblas_get_corename();
  const bool avx512 = have.starts_with("avx512") || have.starts_with("amx");
  const char* name = "OPENBLAS_CORETYPE";
  if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || std::getenv(name) || !(avx512 || have.starts_with("avx2"))) return;
  if (avx512 && (chosen == "SkylakeX" || chosen == "Cooperlake" || chosen == "SapphireRapids")) return;
  setenv(name, avx512 ? "SkylakeX" : "Haswell", 1);
  gotoblas_dynamic_quit(), gotoblas_dynamic_init();
  unsetenv(name);
}

// The threads are ours. Its build with OpenMP remembers that for the calling thread alone.
void leave_threads_to_us() {
  thread_local const bool told = (openblas_set_num_threads(1), true);
  (void)told;
}

// Its build without threads gives one buffer to two callers: then one call at a time.
bool bears_many_callers() { return std::string_view(openblas_get_config()).find("SINGLE_THREADED") == std::string_view::npos; }

}  // namespace

void product(const MatrixProduct& p) {
  static const bool together = (choose_kernels(), bears_many_callers());
  static std::mutex alone;
  const std::unique_lock lock = together ? std::unique_lock<std::mutex>() : std::unique_lock(alone);
  if (p.m == 0 || p.n == 0) return;
  const bool by_rows = p.m >= p.n;
  const int64_t side = by_rows ? p.m : p.n, other = by_rows ? p.n : p.m, unit = 16, units = (side + unit - 1) / unit;
  parallel(units, together ? std::max<int64_t>(1, 65536 / std::max<int64_t>(1, unit * other * p.k)) : units, [&](int64_t b, int64_t e, int) {
    leave_threads_to_us();
    const int64_t from = b * unit, n = std::min(side, e * unit) - from;
    const float* A = by_rows ? p.a + (p.a_transposed ? from : from * p.lda) : p.a;
    const float* B = by_rows ? p.b : p.b + (p.b_transposed ? from * p.ldb : from);
    float* C = p.c + (by_rows ? from * p.ldc : from);
    cblas_sgemm(CblasRowMajor, p.a_transposed ? CblasTrans : CblasNoTrans, p.b_transposed ? CblasTrans : CblasNoTrans,
                static_cast<int>(by_rows ? n : p.m), static_cast<int>(by_rows ? p.n : n), static_cast<int>(p.k), 1.f, A, static_cast<int>(p.lda),
                B, static_cast<int>(p.ldb), p.add ? 1.f : 0.f, C, static_cast<int>(p.ldc));
  });
}

// Each thread adds its own columns, so that no two write to one number and sums repeat.
void embedding_backward(std::span<const int32_t> ids, Rows dy, Rows dtable) {
  parallel((dy.cols + 15) / 16, 4, [&](int64_t b, int64_t e, int) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const float* from = dy[static_cast<int64_t>(i)];
      float* to = dtable[ids[i]];
      for (int64_t j = b * 16; j < std::min(dy.cols, e * 16); ++j) to[j] += from[j];
    }
  });
}

}  // namespace headrace::cpu
