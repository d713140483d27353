#include "tensor/blocks.h"

#include <cstring>

#include "base/error.h"
namespace headrace {
void dequantise_row(DType type, const void* from, float* to, int64_t n) {
  if (type == DType::f32) { std::memcpy(to, from, n * 4); return; }
  if (type == DType::bf16) {
    for (int64_t i = 0; i < n; ++i) { uint32_t b = uint32_t{static_cast<const uint16_t*>(from)[i]} << 16; std::memcpy(to + i, &b, 4); }
    return;
  }
  fail("dequantise ", type);
}
}
