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
void normalise(Rows x, Rows floor, float eps, int heads, Rows y);
void rope(const RopeArgs& args);

void rms_norm(Rows x, const float* w, float offset, float eps, int groups, Rows y);       // norms.cu
void layer_norm(Rows x, const float* w, const float* b, float eps, int groups, Rows y);
void l2_norm(Rows x, float eps, bool clamp, int groups, Rows y);
void head_dot(Rows a, Rows b, const float* w, int heads, Rows y);

void softmax(Rows x, Rows y);                                                             // softmax.cu
void entmax(Rows x, std::span<const float> alpha, Rows y);
void top_k(Rows x, Rows values, int64_t* columns);
void sum(Rows x, bool over_rows, float* y);

void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y);                // weights.cu
void linear(std::span<const LinearPart> parts);
void product(const MatrixProduct& args);
void block_linear(Rows x, const float* w, const float* b, int blocks, Rows y);

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys);                       // attention.cu
void append_gates(Rows log_gates, int64_t at, const Sequences& sequences, const KeyPages* keys);
void attention(const AttentionArgs& args);
void attention_with_options(const AttentionArgs& args);                                   // attention_options.cu

void linear_scan(const LinearScanArgs& args);                                             // scans.cu
void diag_scan(const DiagScanArgs& args);
void short_conv(const ShortConvArgs& args);
void running_max(Rows decay, Rows x, const Sequences& sequences, float* const* states, Rows y, Rows fell);
void cell_scan(const CellScanArgs& args);                                                 // cell_scan.cu
void long_conv(const LongConvArgs& args);                                                 // long_conv.cu
void modal_scan(const ModalScanArgs& args);                                               // modal_scan.cu

void complex_unary(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y);             // filters.cu
void modal_filter(const ModalFilterArgs& args);
void cauchy(const CauchyArgs& args);
void inverse_fourier(ComplexRows spectrum, bool transposed, Rows x);

void product(Rows x, const float* w, const float* bias, Rows y);                          // product.cc: y = x w^T + bias, w [y.cols, x.cols]

}  // namespace headrace::cuda
