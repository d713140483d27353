// The CPU's kernels by file, for table.cc.
#pragma once
#include "ops/kernels.h"

namespace headrace::cpu {

void linear(Rows x, std::span<const LinearPart> parts);                                   // linear.cc
void embedding(const Tensor& table, std::span<const int32_t> ids, Rows y);

Peak peak();                                                                              // peak.cc
const char* instructions();

}  // namespace headrace::cpu
