// Rows of stored values: the block formats of GGUF, and the plain float types, to and from f32.
//
// A block of 32 (q*_0, q*_1, iq4_nl) or 256 (*_k, iq4_xs) neighbours shares a scale d, in some formats a minimum m:
//   x = d q          q4_0 q5_0 q8_0 (signed q), iq4_nl (q from a table of 16)
//   x = d q + m      q4_1 q5_1
//   x = d s_j q      q3_k q6_k, iq4_xs: sub-block j has a small integer scale s_j
//   x = d s_j q - dmin m_j     q2_k q4_k q5_k
#pragma once
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace headrace {

class Tensor;

// True where dequantise_row reads it (f32 f16 bf16 f64 and every block format) and quantise_row writes it.
inline bool has_values(DType t) { return is_float(t) || is_block(t); }

// n values, whole blocks. Every multiply and add is rounded alone, so the bits are the same on all machines.
void dequantise_row(DType t, const void* from, float* to, int64_t n);

// The values as f32, in memory of their own (cpu).
Tensor dequantised(const Tensor& t);

// Scales are searched for the least squared error, weighted by importance[i] >= 0 where it is given (one number for
// each of the n values). A value that is not finite throws Error in block formats.
void quantise_row(DType t, const float* from, void* to, int64_t n, const float* importance = nullptr);

extern const int8_t iq4_values[16];                          // the table of iq4_nl and iq4_xs
void unpack_scales_k4(const uint8_t* packed12, uint8_t* scales8, uint8_t* mins8);   // q4_k and q5_k

}  // namespace headrace
