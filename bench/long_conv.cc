// How long is a long convolution? One sequence of T tokens and C channels with a filter of T taps, forward, and forward and backward; then
// a decoded token. bench_long_conv [T...]; bench/long_conv_torch.py does the same by torch.fft.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

namespace {
Tensor random_rows(int64_t rows, int64_t cols, uint64_t seed) {
  Tensor x = Tensor::empty({rows, cols});
  for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] = static_cast<float>(Philox{seed}.uniform(static_cast<uint64_t>(i)) - 0.5);
  return x;
}
template <class F>
double best_ms(F f) {
  double best = 1e9;
  for (int i = 0; i < 7; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}
}  // namespace

int main(int argc, char** argv) {
  std::vector<int64_t> lengths;
  for (int i = 1; i < argc; ++i) lengths.push_back(std::atoll(argv[i]));
  if (lengths.empty()) lengths = {2048, 8192, 32768};
  const int64_t C = 512;
  std::printf("C = %ld, %d threads; ms\n%8s %10s %20s %16s\n", C, thread_count(), "T", "forward", "forward + backward", "decoded token");
  for (int64_t T : lengths) {
    const Tensor u = random_rows(T, C, 1), k = random_rows(C, T, 2), D = random_rows(1, C, 3).view({C}), dy = random_rows(T, C, 4);
    const std::vector<int64_t> offsets{0, T}, one{0, 1};
    const Slot all{.sequences = {offsets}, .values = {}};
    const double forward = best_ms([&] { (void)long_conv(u, {.filter = k, .skip = D}, all); });
    const double both = best_ms([&] {
      Tape tape;
      tape.watch(u), tape.watch(k), tape.watch(D);
      tape.backward(long_conv(u, {.filter = k, .skip = D}, all), dy);
    });
    SlotValue state;
    const int64_t tokens = std::min<int64_t>(T, 2048);
    const double decode = best_ms([&] {
      for (int64_t t = 0; t < tokens; ++t) (void)long_conv(u.slice(0, t, 1), {.filter = k, .skip = D}, {.sequences = {one}, .values = {&state}});
    }) / static_cast<double>(tokens);
    std::printf("%8ld %10.2f %20.2f %16.4f\n", T, forward, both, decode);
  }
}
