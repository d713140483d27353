// What fraction of the machine do the chunked linear scans reach? For each policy, forward and forward with backward: milliseconds,
// and operations per second of the chunked algorithm against the measured f32 peak. Counted are the products of matrices alone, with
// scores under the mask as half: of a token and head, forward C (K + V) + 4 K V with the state's products and so on, see operations().
// Usage: build/bench_scans [threads] [repetitions] [tokens] [policy]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "measure.h"
#include "ops/kernels.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

namespace {

struct Policy {
  const char* name;
  bool by_head, by_key, beta, low_rank, bonus;
};

// Of a token and head, in chunks of 16: readers r, writers w. Forward: scores, their use, state in and out. Backward: those of the first
// pass (the state, and the removal's), scores, d scores, d read, d write, d values, the state.
double operations(const Policy& p, double C, double K, double V, bool backward) {
  const double r = p.beta || p.low_rank ? 2 : 1, w = p.low_rank ? 2 : 1, removal = r - 1;
  const double forward = r * w * C * K + w * C * V + removal * w * C * V + 2 * K * V * (r + w);
  if (!backward) return forward;
  const double first = removal * w * (C * K + C * V) + 2 * K * V * (removal + w);
  return forward + first + r * w * C * (K + V) + 2 * r * w * C * K + r * w * C * V + 2 * K * V * (w + r + w + r);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) set_thread_count(std::atoi(argv[1]));
  const int reps = argc > 2 ? std::atoi(argv[2]) : 5;
  const int64_t T = argc > 3 ? std::atoll(argv[3]) : 2048, H = 8, K = 64, V = 64;
  const double peak = kernels(Device::cpu).peak().f32_flops;
  std::printf("%s   threads %d   f32 %.0f GFLOP/s   T %lld H %lld K = V = %lld\n", kernels(Device::cpu).instructions(), thread_count(), peak * 1e-9,
              static_cast<long long>(T), static_cast<long long>(H), static_cast<long long>(K));
  std::printf("%-22s %3s %10s %22s %12s %22s\n", "policy", "B", "forward ms", "GFLOP/s (of peak)", "both ms", "GFLOP/s (of peak)");
  for (const Policy& p : {Policy{"none", false, false, false, false, false}, {"by head (simple_gla)", true, false, false, false, false},
                          {"by key (gla)", false, true, false, false, false}, {"by key, bonus (rwkv6)", false, true, false, false, true},
                          {"delta", false, false, true, false, false}, {"gated delta", true, false, true, false, false},
                          {"by key, delta (kda)", false, true, true, false, false}, {"by key, a b (rwkv7)", false, true, false, true, false}})
    for (int64_t B : {1, 8}) {
      if (argc > 4 && !std::strstr(p.name, argv[4])) continue;
      const int64_t N = B * T;
      Tensor q = random({N, H, K}, 1), k = l2_norm(random({N, H, K}, 2)), v = random({N, H, V}, 3);
      Tensor dy = random({N, H, V}, 4);
      Tensor decay = p.by_head ? random({N, H}, 5, 0.2f, -0.2f) : p.by_key ? random({N, H, K}, 5, 0.3f, -0.3f) : Tensor{};
      Tensor beta = p.beta ? random({N, H}, 6, 0.5f, 0.5f) : Tensor{}, bonus = p.bonus ? random({H, K}, 7) : Tensor{};
      Tensor a = p.low_rank ? -1.f * k : Tensor{}, b = p.low_rank ? 0.5f * k : Tensor{};
      std::vector<int64_t> offsets;
      for (int64_t i = 0; i <= B; ++i) offsets.push_back(i * T);
      const auto run = [&] {
        return linear_scan({.q = q, .k = k, .v = v, .log_decay = decay, .a = a, .b = b, .beta = beta, .bonus = bonus, .scale = 0.125f},
                           {.sequences = {offsets}});
      };
      run();
      const double forward = median_seconds(reps, run), both = median_seconds(reps, [&] {
        Tape tape;
        for (const Tensor& x : {q, k, v, decay, a, b, beta, bonus})
          if (x) tape.watch(x);
        tape.backward(run(), dy);
      });
      const double tokens = static_cast<double>(N * H), C = 16;
      const double f = tokens * operations(p, C, K, V, false), fb = tokens * operations(p, C, K, V, true);
      std::printf("%-22s %3lld %10.2f %15.1f (%2.0f %%) %12.2f %15.1f (%2.0f %%)\n", p.name, static_cast<long long>(B), forward * 1e3,
                  f / forward * 1e-9, 100 * f / forward / peak, both * 1e3, fb / both * 1e-9, 100 * fb / both / peak);
      std::fflush(stdout);
    }
}
