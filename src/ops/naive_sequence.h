// The definitions of the sequence primitives (naive_attention.cc and its kin), for naive.cc's table.
#pragma once
#include "ops/kernels.h"

namespace headrace::naive {

void append_keys(const float* k, int64_t k_stride, const float* v, int64_t v_stride, int kv_heads, int key, int value,
                 const Sequences& sequences, const KeyPages* keys);
void attention(const AttentionArgs& args);
void linear_scan(const LinearScanArgs& args);
void diag_scan(const DiagScanArgs& args);
void short_conv(const ShortConvArgs& args);

}  // namespace headrace::naive
