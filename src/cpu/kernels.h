// The CPU's kernels by file, for table.cc.
#pragma once
#include "ops/kernels.h"

namespace headrace::cpu {

void linear(std::span<const LinearPart> parts);                                           // linear.cc
void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y);
void unary(Unary f, float parameter, Rows x, Rows y);                                     // elementwise.cc
void binary(Binary f, Rows a, Rows b, Rows y);
void unary_backward(Unary f, float parameter, Rows x, Rows dy, Rows dx);
void sum(Rows x, bool over_rows, float* y);
void lerp(Rows a, Rows b, Rows t, Rows y);
void mix(Rows a, Rows b, Rows t, float* y);
void where_starts(std::span<const int32_t> positions, float value, Rows x, Rows y);
void block_linear(Rows x, const float* w, const float* b, int blocks, Rows y);
void head_dot(Rows a, Rows b, const float* w, int heads, Rows y);
void scale_heads(Rows x, Rows s, int heads, Rows y);
void rms_norm(Rows x, const float* w, float offset, float eps, int groups, Rows y);       // norm.cc
void layer_norm(Rows x, const float* w, const float* b, float eps, int groups, Rows y);
void l2_norm(Rows x, float eps, bool clamp, int groups, Rows y);
void norm_backward(const NormBackward& args);
void rope(const RopeArgs& args);
void softmax(Rows x, Rows y);                                                             // softmax.cc
void softmax_backward(Rows y, Rows dy, Rows dx);
void entmax(Rows x, std::span<const float> alpha, Rows y);
void entmax_backward(const EntmaxBackward& args);
void top_k(Rows x, Rows values, int64_t* columns);
void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys);                       // attention.cc
void attention(const AttentionArgs& args);
void attention_with_options(const AttentionArgs& args);                                   // attention_options.cc
bool strided_alone(const AttentionArgs& args);     // what attention_strided computes                 attention_strided.cc
void attention_strided(const AttentionArgs& args);
void attention_backward(const AttentionBackwardArgs& args);                               // attention_backward.cc
void linear_scan(const LinearScanArgs& args);                                             // scan.cc
void linear_scan_backward(const LinearScanBackward& args);                                // scan_backward.cc
void log_linear(const LogLinearArgs& args);                                               // log_linear.cc
void running_max(Rows decay, Rows x, const Sequences& sequences, float* const* states, Rows y, Rows fell);   // normalise.cc
void normalise(Rows x, Rows floor, float eps, int heads, Rows y);
void normalise_backward(Rows x, Rows floor, float eps, int heads, Rows dy, Rows dx);
void diag_scan(const DiagScanArgs& args);                                                 // channel_scan.cc
void short_conv(const ShortConvArgs& args);
void short_conv_backward(const ShortConvBackward& args);                                  // short_conv_backward.cc
void memory_scan(const MemoryScanArgs& args);                                             // memory_scan.cc
void memory_scan_backward(const MemoryScanBackwardArgs& args);                            // memory_scan_backward.cc
void long_conv(const LongConvArgs& args);                                                 // long_conv.cc
void modal_scan(const ModalScanArgs& args);                                               // modal_scan.cc
void modal_scan_backward(const ModalScanBackwardArgs& args);
void complex_unary(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y);             // filters.cc
void modal_filter(const ModalFilterArgs& args);
void cauchy(const CauchyArgs& args);
void inverse_fourier(ComplexRows spectrum, bool transposed, Rows x);
void diag_scan_backward(const DiagScanBackwardArgs& args);                                // channel_scan_backward.cc
void cell_scan(const CellScanArgs& args);                                                 // cell_scan.cc
void cell_scan_backward(const CellScanBackwardArgs& args);
void product(const MatrixProduct& args);                                                  // product.cc
void embedding_backward(std::span<const int32_t> ids, Rows dy, Rows dtable);
void cross_entropy(const CrossEntropyArgs& args);                                         // training.cc
void cross_entropy_backward(const CrossEntropyBackwardArgs& args);
void dropout(const DropoutArgs& args);
void square_sum(Rows x, double* sum);
void adam_step(const AdamArgs& args);

Peak peak();                                                                              // peak.cc
const char* instructions();

}  // namespace headrace::cpu
