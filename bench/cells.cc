// What do cells and vector states cost, forward and with their gradients? Layers of 512 channels over 2048 tokens, input product
// included where torch's layer has it. Usage: build/bench_cells [threads]; bench/cells_versus_torch.py sets it beside torch's.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

namespace {

Tensor random(const Shape& shape, float scale) {
  static uint64_t stream = 0;
  const Philox p{.seed = 1, .stream = ++stream};
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] = scale * static_cast<float>(p.normal(static_cast<uint64_t>(i)));
  return x;
}
double least_ms(int rounds, const std::function<void()>& f) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    best = std::min(best, 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
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
      report(name, B, {random({B * T, C}, 1), random({gates * C, C}, s), random({gates * C}, s), random({gates * C, C / heads}, s),
                       random({gates * C}, s)},
             [&](const std::vector<Tensor>& x) { return scan(linear(x[0], x[1], x[2]), x[3], x[4], slot); });
    };
    cells("lstm", 4, 1, lstm_scan), cells("gru", 3, 1, gru_scan), cells("slstm h=4", 4, 4, slstm_scan);
    const Tensor decay = -1.f * exp(random({B * T, C}, 1)), x = random({B * T, C}, 1);
    report("real", B, {decay, x}, [&](const std::vector<Tensor>& in) { return diag_scan(in[0], in[1], slot); });
    report("complex", B, {random({2 * C}, 0.5f), random({B * T, 2 * C}, 1)},
           [&](const std::vector<Tensor>& in) { return complex_scan(in[0], in[1], slot); });
    report("selective", B, {x, softplus(random({B * T, C}, 1)), -1.f * exp(random({C, 16}, 1)), random({B * T, 16}, 1), random({B * T, 16}, 1)},
           [&](const std::vector<Tensor>& in) { return selective_scan(in[0], in[1], in[2], in[3], in[4], slot); });
    report("rwkv4", B, {-1.f * exp(random({C}, 1)), random({C}, 1), random({B * T, C}, 1), x},
           [&](const std::vector<Tensor>& in) { return rwkv4_scan(in[0], in[1], in[2], in[3], slot); });
  }
}
