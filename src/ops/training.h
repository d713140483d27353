// What training adds to the ops: the loss of a vocabulary, dropout, and steps of an optimizer, which record nothing.
#pragma once
#include <span>

#include "base/random.h"
#include "tensor/tensor.h"

namespace headrace {

// Cross entropy of each row, fused with its softmax: neither it nor its logarithm is stored. x [N,V], targets [N] -> [N]; a negative
// target is none: its loss and gradient are 0. smoothing: the target's probability is 1 - smoothing, the rest is spread over all
// (Szegedy et al. 2015, 1512.00567). z: times the square of the logarithm of the sum is added, which keeps logits small (PaLM,
// Chowdhery et al. 2022, 2204.02311).
struct CrossEntropy { float smoothing = 0, z = 0; };
Tensor cross_entropy(const Tensor& x, std::span<const int32_t> targets, CrossEntropy options = {});

// Srivastava et al. 2014. What is dropped depends on the key and the place alone: the same again in a recomputation, and in backward.
Tensor dropout(const Tensor& x, float rate, const Philox& key);

// scale times the sum over rows of cross_entropy(h weight^T), [1]: logits are made a few rows at a time, their gradient where they lie, so that
// neither is ever there as a whole, nor made twice. h [N,D], weight [V,D] f32 rows. Rows without a target cost nothing.
Tensor linear_cross_entropy(const Tensor& h, const Tensor& weight, std::span<const int32_t> targets, float scale, CrossEntropy options = {});

double square_sum(const Tensor& x);                // of all elements; summed in a fixed order

// One step of AdamW (Kingma and Ba 2014, 1412.6980; decoupled decay: Loshchilov and Hutter 2017, 1711.05101) in place. `step` counts from 1.
struct Adam { float rate = 1e-3f, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f, decay = 0, scale = 1; };   // scale: of the gradient
void adam_step(Tensor& value, const Tensor& gradient, Tensor& first, Tensor& second, const Adam& options, int64_t step);

}  // namespace headrace
