// The law `meta`: shapes on the meta device = shapes on a real one, and no memory is taken.
#include <gtest/gtest.h>

#include "op_cases.h"
#include "primitive_cases.h"

namespace headrace {
namespace {

class OpMeta : public testing::TestWithParam<OpCase> {};
TEST_P(OpMeta, ShapesAreThoseOfTheCpu) {
  Random real(1), plan(1, Device::meta);
  std::vector<Tensor> want = GetParam().run(real), got = GetParam().run(plan);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].shape(), want[i].shape()) << text("output ", i, ": ", got[i].shape(), ", wanted ", want[i].shape());
    EXPECT_EQ(got[i].device(), Device::meta) << "output " << i;
  }
}
INSTANTIATE_TEST_SUITE_P(All, OpMeta, testing::ValuesIn(op_cases()), [](const auto& info) { return info.param.name; });

class PrimitiveMeta : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(PrimitiveMeta, ShapesAndStatesAreThoseOfTheCpu) {
  const PrimitiveCase& c = GetParam();
  for (bool with_state : {false, true}) {
    if (with_state && !c.carries_state) continue;
    Ragged real({3, 0, 66}), plan({3, 0, 66});
    Random a(1), b(1, Device::meta);
    Tensors w = c.fixed(a), v = c.fixed(b);
    Tensor want = c.run(c.timed(a, real.tokens()), w, real.slot(with_state)), got = c.run(c.timed(b, plan.tokens()), v, plan.slot(with_state));
    EXPECT_EQ(got.shape(), want.shape());
    EXPECT_EQ(got.device(), Device::meta);
    for (size_t s = 0; s < real.states.size(); ++s) {
      EXPECT_EQ(plan.states[s].bytes(), real.states[s].bytes()) << "state " << s;
      EXPECT_EQ(plan.states[s].length, real.states[s].length) << "state " << s;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, PrimitiveMeta, testing::ValuesIn(primitive_cases()), case_name);

}  // namespace
}  // namespace headrace
