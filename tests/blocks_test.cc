#include "tensor/blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "io/safetensors.h"
#include "tensor/half.h"

namespace headrace {
namespace {

std::vector<DType> block_types() {
  std::vector<DType> all;
  for (int i = 0; i < dtype_count; ++i)
    if (is_block(static_cast<DType>(i))) all.push_back(static_cast<DType>(i));
  return all;
}

TEST(Half, EveryF16GoesToF32AndBackUnchanged) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float x = f16_to_f32(static_cast<uint16_t>(h));
    if (std::isnan(x)) EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(x))));
    else EXPECT_EQ(f32_to_f16(x), h);
  }
}
TEST(Half, HalfwayCasesGoToTheEvenNeighbour) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const double low = f16_to_f32(static_cast<uint16_t>(h)), high = f16_to_f32(static_cast<uint16_t>(h + 1));
    const float middle = static_cast<float>((low + high) / 2);   // exact in f32
    EXPECT_EQ(f32_to_f16(middle), h % 2 ? h + 1 : h);
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), h + 1);
    EXPECT_EQ(f32_to_f16(-std::nextafter(middle, 0.f)), h | 0x8000);
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.f), 0x7c00);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(Blocks, DequantiseGivesTheReferencesBitsOnRandomBlocks) {
  for (DType t : block_types()) {
    SafetensorsFile f(std::string(HEADRACE_ROOT) + "/tests/fixtures/blocks_" + name(t) + ".safetensors");
    const Tensor blocks = f.tensor("blocks"), wanted = f.tensor("values");
    std::vector<float> found(static_cast<size_t>(wanted.count()));
    dequantise_row(t, blocks.raw(), found.data(), wanted.count());
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(wanted.f32()[i])) << name(t) << " value " << i;
  }
}
TEST(Blocks, RowsThatAreNotWholeBlocksAreRefused) {
  float x[32] = {};
  EXPECT_THROW(dequantise_row(DType::q4_0, x, x, 31), Error);
  EXPECT_THROW(dequantise_row(DType::i32, x, x, 1), Error);
}

}  // namespace
}  // namespace headrace
