// The law `pack`: packed sequences = the same sequences alone, outputs and states, whatever their lengths and order.
#include <gtest/gtest.h>

#include "primitive_cases.h"

namespace headrace {
namespace {

class Pack : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(Pack, SequencesTogetherGiveWhatEachGivesAlone) {
  const PrimitiveCase& c = GetParam();
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{3, 1, 66}, {1, 1, 1}, {0, 70, 0, 2}, {64, 128}})
    for (bool with_state : {false, true}) {
      if (with_state && !c.carries_state) continue;
      Ragged together(lengths), alone(lengths);
      Random r(9);
      Tensors w = c.fixed(r);
      for (int round = 0; round < (with_state ? 2 : 1); ++round) {
        Tensors x = c.timed(r, together.tokens());
        Tensor all = c.run(x, w, together.slot(with_state));
        for (size_t s = 0; s < lengths.size(); ++s) {
          const std::vector<int64_t> offsets{0, lengths[s]};
          Slot slot{.sequences = {offsets}, .values = {}};
          if (with_state) slot.values = {&alone.states[s]};
          Tensor one = c.run(rows_of_all(x, together.offsets[s], lengths[s]), w, slot);
          EXPECT_TRUE(close(all.slice(0, together.offsets[s], lengths[s]), one, c.tolerance))
              << text("lengths ", lengths, " sequence ", s, " round ", round);
          if (!with_state) continue;
          EXPECT_TRUE(close_states(together.states[s], alone.states[s], c.tolerance)) << text("lengths ", lengths, " state ", s);
        }
      }
    }
}
INSTANTIATE_TEST_SUITE_P(All, Pack, testing::ValuesIn(primitive_cases()), case_name);

}  // namespace
}  // namespace headrace
