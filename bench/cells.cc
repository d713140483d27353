// What do cells and vector states cost, forward and with their gradients? Layers of 512 channels over 2048 tokens, input product
// included where torch's layer has it. Usage: build/bench_cells [threads]; bench/cells_versus_torch.py sets it beside torch's.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/parallel.h"
#include "measure.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

namespace {

// A seed of its own for each.
Tensor drawn(const Shape& shape, float scale) {
  static uint64_t seed = 0;
  return random_normal(shape, ++seed, scale);
}
void report(const char* name, int64_t B, const std::vector<Tensor>& inputs, const std::function<Tensor(const std::vector<Tensor>&)>& f) {
  const double forward = least_ms(3, [&] { f(inputs); });
  const double both = least_ms(2, [&] {
    Tape tape;
    for (const Tensor& x : inputs) tape.watch(x);
    Tensor y = f(inputs);
    tape.backward(y, y);
  });
  std::printf("%-10s B=%lld %9.1f ms forward %9.1f ms with gradients\n", name, static_cast<long long>(B), forward, both);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) set_thread_count(std::atoi(argv[1]));
  const int64_t T = 2048, C = 512;
  for (const int64_t B : {int64_t{1}, int64_t{8}}) {
    std::vector<int64_t> offsets;
    for (int64_t b = 0; b <= B; ++b) offsets.push_back(b * T);
    const Slot slot{.sequences = {offsets}, .values = {}};
    using Scan = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, const Slot&);
    auto cells = [&](const char* name, int64_t gates, int64_t heads, Scan scan) {
      const float s = 0.04f;
      report(name, B, {drawn({B * T, C}, 1), drawn({gates * C, C}, s), drawn({gates * C}, s), drawn({gates * C, C / heads}, s),
                       drawn({gates * C}, s)},
             [&](const std::vector<Tensor>& x) { return scan(linear(x[0], x[1], x[2]), x[3], x[4], slot); });
    };
    cells("lstm", 4, 1, lstm_scan), cells("gru", 3, 1, gru_scan), cells("slstm h=4", 4, 4, slstm_scan);
    const Tensor decay = -1.f * exp(drawn({B * T, C}, 1)), x = drawn({B * T, C}, 1);
    report("real", B, {decay, x}, [&](const std::vector<Tensor>& in) { return diag_scan(in[0], in[1], slot); });
    report("complex", B, {drawn({2 * C}, 0.5f), drawn({B * T, 2 * C}, 1)},
           [&](const std::vector<Tensor>& in) { return complex_scan(in[0], in[1], slot); });
    report("selective", B, {x, softplus(drawn({B * T, C}, 1)), -1.f * exp(drawn({C, 16}, 1)), drawn({B * T, 16}, 1), drawn({B * T, 16}, 1)},
           [&](const std::vector<Tensor>& in) { return selective_scan(in[0], in[1], in[2], in[3], in[4], slot); });
    report("rwkv4", B, {-1.f * exp(drawn({C}, 1)), drawn({C}, 1), drawn({B * T, C}, 1), x},
           [&](const std::vector<Tensor>& in) { return rwkv4_scan(in[0], in[1], in[2], in[3], slot); });
  }
}
