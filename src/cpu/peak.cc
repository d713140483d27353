// The floors of this machine: plain reads of memory larger than the caches, and chains of the multiply-adds that the
// products are made of, on all threads.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "cpu/dot.h"
#include "cpu/kernels.h"
#include "tensor/tensor.h"

namespace headrace::cpu {
namespace {

// The best rate of a few runs: a floor is what the machine can do, not what it did while others used it.
double best(const auto& amount_of_one_run) {
  double top = 0;
  for (int i = 0; i < 7; ++i) {
    auto begin = std::chrono::steady_clock::now();
    double amount = amount_of_one_run();
    top = std::max(top, amount / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return top;
}

double spin(double (*f)(int64_t)) {
  return best([&] {
    std::vector<double> done(static_cast<size_t>(thread_count()));
    parallel(thread_count(), 1, [&](int64_t, int64_t, int worker) { done[static_cast<size_t>(worker)] = f(1 << 20); });
    double sum = 0;
    for (double d : done) sum += d;
    return sum;
  });
}

}  // namespace

Peak peak() {
  const size_t bytes = size_t{256} << 20;
  auto storage = allocate(bytes, Device::cpu);
  uint8_t* data = reinterpret_cast<uint8_t*>(storage->data);
  const int64_t lines = static_cast<int64_t>(bytes / 64);
  parallel(lines, 1, [&](int64_t b, int64_t e, int) { std::memset(data + b * 64, 1, static_cast<size_t>(e - b) * 64); });
  double read = best([&] {
    parallel(lines, 1, [&](int64_t b, int64_t e, int) { dots().read(data + b * 64, e - b); });
    return static_cast<double>(bytes);
  });
  return {.read_bytes = read, .f32_flops = spin(dots().spin_f32), .int8_ops = spin(dots().spin_int8)};
}

const char* instructions() { return dots().name; }

}  // namespace headrace::cpu
