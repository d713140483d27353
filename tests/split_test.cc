// The law `split`: f(a then b) = f(a), then f(b) with the slot, for every split; and a kept copy of the slot is a bookmark.
#include <gtest/gtest.h>

#include "primitive_cases.h"

namespace headrace {
namespace {

class Split : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(Split, AnywhereChangesNothing) {
  const PrimitiveCase& c = GetParam();
  if (!c.carries_state) return;                        // such a primitive refuses a slot, see below
  const int64_t n = 70;                                // beyond a page of 64
  Random r(5);
  Tensors w = c.fixed(r), x = c.timed(r, n);
  const Outcome once = run_in_pieces(c, x, w, {n});
  for (int64_t at = 0; at <= n; ++at) {
    const Outcome two = run_in_pieces(c, x, w, {at, n - at});
    EXPECT_TRUE(close(two.y, once.y, c.tolerance)) << "split at " << at;
    EXPECT_TRUE(close_states(two.state, once.state, c.tolerance)) << "split at " << at;
  }
}
// A residue of the stride then has keys of more than one page, and residues that lie side by side reach over the ends of pages.
TEST(StridedAttention, OfLongSequencesInPiecesIsTheDefinitions) {
  constexpr int64_t n = 1100;
  for (const Pattern::Kind kind : {Pattern::Kind::strided, Pattern::Kind::merged})
    for (const int64_t stride : {16, 40}) {
      Random r(7);
      const Tensor q = r.rows({n, 4, 8}), k = r.rows({n, 2, 8}), v = r.rows({n, 2, 12});
      const Attention o{.pattern = std::make_shared<const Pattern>(Pattern{.kind = kind, .block = stride})};
      const std::vector<int64_t> whole{0, n};
      const Tensor want = [&] {
        UseNaive naive;
        return attention(q, k, v, o, {.sequences = {whole}, .values = {}});
      }();
      for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{n}, {1097, 3}, {1, 1099}, {700, 20, 380}}) {
        SlotValue state;
        std::vector<Tensor> y;
        int64_t at = 0;
        for (const int64_t m : lengths) {
          const std::vector<int64_t> offsets{0, m};
          const Slot slot{.sequences = {offsets}, .values = {&state}};
          y.push_back(attention(q.slice(0, at, m), k.slice(0, at, m), v.slice(0, at, m), o, slot));
          at += m;
        }
        EXPECT_TRUE(close(concat_rows(y), want, 3e-5)) << "stride " << stride << ", pieces " << lengths.size() << ", first " << lengths[0];
      }
    }
}
TEST_P(Split, AKeptCopyOfTheSlotStaysWhereItWas) {
  const PrimitiveCase& c = GetParam();
  const std::vector<int64_t> first{0, 67}, more{0, 9};
  Random r(6);
  Tensors w = c.fixed(r), x = c.timed(r, 67), y = c.timed(r, 9), other = c.timed(r, 9);
  SlotValue slot;
  const Slot given{.sequences = {first}, .values = {&slot}};
  if (!c.carries_state) {
    EXPECT_ANY_THROW(c.run(x, w, given));
    return;
  }
  c.run(x, w, given);
  SlotValue bookmark = slot;
  const Tensor want = c.run(y, w, {.sequences = {more}, .values = {&slot}});
  SlotValue fork = bookmark;
  c.run(other, w, {.sequences = {more}, .values = {&fork}});
  slot = bookmark;                                     // back, and the same again
  EXPECT_TRUE(same_bits(c.run(y, w, {.sequences = {more}, .values = {&slot}}), want));
}
INSTANTIATE_TEST_SUITE_P(All, Split, testing::ValuesIn(primitive_cases()), case_name);

}  // namespace
}  // namespace headrace
