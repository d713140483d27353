#include "cpu/kernels.h"
#include "cpu/panel.h"

namespace headrace::cpu {

const Kernels& kernels() {
  static const Kernels table = [] {
    Kernels k = naive_kernels();
    k.device = "cpu";
    k.linear = linear;
    k.embedding = embedding;
    k.pack = pack;
    k.peak = peak;
    k.instructions = instructions;
    return k;
  }();
  return table;
}

}  // namespace headrace::cpu
