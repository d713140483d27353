// What fraction of the machine do the weight products reach? For each dtype: decode (one row, a matrix larger than the
// caches: bytes per second against a plain read of the same memory) and prefill (512 rows: operations per second against
// the peak of the instruction the product is made of). Usage: build/bench_products [threads] [repetitions] [avx2|avx512|amx]
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/parallel.h"
#include "cpu/dot.h"
#include "ops/kernels.h"
#include "ops/ops.h"
#include "measure.h"
#include "tensor/blocks.h"

using namespace headrace;

int main(int argc, char** argv) {
  if (argc > 1) set_thread_count(std::atoi(argv[1]));
  const int reps = argc > 2 ? std::atoi(argv[2]) : 5;
  if (argc > 3) cpu::force_dots(argv[3]);
  const int64_t N = 16384, K = 2048, small = 1536;
  const auto [bandwidth, f32, int8] = kernels(Device::cpu).peak();
  std::printf("%s   threads %d   read %.1f GB/s   int8 %.0f GOP/s   f32 %.0f GFLOP/s\n", kernels(Device::cpu).instructions(), thread_count(),
      bandwidth * 1e-9, int8 * 1e-9, f32 * 1e-9);
  std::printf("%-8s %22s %26s\n", "dtype", "decode GB/s (of read)", "prefill GOP/s (of peak)");
  Tensor big = random({N, K}, 1), x1 = random({1, K}, 2), x = random({512, K}, 3);
  for (DType t : {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q4_k,
                  DType::q5_k, DType::q6_k, DType::q3_k, DType::q2_k, DType::iq4_nl, DType::iq4_xs}) {
    Tensor w = Tensor::empty({N, K}, t);
    parallel(N, 64, [&](int64_t a, int64_t b, int) {
      for (int64_t i = a; i < b; ++i) quantise_row(t, big.f32() + i * K, w.data<std::byte>() + bytes_of(t, i * K), K);
    });
    Tensor packed = cpu::pack(w), few = cpu::pack(w.slice(0, 0, small));
    double decode = median_seconds(reps * 3, [&] { linear(x1, packed); });
    double prefill = median_seconds(reps, [&] { linear(x, few); });
    double rate = static_cast<double>(packed.storage()->bytes) / decode, ops = 2.0 * 512 * small * K / prefill;
    std::printf("%-8s %12.1f (%3.0f %%) %16.0f (%3.0f %%)\n", name(t), rate * 1e-9, 100 * rate / bandwidth, ops * 1e-9,
                100 * ops / (t == DType::f32 || t == DType::f16 || t == DType::bf16 ? f32 : int8));
    std::fflush(stdout);
  }
}
