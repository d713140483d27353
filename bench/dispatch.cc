// What does an eager op cost before it computes? Adds, norms and products so small that only the call is left.
// DESIGN's law: under 200 ns. Usage: build/bench_dispatch
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "ops/kernels.h"
#include "ops/ops.h"

using namespace headrace;

namespace {

void report(const char* what, const auto& f) {
  std::vector<double> ns;
  for (int round = 0; round < 9; ++round) {
    const int n = 20000;
    auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < n; ++i) f();
    ns.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / n * 1e9);
  }
  std::sort(ns.begin(), ns.end());
  std::printf("%-12s %6.0f ns (%.0f to %.0f)\n", what, ns[4], ns.front(), ns.back());
}

}  // namespace

int main() {
  Tensor x = Tensor::zeros({1, 16}), w = Tensor::zeros({16});
  Tensor matrix = kernels(Device::cpu).pack(Tensor::zeros({16, 16}));
  report("add", [&] { x + x; });
  report("silu", [&] { silu(x); });
  report("rms_norm", [&] { rms_norm(x, w); });
  report("linear", [&] { linear(x, matrix); });
}
