#include "ops/kernels.h"

namespace headrace::cpu {

const Kernels& kernels() { return naive_kernels(); }

}  // namespace headrace::cpu
