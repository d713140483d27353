// What does an eager op cost before it computes? Adds, norms and products so small that only the call is left.
// DESIGN's law: under 200 ns. Usage: build/bench_dispatch
#include <cstdio>
#include <vector>

#include "measure.h"
#include "ops/kernels.h"
#include "ops/ops.h"

using namespace headrace;

namespace {

void report(const char* what, const auto& f) {
  constexpr int n = 20000;
  const std::vector<double> t = sorted_seconds(9, [&] {
    for (int i = 0; i < n; ++i) f();
  });
  auto ns = [](double seconds) { return seconds / n * 1e9; };
  std::printf("%-12s %6.0f ns (%.0f to %.0f)\n", what, ns(t[4]), ns(t.front()), ns(t.back()));
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
