// The sequence primitives as the laws see them: how to make inputs, and how to run them with any slot. A primitive (or a
// policy of one) is tested by every law because it is listed here.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "ops/sequence.h"
#include "laws.h"

namespace headrace {

using Tensors = std::vector<Tensor>;

struct PrimitiveCase {
  std::string name;                                    // letters and digits: a test's name
  std::string kernel;                                  // the field of Kernels it runs
  std::function<Tensors(Random&, int64_t n)> timed;    // inputs [n, ...]
  std::function<Tensors(Random&)> fixed;               // parameters
  std::function<Tensor(const Tensors& x, const Tensors& w, const Slot& slot)> run;
  bool carries_state = true;                           // false: later tokens are seen, so sequences are whole
  double tolerance = 3e-5;
};

const std::vector<PrimitiveCase>& primitive_cases();

inline std::string case_name(const testing::TestParamInfo<PrimitiveCase>& info) { return info.param.name; }
inline void PrintTo(const PrimitiveCase& c, std::ostream* out) { *out << c.name; }

// The rows [begin, begin + length) of each.
inline Tensors rows_of_all(const Tensors& x, int64_t begin, int64_t length) {
  Tensors part;
  for (const Tensor& t : x) part.push_back(t.slice(0, begin, length));
  return part;
}


struct Outcome { Tensor y; SlotValue state; };

// One sequence, given to the primitive piece by piece with its state.
inline Outcome run_in_pieces(const PrimitiveCase& c, const Tensors& x, const Tensors& w, const std::vector<int64_t>& pieces) {
  Outcome r;
  std::vector<float> all;
  Shape shape;
  int64_t at = 0;
  for (int64_t n : pieces) {
    const std::vector<int64_t> offsets{0, n};
    Tensor y = c.run(rows_of_all(x, at, n), w, {.sequences = {offsets}, .values = {&r.state}});
    const std::vector<float> values = values_of(y);
    all.insert(all.end(), values.begin(), values.end());
    shape = y.shape(), at += n;
  }
  shape[0] = at;
  r.y = Tensor::from(all, shape);
  return r;
}
// One sequence as a whole, without state.
inline Tensor run_whole(const PrimitiveCase& c, const Tensors& x, const Tensors& w) {
  const std::vector<int64_t> offsets{0, x[0].dim(0)};
  return c.run(x, w, {.sequences = {offsets}, .values = {}});
}

}  // namespace headrace
