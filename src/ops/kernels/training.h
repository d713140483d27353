// Arguments of the kernels that training adds: the loss and its gradient, one step of Adam, dropout.
#pragma once
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace headrace {

// loss_n = lse_n - (1-s) x_n[t_n] - s mean(x_n) + z lse_n^2,  lse_n = log sum_v exp x_n[v]; 0 where the target is negative.
struct CrossEntropyArgs {
  Rows x;                                          // [N,V]
  std::span<const int32_t> targets;                // [N], host memory
  float smoothing, z;
  float *loss, *lse;                               // [N]
  Rows dx = {};                                    // where wanted, the gradient for dloss = 1; may be x itself
};
// dx_n = dloss_n ((1 + 2 z lse_n) softmax(x_n) - (1-s) [v = t_n] - s/V); 0 where the target is negative.
struct CrossEntropyBackwardArgs {
  Rows x;
  std::span<const int32_t> targets;
  float smoothing, z;
  const float *lse, *dloss;                        // [N]
  Rows dx;
};

// g = scale gradient;  m += (1-beta1)(g - m),  v += (1-beta2)(g^2 - v);  w -= rate (m gain1 / (sqrt(v gain2) + eps) + decay w).
struct AdamArgs {
  float *value, *first, *second;                   // w, m, v
  const float* gradient;
  int64_t count;
  float rate, beta1, beta2, eps, decay, scale;
  float gain1, gain2;                              // 1 / (1 - beta^step)
};

// y_i = x_i / (1 - rate) where the i-th number of (seed, stream) is at least `rate`, else 0. i counts rows one after the other.
struct DropoutArgs {
  Rows x;
  float rate;
  uint64_t seed, stream;
  Rows y;
};

}  // namespace headrace
