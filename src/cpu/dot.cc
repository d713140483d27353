#include "cpu/dot.h"

#include <string_view>

#include "base/error.h"
#include "hwy/targets.h"

namespace headrace::cpu {
namespace {

const DotTable* forced = nullptr;

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace

const DotTable& dots() {
  static const DotTable* best = has_avx512() ? (has_amx() ? &dot_amx() : &dot_avx512) : has_avx2() ? &dot_avx2 : nullptr;
  if (forced) return *forced;
  expect(best != nullptr, "cpu: this machine has neither AVX-512 VNNI nor AVX2");
  return *best;
}
void force_dots(const char* name) {
  hwy::DisableTargets(name && std::string_view(name) == "avx2" ? HWY_AVX2 - 1 : 0);   // a better target has a lower bit
  hwy::GetChosenTarget().DeInit();                 // the vector files choose again
  forced = name == nullptr ? nullptr : std::string_view(name) == "avx2" ? &dot_avx2 : &dot_avx512;
}

}  // namespace headrace::cpu
