// Scaffold: logits only; the verbs come with the run room.
#include <cstdio>
#include <cstring>
#include <string>

#include "base/error.h"
#include "io/safetensors.h"
#include "nn/state.h"
#include "run/load.h"

using namespace headrace;

int main(int argc, char** argv) try {
  std::string model = argv[2], tokens, out, form = "whole";
  for (int i = 3; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--tokens")) tokens = argv[i + 1];
    if (!std::strcmp(argv[i], "--out")) out = argv[i + 1];
    if (!std::strcmp(argv[i], "--form")) form = argv[i + 1];
  }
  Loaded m = open_model(model);
  Tensor ids = SafetensorsFile(tokens).tensor("input_ids");
  int64_t T = ids.dim(-1), B = ids.count() / T;
  const Decoder& d = m.model.decoder;
  std::vector<int32_t> all(ids.data<int64_t>(), ids.data<int64_t>() + B * T);
  Tensor logits = Tensor::empty({B, T, d.vocab});
  for (int64_t b = 0; b < B; ++b) {
    State state;
    int64_t step = form == "whole" ? T : form == "chunk" ? 32 : 1;
    for (int64_t t = 0; t < T; t += step) {
      int64_t n = std::min(step, T - t);
      Batch batch;
      batch.add(n, form == "whole" ? nullptr : &state);
      Tensor y = d.logits(d.hidden({all.data() + b * T + t, static_cast<size_t>(n)}, batch));
      std::memcpy(logits.f32() + (b * T + t) * d.vocab, y.f32(), y.bytes());
    }
  }
  std::vector<NamedTensor> result{{"logits", logits}};
  write_safetensors(out, result);
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "headrace: %s\n", e.what());
  return 1;
}
