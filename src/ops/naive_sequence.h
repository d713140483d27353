// The definitions that have files of their own: the sequence primitives (naive_attention.cc and its kin), and softmax and
// its kin (naive_softmax.cc), and what training adds (naive_training.cc), for naive.cc's table.
#pragma once
#include "ops/kernels.h"

namespace headrace::naive {

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys);
void attention(const AttentionArgs& args);
void attention_backward(const AttentionBackwardArgs& args);
void linear_scan(const LinearScanArgs& args);
void linear_scan_backward(const LinearScanBackward& args);
void log_linear(const LogLinearArgs& args);
void running_max(Rows decay, Rows x, const Sequences& sequences, float* const* states, Rows y, Rows fell);
void normalise(Rows x, Rows floor, float eps, int heads, Rows y);
void normalise_backward(Rows x, Rows floor, float eps, int heads, Rows dy, Rows dx);
void diag_scan(const DiagScanArgs& args);
void diag_scan_backward(const DiagScanBackwardArgs& args);
void cell_scan(const CellScanArgs& args);
void cell_scan_backward(const CellScanBackwardArgs& args);
void memory_scan(const MemoryScanArgs& args);
void memory_scan_backward(const MemoryScanBackwardArgs& args);
void short_conv(const ShortConvArgs& args);
void short_conv_backward(const ShortConvBackward& args);
void long_conv(const LongConvArgs& args);
void modal_scan(const ModalScanArgs& args);
void modal_scan_backward(const ModalScanBackwardArgs& args);
void complex_unary(ComplexUnary f, bool slope, ComplexRows z, ComplexRows y);
void modal_filter(const ModalFilterArgs& args);
void cauchy(const CauchyArgs& args);
void inverse_fourier(ComplexRows spectrum, bool transposed, Rows x);
void softmax(Rows x, Rows y);
void softmax_backward(Rows y, Rows dy, Rows dx);
void entmax(Rows x, std::span<const float> alpha, Rows y);
void entmax_backward(const EntmaxBackward& args);
void top_k(Rows x, Rows values, int64_t* columns);
void cross_entropy(const CrossEntropyArgs& args);
void cross_entropy_backward(const CrossEntropyBackwardArgs& args);
void dropout(const DropoutArgs& args);
void square_sum(Rows x, double* sum);
void adam_step(const AdamArgs& args);

}  // namespace headrace::naive
