#pragma once
#include "tensor/dtype.h"
namespace headrace {
void dequantise_row(DType type, const void* from, float* to, int64_t n);
}
