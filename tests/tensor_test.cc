// Views that are no copies, meta tensors, and that the address sanitizer sees an overrun of one number.
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include "base/error.h"

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
