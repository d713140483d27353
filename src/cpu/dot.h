// Products of packed matrices: one table per instruction set, chosen once by what the machine has (dot.cc).
#pragma once
#include <cstdint>

#include "cpu/panel.h"

namespace headrace::cpu {

// Rows of an input as 8-bit blocks: value = scale * quant, one scale for 32 values.
struct QuantisedRows {
  const int8_t* quants;                  // [M][K]
  const float* scales;                   // [M][K/32]
  // [M][K/16] for each half block, or for whole blocks at every other place where the format has no halves:
  const float* sums;                     // scale times the sum of the quants
  const int32_t* starts;                 // -zero times the sum of the quants
  // The same for sixteen rows side by side, [M/16][K/32][16] and [M/16][K/16][16]; whole sixteens only.
  const float* tile_scales;
  const float* tile_sums;
  QuantisedRows from(int64_t m, int64_t K) const {           // m: a multiple of 16 where tiles are read
    return {quants + m * K, scales + m * (K / 32), sums + m * (K / 16), starts + m * (K / 16),
            tile_scales ? tile_scales + m * (K / 32) : nullptr, tile_sums ? tile_sums + m * (K / 16) : nullptr};
  }
};

struct DotTable {
  const char* name;
  // One row: quants [K], scales [K/32], sums [K/16] in integers.
  void (*quantise)(const float* x, int64_t K, int8_t* quants, float* scales, int32_t* sums);
  // One panel times M rows: y[m][0..16) for m < M; K values; y_rows valid outputs (16, or fewer in the last panel).
  void (*blocks[dtype_count])(const uint8_t* panel, int64_t K, const QuantisedRows& x, int M, float* const* y, const float* bias, int valid);
  // n rounds of independent multiply-adds, nothing read: the operations done.
  double (*spin_int8)(int64_t n);
  double (*spin_f32)(int64_t n);
  void (*read)(const uint8_t* data, int64_t lines);   // of 64 bytes
  bool tiles;                            // reads tile_scales and tile_sums
  void (*plain[3])(const void* panel, int64_t K, const float* const* x, int M, float* const* y, const float* bias, int valid);   // f32 f16 bf16
};
// Quants of the lookup formats (iq4_values in tensor/blocks.h) plus 128: bytes without sign.
alignas(16) inline constexpr uint8_t lookup_bytes[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
constexpr int read_ahead = 8192;         // bytes that a product of one row fetches before it needs them

extern const DotTable dot_avx512, dot_avx2;
const DotTable& dot_amx();
bool has_amx();                          // the machine has it and the system gives it
const DotTable& dots();                  // what HEADRACE_INSTRUCTIONS names, else the best of this machine; throws Error where it is not there
void force_dots(const char* name);       // "avx2", "avx512" or "amx", for tests and timings, while nothing else computes; null: no more

}  // namespace headrace::cpu
