// Products of operands that are rounded to bf16, sums in f32. Where the processor multiplies bf16 well (AMX; AVX512_BF16 of AMD's) both are
// packed as it wants them, rounded on the way; elsewhere rounded copies meet in a product of f32, which holds a product of two bf16 exactly.
#pragma once
#include "ops/kernels.h"

namespace headrace::cpu {

void product_bf16(const MatrixProduct& p);

// Numbers in pairs, as the processor reads them: k in the low half, k + 1 in the high one. An operand [X,K] (X: rows of a, columns
// of b) is tiles of 16 x and 16 pairs, zeros beyond its ends: [X/16][K/32][16][16]; the inner two are (x, pair) of a, (pair, x) of b.
struct PairTiles {
  int64_t x = 0, k = 0;                            // tiles each way
  uint32_t* data = nullptr;
  const uint32_t* at(int64_t i, int64_t l) const { return data + (i * k + l) * 256; }
};
// Lanes of a vector of sixteen that are there when n are left.
inline uint16_t first_lanes(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<uint16_t>((1u << n) - 1); }
// Rows [begin, end) of tiles of an operand [X,K], which lies as it is, or as [K,X] where k_rows; its rows are `stride` apart.
void pack_pairs(const float* operand, int64_t stride, bool k_rows, int64_t X, int64_t K, bool pairs_first, int64_t begin, int64_t end,
                const PairTiles& to);
// c, rows [i0, i1) and columns [j0, j1) in tiles, from [l0, l1) of k; added to what it holds where `add`.
using MultiplyPairs = void(const PairTiles& a, const PairTiles& b, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t l0, int64_t l1,
                           float* c, int64_t ldc, int64_t m, int64_t n, bool add);
MultiplyPairs multiply_by_tiles, multiply_by_vectors;
MultiplyPairs* multiply_pairs();                   // what this machine has of the instructions in use (dot.h); null where it has neither

}  // namespace headrace::cpu
