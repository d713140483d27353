// How long is a step of training, forward, backward and AdamW, of a blueprint on packed sequences of one length? For bench/versus_torch_train.py.
//   bench_training --blueprint 'd=128 vocab=8192  2*(attn(heads=4) + swiglu)' --tokens 256 --batch 8 --threads 2 --reps 9
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "measure.h"
#include "ops/meter.h"
#include "train/trainer.h"

int main(int argc, char** argv) try {
  using namespace headrace;
  std::string blueprint = "d=128 vocab=8192  2*(attn(heads=4) + swiglu)";
  int64_t tokens = 256, batch = 8, reps = 9, targets = 0;   // targets: of a sequence, in its second half; 0: all
  std::vector<std::string> sets;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--blueprint") blueprint = value;
    else if (name == "--tokens") tokens = std::stoll(value);
    else if (name == "--batch") batch = std::stoll(value);
    else if (name == "--targets") targets = std::stoll(value);
    else if (name == "--reps") reps = std::stoll(value);
    else if (name == "--threads") set_thread_count(std::stoi(value));
    else if (name == "--set") sets.push_back(value);
    else fail("unknown option ", name);
  }
  const Recipe recipe = parse_recipe(text("[model]\nblueprint='x'\n[data]\ntrain='x'\nlength=", tokens, "\nbatch=", batch, "\n"), "bench", sets);
  Trainer t(new_learner(blueprint, 2, 1), recipe);
  const int vocab = t.learner().bind().decoder.vocab;
  const Philox random{.seed = 1};
  Packed p;
  for (int64_t s = 0; s < batch; ++s) p.lengths.push_back(tokens), p.continues.push_back(-1), p.lanes.push_back(-1);
  for (int64_t i = 0; i < batch * tokens; ++i) {
    p.ids.push_back(static_cast<int32_t>(random.bits(static_cast<uint64_t>(i)) % static_cast<uint32_t>(vocab)));
    const int64_t at = i % tokens, each = targets > 0 ? tokens / 2 / targets : 1;
    const bool asked = targets == 0 || (at >= tokens / 2 && at % each == 0);
    p.targets.push_back(asked ? static_cast<int32_t>(random.bits(static_cast<uint64_t>(i) + (1 << 24)) % static_cast<uint32_t>(vocab)) : -1);
  }
  double flops = 0;
  {
    Meter meter;
    t.step({&p, 1});
    flops = meter.flops();
  }
  std::vector<double> ms;
  for (int64_t i = 0; i < reps + 1; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    t.step({&p, 1});
    if (i > 0) ms.push_back(1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(ms.begin(), ms.end());
  std::printf("{\"step_ms\": %.3f, \"best_ms\": %.3f, \"flops\": %.4g, \"tokens_per_second\": %.0f}\n", ms[ms.size() / 2], ms[0], flops,
              1e3 * static_cast<double>(batch * tokens) / ms[ms.size() / 2]);
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_training: %s\n", e.what());
  return 1;
}
