// Half floats by all their bits; block formats against the reference's bits on stored blocks; and how far quantising may err, by
// the format's bits.
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


// Values of a bell shape from a fixed recurrence.
std::vector<float> bell(size_t n) {
  std::vector<float> x(n);
  uint32_t state = 12345;
  for (float& v : x) {
    v = 0;
    for (int i = 0; i < 12; ++i) v += static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f;
    v -= 6;
  }
  return x;
}
double relative_rms(DType t, const std::vector<float>& x, const float* importance = nullptr, const float* weights = nullptr) {
  std::vector<std::byte> stored(bytes_of(t, static_cast<int64_t>(x.size())));
  std::vector<float> y(x.size());
  quantise_row(t, x.data(), stored.data(), static_cast<int64_t>(x.size()), importance);
  dequantise_row(t, stored.data(), y.data(), static_cast<int64_t>(x.size()));
  double e = 0, sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double w = weights ? weights[i] : 1;
    e += w * (y[i] - x[i]) * (y[i] - x[i]);
    sum += w * x[i] * x[i];
  }
  return sum > 0 ? std::sqrt(e / sum) : std::sqrt(e);
}

TEST(Blocks, QuantisationErrorIsWhatTheFormatsBitsAllow) {
  const std::vector<float> x = bell(8192);
  const std::pair<DType, double> bounds[] = {{DType::f16, 2.5e-4}, {DType::bf16, 2e-3}, {DType::f64, 0}, {DType::q4_0, .085}, {DType::q4_1, .073},
      {DType::q5_0, .043}, {DType::q5_1, .036}, {DType::q8_0, .0055}, {DType::q2_k, .30}, {DType::q3_k, .165}, {DType::q4_k, .075},
      {DType::q5_k, .038}, {DType::q6_k, .019}, {DType::iq4_nl, .076}, {DType::iq4_xs, .076}};
  for (auto [t, bound] : bounds) EXPECT_LE(relative_rms(t, x), bound) << name(t);
}
TEST(Blocks, ImportanceLowersTheErrorThatItWeighs) {
  const std::vector<float> x = bell(4096);
  std::vector<float> w(x.size());
  for (size_t i = 0; i < w.size(); ++i) w[i] = i % 8 == 0 ? 100.f : 1.f;
  for (DType t : block_types()) EXPECT_LT(relative_rms(t, x, w.data(), w.data()), relative_rms(t, x, nullptr, w.data())) << name(t);
}
TEST(Blocks, ZerosConstantsAndExtremesStayFinite) {
  for (DType t : block_types()) {
    EXPECT_EQ(relative_rms(t, std::vector<float>(256, 0.f)), 0) << name(t);
    for (float v : {1.f, -1.f, 1e-30f, -1e-7f, 3e38f, -3e38f})
      EXPECT_TRUE(std::isfinite(relative_rms(t, std::vector<float>(256, v)))) << name(t) << " " << v;
    EXPECT_LT(relative_rms(t, std::vector<float>(256, -1.f)), 0.02) << name(t);
  }
}
TEST(Blocks, ValuesThatAreNotFiniteAreRefused) {
  for (DType t : block_types()) {
    std::vector<float> x(256, 1.f);
    x[77] = std::numeric_limits<float>::infinity();
    EXPECT_THROW(relative_rms(t, x), Error) << name(t);
    x[77] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(relative_rms(t, x), Error) << name(t);
  }
}

}  // namespace
}  // namespace headrace
