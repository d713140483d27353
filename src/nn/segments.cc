// Each round takes the next piece of every sequence, up to the next multiple of `length` from its start, as one ragged batch: so a
// state may be continued in the middle of a segment.
#include "nn/segments.h"

#include <algorithm>

#include "base/error.h"
#include "ops/ops.h"

namespace headrace {

Tensor by_segments(const Tensor& x, Pass p, int64_t length, const std::function<Tensor(const Tensor& x, Pass p)>& f) {
  expect(length > 0, "segments of ", length, " tokens");
  const std::vector<int64_t>& offsets = p.batch->offsets;
  const size_t sequences = offsets.size() - 1;
  std::vector<State> own(p.batch->states.empty() ? sequences : 0);
  std::vector<int64_t> at(offsets.begin(), offsets.end() - 1);
  std::vector<std::vector<Tensor>> done(sequences);
  for (int64_t left = offsets.back(), round = 0; left > 0 || round == 0; ++round) {
    Batch b;
    std::vector<Tensor> pieces;
    std::vector<size_t> whose;
    for (size_t s = 0; s < sequences; ++s) {
      const int64_t begin = at[s], place = begin < offsets[s + 1] ? p.batch->positions[static_cast<size_t>(begin)] % length : 0;
      const int64_t n = std::min(offsets[s + 1] - begin, length - place);
      if (n == 0 && round > 0) continue;                   // a sequence of no tokens takes part once: its slots are made
      const auto positions = p.batch->positions.begin() + begin;
      b.positions.insert(b.positions.end(), positions, positions + n);
      b.offsets.push_back(b.offsets.back() + n);
      b.states.push_back(own.empty() ? p.batch->states[s] : &own[s]);
      pieces.push_back(x.slice(0, begin, n)), whose.push_back(s);
      at[s] += n, left -= n;
    }
    const bool whole = b.offsets.back() == x.dim(0);
    const Tensor y = f(whole ? x : concat_rows(pieces), {&b, p.layer});
    if (whole) return y;
    for (size_t i = 0; i < whose.size(); ++i)
      if (const int64_t n = b.offsets[i + 1] - b.offsets[i]; n > 0) done[whose[i]].push_back(y.slice(0, b.offsets[i], n));
  }
  std::vector<Tensor> all;
  for (const std::vector<Tensor>& d : done) all.insert(all.end(), d.begin(), d.end());
  return concat_rows(all);
}

}  // namespace headrace
