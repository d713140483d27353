// How far are the logits from those of the reference implementation? Every model of tests/fixtures (expected logits from transformers,
// flash-linear-attention and the rwkv package: see the README.md beside them), run whole, in chunks of 7 and token by token, by the kernels
// that `headrace run` uses: the worst relative error of the three (norm of the difference over norm of the reference), and whether the best
// token is the same everywhere. Files of block-quantised weights stand twice: kernels round their inputs to 8 bits, the definitions do not.
// bench_parity [FIXTURES]. Fails where an error is above 1e-4 (of kernels with 8-bit inputs: 3e-2).
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "../tests/model_logits.h"
#include "base/error.h"
#include "io/safetensors.h"
#include "ops/kernels.h"
#include "run/load.h"

using namespace headrace;
namespace fs = std::filesystem;

namespace {

struct Row { double worst = 0; bool same_best = true; };

Row measured(const fs::path& model, const fs::path& expected, bool pack) {
  const SafetensorsFile file(expected);
  const std::vector<int32_t> tokens = token_ids(file.tensor("input_ids"));
  const Loaded m = open_model(model, {.context = static_cast<int64_t>(tokens.size()), .pack = pack});
  const Decoder& d = m.model.decoder;
  const auto all = static_cast<int64_t>(tokens.size());
  const Tensor want = file.tensor("logits").view({all, d.vocab});
  Row r;
  for (int64_t step : {all, int64_t{7}, int64_t{1}}) {
    State state;
    const Tensor y = logits_in_steps(d, tokens, step == all ? nullptr : &state, step);
    r.worst = std::max(r.worst, relative_error(y, want));
    r.same_best = r.same_best && likeliest_of(y, d.vocab) == likeliest_of(want, d.vocab);
  }
  return r;
}

bool holds(const std::string& name, const char* by, const Row& r, double most) {
  const bool good = r.worst < most && (r.same_best || most > 1e-4);
  std::printf("| %s | %s | %.1e | %s |%s\n", name.c_str(), by, r.worst, r.same_best ? "yes" : "no", good ? "" : " too far");
  std::fflush(stdout);
  return good;
}

}  // namespace

int main(int argc, char** argv) try {
  const fs::path root = argc > 1 ? argv[1] : "tests/fixtures";
  std::map<std::string, std::pair<fs::path, fs::path>> found;      // name -> model, expected logits
  for (const auto& e : fs::directory_iterator(root / "models")) {
    if (!e.is_directory()) continue;
    const std::string name = e.path().filename();
    const fs::path expected = e.path() / "expected.safetensors";
    if (exists(e.path() / "config.json") || exists(e.path() / "model.safetensors")) found[name] = {e.path(), expected};
    if (exists(e.path() / "model.pth")) found[name.ends_with("_pth") ? name : name + "_pth"] = {e.path() / "model.pth", expected};
  }
  for (const auto& e : fs::directory_iterator(root / "gguf"))
    if (e.path().extension() == ".gguf") {
      const fs::path expected = fs::path(e.path()).replace_extension(".expected.safetensors");
      if (exists(expected)) found[e.path().filename()] = {e.path(), expected};
    }
  std::printf("| model | by | worst relative error | best token equal |\n|---|---|---|---|\n");
  bool good = true;
  for (const auto& [name, files] : found) {
    const bool blocks = name.find("_q") != name.npos;
    if (blocks) {
      UseNaive definitions;
      good &= holds(name, "the definitions", measured(files.first, files.second, false), 1e-4);
    }
    good &= holds(name, "kernels", measured(files.first, files.second, true), blocks ? 3e-2 : 1e-4);
  }
  return good ? 0 : 1;
} catch (const Error& e) {
  std::fprintf(stderr, "parity: %s\n", e.what());
  return 1;
}
