// Views that are no copies, meta tensors, and that the address sanitizer sees an overrun of one number.
#include "tensor/tensor.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensor/large_blocks.h"

namespace headrace {
namespace {

TEST(Tensor, SliceOfTheLastDimensionKeepsTheRowStride) {
  Tensor x = Tensor::empty({3, 8});
  for (int i = 0; i < 24; ++i) x.f32()[i] = static_cast<float>(i);
  Tensor y = x.slice(-1, 2, 4).view({3, 2, 2});
  EXPECT_EQ(y.stride(0), 8);
  EXPECT_EQ(y.contiguous_copy().f32()[5], 11.f);
  Rows r = rows_of(y, 2);
  EXPECT_EQ(r.rows, 3);
  EXPECT_EQ(r[2][0], 18.f);
  EXPECT_THROW(y.view({12}), Error);
}

TEST(Tensor, MetaHasShapesAndBytesButNoMemory) {
  size_t before = allocated_bytes(Device::meta);
  Tensor x = Tensor::empty({1 << 20, 1 << 20}, DType::f32, Device::meta);
  EXPECT_EQ(allocated_bytes(Device::meta) - before, size_t{1} << 42);
}

// Pages that the system had to hand out while f ran.
template <class F>
int64_t fresh_pages(F f) {
  const auto faults = [] {
    rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt;
  };
  const int64_t before = faults();
  f();
  return faults() - before;
}

TEST(LargeBlocks, MemoryThatWasFreedServesOtherSizesWithoutAFreshPage) {
  LargeBlocks blocks;
  const size_t MiB = size_t{1} << 20;
  const auto use = [&](std::initializer_list<size_t> sizes) {
    std::vector<std::pair<void*, size_t>> all;
    for (size_t n : sizes) std::memset(all.emplace_back(blocks.take(n * MiB), n * MiB).first, 1, n * MiB);
    for (const auto& [p, n] : all) blocks.give(p, n);
  };
  use({64});
  EXPECT_LT(fresh_pages([&] { use({24, 16, 24}), use({3, 5, 7, 33}), use({64}); }), 16);
}

TEST(LargeBlocks, NeverHoldMoreThanOnceLived) {
  LargeBlocks blocks;
  const size_t size = size_t{32} << 20;
  void *a = blocks.take(size), *b = blocks.take(size), *c = blocks.take(size);
  blocks.give(a, size), blocks.give(c, size);
  EXPECT_EQ(blocks.held(), 3 * size);
  if (void* wide = blocks.take(2 * size); wide != a) {       // not where two pieces happened to be neighbours
    EXPECT_EQ(blocks.held(), 3 * size);
    blocks.give(wide, 2 * size);
  }
  blocks.give(b, size);
}

#ifdef __SANITIZE_ADDRESS__
TEST(TensorDeathTest, UnderTheAddressSanitizerAnOverrunOfOneNumberIsSeen) {
  for (int64_t n : {1, 17, 100, 1 << 20}) {
    Tensor t = Tensor::zeros({n});
    EXPECT_DEATH(t.f32()[n] = 1, "heap-buffer-overflow") << n;
  }
}
#endif

}  // namespace
}  // namespace headrace
