// The ops without time as the laws see them: each case makes its inputs and runs; the laws ask it twice and compare.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "laws.h"

namespace headrace {

struct OpCase {
  std::string name;                                  // letters and digits: a test's name
  std::string kernel;                                // the field of Kernels it runs
  std::function<std::vector<Tensor>(Random&)> run;   // everything random comes from the argument, which has the device too
  double tolerance = 1e-5;
};

const std::vector<OpCase>& op_cases();

inline void PrintTo(const OpCase& c, std::ostream* out) { *out << c.name; }

// Inputs that 8 bits hold exactly: an integer in -127..127 over 64, with a 127 in every 32 values. What a kernel gives for
// them may differ from the definition by the rounding of f32 sums only.
Tensor exact_rows(Random& r, int64_t rows, int64_t cols);
Tensor weight(Random& r, DType dtype, int64_t out, int64_t in);
Tensor packed(const Tensor& weight);                 // as the current kernels want it

}  // namespace headrace
