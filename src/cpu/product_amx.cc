// Products of bf16 by AMX: tdpbf16ps adds 32 products to each of 16 x 16 sums.
#include <immintrin.h>

#include <algorithm>

#include "cpu/product_bf16.h"

namespace headrace::cpu {
namespace {

// Sixteen rows of 64 bytes in each tile register; what dot_amx.cc had set comes back.
class Tiles {
 public:
  Tiles() {
    asm volatile("sttilecfg %0" : "=m"(before_));
    Shapes mine{};
    mine.palette = 1;
    for (int i = 0; i < 8; ++i) mine.row_bytes[i] = 64, mine.row_count[i] = 16;
    asm volatile("ldtilecfg %0" : : "m"(mine));
  }
  ~Tiles() {
    if (before_.palette != 0) asm volatile("ldtilecfg %0" : : "m"(before_));
    else asm volatile("tilerelease");
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  struct alignas(64) Shapes { uint8_t palette, start_row, reserved[14]; uint16_t row_bytes[16]; uint8_t row_count[16]; };
  Shapes before_;
};
template <int tile>
void load(const uint32_t* p) { asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(int64_t{64}), "i"(tile) : "memory"); }
template <int tile>
void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(tile)); }
template <int sum, int a, int b>
void multiply_tiles() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b)); }
// Adds tile register `tile` to c's tile (i, j), or puts it there.
template <int tile>
void leave(int64_t i, int64_t j, float* c, int64_t ldc, int64_t m, int64_t n, bool add) {
  alignas(64) float sums[16][16];
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(sums), "r"(int64_t{64}), "i"(tile) : "memory");
  const __mmask16 cols = first_lanes(n - 16 * j);
  for (int64_t r = 0; r < std::min<int64_t>(16, m - 16 * i); ++r) {
    float* to = c + (16 * i + r) * ldc + 16 * j;
    const __m512 v = _mm512_load_ps(sums[r]);
    _mm512_mask_storeu_ps(to, cols, add ? _mm512_add_ps(_mm512_maskz_loadu_ps(cols, to), v) : v);
  }
}

}  // namespace

void multiply_by_tiles(const PairTiles& a, const PairTiles& b, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t l0, int64_t l1,
                       float* c, int64_t ldc, int64_t m, int64_t n, bool add) {
  const Tiles tiles;
  for (int64_t j = j0; j < j1; j += 2)
    for (int64_t i = i0; i < i1; i += 2) {
      const bool below = i + 1 < i1, right = j + 1 < j1;
      zero<0>(), zero<1>(), zero<2>(), zero<3>();
      for (int64_t l = l0; l < l1; ++l) {
        load<4>(a.at(i, l)), load<6>(b.at(j, l));
        multiply_tiles<0, 4, 6>();
        if (right) load<7>(b.at(j + 1, l)), multiply_tiles<1, 4, 7>();
        if (below) load<5>(a.at(i + 1, l)), multiply_tiles<2, 5, 6>();
        if (below && right) multiply_tiles<3, 5, 7>();
      }
      leave<0>(i, j, c, ldc, m, n, add);
      if (right) leave<1>(i, j + 1, c, ldc, m, n, add);
      if (below) leave<2>(i + 1, j, c, ldc, m, n, add);
      if (below && right) leave<3>(i + 1, j + 1, c, ldc, m, n, add);
    }
}

}  // namespace headrace::cpu
