// CUDA's kernels by file, for table.cc. Plain versions: one thread, warp or block per result, in stream order.
#pragma once
#include "ops/kernels.h"

namespace headrace::cuda {

void unary(Unary f, float parameter, Rows x, Rows y);                                     // pointwise.cu
void binary(Binary f, Rows a, Rows b, Rows y);
void lerp(Rows a, Rows b, Rows t, Rows y);
void mix(Rows a, Rows b, Rows t, float* y);
void where_starts(std::span<const int32_t> positions, float value, Rows x, Rows y);
void scale_heads(Rows x, Rows s, int heads, Rows y);
void rope(const RopeArgs& args);

void rms_norm(Rows x, const float* w, float offset, float eps, int groups, Rows y);       // norms.cu
void layer_norm(Rows x, const float* w, const float* b, float eps, int groups, Rows y);
void l2_norm(Rows x, float eps, bool clamp, int groups, Rows y);
void head_dot(Rows a, Rows b, const float* w, int heads, Rows y);

void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y);                // weights.cu
void linear(Rows x, std::span<const LinearPart> parts);
void block_linear(Rows x, const float* w, const float* b, int blocks, Rows y);

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys);                       // attention.cu
void attention(const AttentionArgs& args);

void linear_scan(const LinearScanArgs& args);                                             // scans.cu
void diag_scan(const DiagScanArgs& args);
void short_conv(const ShortConvArgs& args);

void product(Rows x, const float* w, const float* bias, Rows y);                          // product.cc: y = x w^T + bias, w [y.cols, x.cols]

}  // namespace headrace::cuda
