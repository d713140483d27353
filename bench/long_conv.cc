// How long is a long convolution? One sequence of T tokens and C channels with a filter of T taps, forward, and forward and backward; then
// a decoded token. bench_long_conv [T...]; bench/versus_torch.py has torch.fft beside it.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/parallel.h"
#include "measure.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

int main(int argc, char** argv) {
  std::vector<int64_t> lengths;
  for (int i = 1; i < argc; ++i) lengths.push_back(std::atoll(argv[i]));
  if (lengths.empty()) lengths = {2048, 8192, 32768};
  const int64_t C = 512;
  std::printf("C = %ld, %d threads; ms\n%8s %10s %20s %16s\n", C, thread_count(), "T", "forward", "forward + backward", "decoded token");
  for (int64_t T : lengths) {
    const Tensor u = random({T, C}, 1, 0.5f), k = random({C, T}, 2, 0.5f), D = random({1, C}, 3, 0.5f).view({C}), dy = random({T, C}, 4, 0.5f);
    const std::vector<int64_t> offsets{0, T}, one{0, 1};
    const Slot all{.sequences = {offsets}, .values = {}};
    const double forward = least_ms(7, [&] { (void)long_conv(u, {.filter = k, .skip = D}, all); });
    const double both = least_ms(7, [&] {
      Tape tape;
      tape.watch(u), tape.watch(k), tape.watch(D);
      tape.backward(long_conv(u, {.filter = k, .skip = D}, all), dy);
    });
    SlotValue state;
    const int64_t tokens = std::min<int64_t>(T, 2048);
    const double decode = least_ms(7, [&] {
      for (int64_t t = 0; t < tokens; ++t) (void)long_conv(u.slice(0, t, 1), {.filter = k, .skip = D}, {.sequences = {one}, .values = {&state}});
    }) / static_cast<double>(tokens);
    std::printf("%8ld %10.2f %20.2f %16.4f\n", T, forward, both, decode);
  }
}
