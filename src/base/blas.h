// OpenBLAS, opened when it is first needed, so that a program that only runs models does not pay for it: its builds with threads reserve
// 128 MiB of addresses a core, or start their threads, before main. Opened to be used from our threads, each by itself: none of its own,
// and the kernels that this machine's instructions allow.
#pragma once
#include <cblas.h>

namespace headrace {

struct Blas {
  decltype(&cblas_sgemm) sgemm;
  decltype(&cblas_dsyrk) dsyrk;
  decltype(&cblas_dgemv) dgemv;
  // LAPACK, columns first.
  void (*dsyevd)(const char* vectors, const char* triangle, const int* n, double* a, const int* lda, double* w, double* work, const int* lwork,
                 int* iwork, const int* liwork, int* info);
  void (*dgeev)(const char* left, const char* right, const int* n, double* a, const int* lda, double* re, double* im, double* vl, const int* ldvl,
                double* vr, const int* ldvr, double* work, const int* lwork, int* info);
  void (*dposv)(const char* triangle, const int* n, const int* columns, double* a, const int* lda, double* b, const int* ldb, int* info);
};
// Throws Error where the library is not there, or is its build without threads: that one gives a buffer to two callers.
const Blas& blas();

}  // namespace headrace
