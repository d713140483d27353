// How fast is attention on this CPU, forward, and forward and backward? B sequences of T tokens, H = 8 heads of 64, causal; then a
// window, the merged pattern of Sparse Transformer and entmax. bench_attention [T]; bench/attention_torch.py does the same by torch.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/parallel.h"
#include "measure.h"
#include "ops/ops.h"
#include "ops/sequence.h"
#include "ops/tape.h"

using namespace headrace;

int main(int argc, char** argv) {
  const int64_t T = argc > 1 ? std::atoll(argv[1]) : 2048, H = 8, K = 64;
  std::printf("T = %ld, H = %ld, K = %ld, %d threads; ms\n%3s %-10s %10s %20s\n", T, H, K, thread_count(), "B", "", "forward", "forward + backward");
  const Attention causal, window{.window = 128};
  Attention merged, entmax;
  merged.pattern = std::make_shared<const Pattern>(Pattern{.kind = Pattern::Kind::merged, .block = 128});
  entmax.alpha = Tensor::from({1.5f, 1.5f, 1.5f, 1.5f, 1.25f, 1.25f, 1.25f, 1.25f});
  struct Case { const char* name; const Attention& o; int64_t most; };
  for (int64_t B : {1, 8}) {
    const Tensor q = random_normal({B * T, H, K}, 1), k = random_normal({B * T, H, K}, 2), v = random_normal({B * T, H, K}, 3),
                 dy = random_normal({B * T, H, K}, 4);
    std::vector<int64_t> offsets;
    for (int64_t b = 0; b <= B; ++b) offsets.push_back(b * T);
    const Slot slot{.sequences = {offsets}, .values = {}};
    for (const Case& c : {Case{"causal", causal, 8}, Case{"window", window, 8}, Case{"merged", merged, 1}, Case{"entmax", entmax, 1}}) {
      if (B > c.most) continue;
      const double forward = least_ms(5, [&] { (void)attention(q, k, v, c.o, slot); });
      const double both = least_ms(5, [&] {
        Tape tape;
        tape.watch(q), tape.watch(k), tape.watch(v);
        tape.backward(attention(q, k, v, c.o, slot), dy);
      });
      std::printf("%3ld %-10s %10.1f %20.1f\n", B, c.name, forward, both);
    }
  }
}
