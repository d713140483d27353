// The CPU's arrangement of a weight matrix [N,K]: panels of 16 rows, so that one vector holds the same k of 16 rows and
// an input value is broadcast. One pass over a panel gives 16 outputs for one token or for eight; a sum never crosses
// lanes and does not depend on how many tokens there are, so solo = batched, bit for bit.
//
//   plain dtypes   panel = [K][16] values (f32, or f16 / bf16 kept at 16 bits)
//   block dtypes   panel = supers of `blocks` blocks of 32 values of each row:
//                  header (super scales, 16 rows each), then per block: scales, quants
//                  quants: 8 vectors of 16 rows x 4 values, unsigned; stored in `bits`:
//                    8: the vectors.  4: vector j in the low, j + 4 in the high nibbles of byte vector j.
//                    5: as 4, then the fifth bits, 64 of vector j as one word.  6: as 4, then two high bits:
//                       vector j, j+2, j+4, j+6 in bit pairs 0, 1, 2, 3 of byte vector j (j = 0, 1)
//   value = scale * (quant - zero) - min, with scale and min per block or half block (16 values)
#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace headrace::cpu {

constexpr int panel_rows = 16;

struct PanelFormat {
  DType dtype;
  int blocks;                            // in a super; 0: a plain dtype
  int bits;                              // of a stored quant
  int zero;
  int header;                            // bytes: d f16[16], then dmin f16[16] where there are minima in supers
  int scales;                            // bytes of scales in a block
  int halves;                            // scale groups in a block
  bool minimum;
  bool lookup;                           // quants are indices into iq4's table (zero then counts from 128)
  constexpr int quant_bytes() const { return 64 * bits; }
  constexpr int block_bytes() const { return scales + quant_bytes(); }
  constexpr int super_bytes() const { return header + blocks * block_bytes(); }
};
// scales of a block: f16 d[16] (f16 m[16]) where header == 0; else halves x 8-bit codes [16], then (minimum) halves x codes [16]
constexpr PanelFormat panel_formats[] = {
    {DType::q4_0, 1, 4, 8, 0, 32, 1, false, false},     {DType::q4_1, 1, 4, 0, 0, 64, 1, true, false},
    {DType::q5_0, 1, 5, 16, 0, 32, 1, false, false},    {DType::q5_1, 1, 5, 0, 0, 64, 1, true, false},
    {DType::q8_0, 1, 8, 128, 0, 32, 1, false, false},   {DType::iq4_nl, 1, 4, 128, 0, 32, 1, false, true},
    {DType::q4_k, 8, 4, 0, 64, 32, 1, true, false},     {DType::q5_k, 8, 5, 0, 64, 32, 1, true, false},
    {DType::q6_k, 8, 6, 32, 32, 32, 2, false, false},   {DType::q3_k, 8, 4, 4, 32, 32, 2, false, false},
    {DType::q2_k, 8, 4, 0, 64, 64, 2, true, false},     {DType::iq4_xs, 8, 4, 128, 32, 16, 1, false, true},
};
constexpr const PanelFormat* panel_format(DType t) {
  for (const PanelFormat& f : panel_formats)
    if (f.dtype == t) return &f;
  return nullptr;
}

size_t panel_bytes(DType dtype, int64_t rows, int64_t cols);            // of the whole matrix
Tensor pack(const Tensor& weight);                                      // rows -> panel
void panel_row(const Tensor& weight, int64_t row, float* out);          // one row of a packed matrix as f32
void panel_values(const PanelFormat& format, const uint8_t* panel, int64_t cols, float* out);   // a panel of blocks as one of f32

}  // namespace headrace::cpu
