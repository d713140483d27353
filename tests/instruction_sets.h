// The kernels' instruction sets, for laws that hold of each.
#pragma once
#include <string>
#include <vector>

#include "cpu/dot.h"

namespace headrace {

// Those of this machine; the last is the best.
inline std::vector<const char*> instruction_sets() {
  std::vector<const char*> sets{"avx2"};
  if (std::string(cpu::dots().name) != "avx2") sets.push_back("avx512");
  if (cpu::dots().tiles) sets.push_back("amx");
  return sets;
}
struct ForceDots {
  explicit ForceDots(const char* name) { cpu::force_dots(name); }
  ~ForceDots() { cpu::force_dots(nullptr); }
};

}  // namespace headrace
