// The table of products for this machine, by what the processor says that it can, or by HEADRACE_INSTRUCTIONS, which a measurement
// sets. Vector files follow the same choice, so that AVX2 means AVX2 everywhere.
#include "cpu/dot.h"

#include <cstdlib>
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

const DotTable& named(std::string_view name) {
  if (name == "avx2" && has_avx2()) return dot_avx2;
  if (name == "avx512" && has_avx512()) return dot_avx512;
  if (name == "amx" && has_avx512() && has_amx()) return dot_amx();
  expect(name == "avx2" || name == "avx512" || name == "amx", "cpu: HEADRACE_INSTRUCTIONS = '", name, "'; known: avx2, avx512, amx");
  fail("cpu: HEADRACE_INSTRUCTIONS = '", name, "', which this machine has not");
}
const DotTable& best() {
  if (const char* e = std::getenv("HEADRACE_INSTRUCTIONS"); e && *e) return named(e);
  expect(has_avx2(), "cpu: this machine has no AVX2; x86-64 with AVX2 and FMA is needed");
  return !has_avx512() ? dot_avx2 : has_amx() ? dot_amx() : dot_avx512;
}
void choose_vectors(const DotTable& table) {
  hwy::DisableTargets(&table == &dot_avx2 ? HWY_AVX2 - 1 : 0);   // a better target has a lower bit
  hwy::GetChosenTarget().DeInit();                               // the vector files choose again
}

}  // namespace

const DotTable& dots() {
  static const DotTable& chosen = []() -> const DotTable& {
    const DotTable& t = best();
    choose_vectors(t);
    return t;
  }();
  return forced ? *forced : chosen;
}
void force_dots(const char* name) {
  forced = nullptr;
  if (name) dots(), forced = &named(name);
  choose_vectors(dots());
}

}  // namespace headrace::cpu
