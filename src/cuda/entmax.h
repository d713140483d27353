// A row of alpha-entmax (ops/kernels/entmax.h has the formulas), found by all threads of a block. For .cu files only.
#pragma once
#include <cmath>

#include "cuda/launch.h"

namespace headrace::cuda {

struct Entmax {
  double beta, t;                        // alpha - 1
  __device__ double value(double x) const {
    const double u = beta * (x - t);
    return beta > 0 ? u > -1 ? exp(log1p(u) / beta) : 0 : exp(x - t);
  }
};

// Of the numbers x(j), j in [0, n), of which `count` are more than -inf. Halving, as the definition does.
template <class X>
__device__ Entmax entmax_of(double alpha, int64_t n, int64_t count, X x) {
  Entmax p{alpha - 1, 0};
  double low = -INFINITY;
  for (int64_t j = threadIdx.x; j < n; j += blockDim.x) low = fmax(low, x(j));
  low = block_max(low);
  const double most = log(static_cast<double>(count));
  double high = low + (p.beta > 0 ? -expm1(-p.beta * most) / p.beta : most);
  for (int i = 0; i < 100; ++i) {
    p.t = (low + high) / 2;
    double sum = 0;
    for (int64_t j = threadIdx.x; j < n; j += blockDim.x) sum += p.value(x(j));
    (block_sum(sum) >= 1 ? low : high) = p.t;
  }
  return p;
}

}  // namespace headrace::cuda
