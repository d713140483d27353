// BigBird's lists of blocks (Zaheer et al. 2020, 2007.14062, section 2): a few of each row at random, drawn by counter, so that they repeat.
#include "ops/patterns.h"

#include <algorithm>

#include "base/error.h"
#include "base/random.h"

namespace headrace {

Pattern bigbird_pattern(const BigBird& o, const Sequences& sequences) {
  expect(o.block > 0 && o.random >= 0 && o.heads > 0, "bigbird: blocks of ", o.block, ", ", o.random, " at random, ", o.heads, " heads");
  Pattern p{.kind = Pattern::Kind::listed, .block = o.block, .query_block = o.block, .list_heads = o.heads};
  p.begin.push_back(0);
  for (int s = 0; s < sequences.count(); ++s) {
    const int64_t blocks = (sequences.offsets[s + 1] - sequences.offsets[s] + o.block - 1) / o.block;
    const bool full = blocks < 5 + 2 * o.random;
    for (int64_t i = 0; i < blocks; ++i)
      for (int h = 0; h < o.heads; ++h) {
        const Philox random{.seed = o.seed, .stream = static_cast<uint64_t>(h)};
        std::vector<int32_t> list;
        auto add = [&](int64_t b) {
          if (b < 0 || b >= blocks || std::find(list.begin(), list.end(), b) != list.end()) return false;
          list.push_back(static_cast<int32_t>(b));
          return true;
        };
        if (full || i == 0 || i == blocks - 1) {
          for (int64_t b = 0; b < blocks; ++b) add(b);
        } else {
          for (int64_t b : {int64_t{0}, i - 1, i, i + 1, blocks - 1}) add(b);
          uint64_t draw = static_cast<uint64_t>(i) << 20;
          for (int found = 0; found < o.random;)
            found += add(static_cast<int64_t>(random.uniform(draw++) * static_cast<double>(blocks)));
        }
        std::sort(list.begin(), list.end());
        p.blocks.insert(p.blocks.end(), list.begin(), list.end());
        p.begin.push_back(std::ssize(p.blocks));
      }
  }
  return p;
}

}  // namespace headrace
