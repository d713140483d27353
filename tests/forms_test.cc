// The law `forms`: step = chunk = whole, for lengths that do and do not divide the chunk.
#include <gtest/gtest.h>

#include "primitive_cases.h"

namespace headrace {
namespace {

class Forms : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(Forms, StepChunkAndWholeGiveTheSame) {
  const PrimitiveCase& c = GetParam();
  for (int64_t n : {1, 2, 31, 64, 65, 130, 257}) {
    Random r(static_cast<uint64_t>(n));
    Tensors w = c.fixed(r), x = c.timed(r, n);
    const Tensor whole = run_whole(c, x, w);
    if (!c.carries_state) continue;
    const Outcome once = run_in_pieces(c, x, w, {n});
    EXPECT_TRUE(close(once.y, whole, c.tolerance)) << n << " tokens with state";
    const Outcome steps = run_in_pieces(c, x, w, std::vector<int64_t>(static_cast<size_t>(n), 1));
    EXPECT_TRUE(close(steps.y, whole, c.tolerance)) << n << " steps";
    EXPECT_TRUE(close_states(steps.state, once.state, c.tolerance)) << n << " steps";
    for (int64_t chunk : {16, 32, 64}) {
      std::vector<int64_t> pieces(static_cast<size_t>(n / chunk), chunk);
      if (n % chunk) pieces.push_back(n % chunk);
      const Outcome chunks = run_in_pieces(c, x, w, pieces);
      EXPECT_TRUE(close(chunks.y, whole, c.tolerance)) << n << " tokens in chunks of " << chunk;
      EXPECT_TRUE(close_states(chunks.state, once.state, c.tolerance)) << n << " tokens in chunks of " << chunk;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, Forms, testing::ValuesIn(primitive_cases()), case_name);

}  // namespace
}  // namespace headrace
