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

}  // namespace headrace
