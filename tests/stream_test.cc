// The laws stream and parity on every model of tests/fixtures/models: token by token = in chunks = whole = the logits
// of the reference implementation, by the CPU's kernels and by the definitions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/parallel.h"
#include "io/safetensors.h"
#include "model_logits.h"
#include "ops/kernels.h"
#include "run/load.h"

namespace headrace {
namespace {

constexpr double tolerance = 1e-4;                 // norm of the difference over the norm of the reference

// Name and path: each folder, and each .pth beside it. A folder whose family nobody knows fails when it is opened.
std::map<std::string, std::filesystem::path> models() {
  std::map<std::string, std::filesystem::path> found;
  for (const auto& e : std::filesystem::directory_iterator(HEADRACE_ROOT "/tests/fixtures/models")) {
    if (!e.is_directory()) continue;
    const std::string name = e.path().filename();
    if (exists(e.path() / "config.json") || exists(e.path() / "model.safetensors")) found[name] = e.path();
    if (exists(e.path() / "model.pth")) found[name.ends_with("_pth") ? name : name + "_pth"] = e.path() / "model.pth";
  }
  return found;
}
std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, path] : models()) all.push_back(name);
  return all;
}
class Stream : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    set_thread_count(1);                           // tiny models are faster on one
    const std::filesystem::path path = models().at(GetParam());
    SafetensorsFile expected((is_directory(path) ? path : path.parent_path()) / "expected.safetensors");
    tokens = token_ids(expected.tensor("input_ids")), shorter = token_ids(expected.tensor("input_ids_short"));
    generated = token_ids(expected.tensor("generated"));
    want = expected.tensor("logits");
  }
  static Loaded opened(size_t context, bool pack = true) {
    return open_model(models().at(GetParam()), {.context = static_cast<int64_t>(context), .pack = pack});
  }
  void holds(const Loaded& m, std::vector<int64_t> chunks) const {
    const Decoder& d = m.model.decoder;
    const auto all = static_cast<int64_t>(tokens.size());
    ASSERT_EQ(want.count(), all * d.vocab);
    const Tensor whole = logits_in_steps(d, tokens, nullptr, all);
    EXPECT_LT(relative_error(whole, want), tolerance) << "whole";
    EXPECT_EQ(likeliest_of(whole, d.vocab), likeliest_of(want, d.vocab)) << "whole";
    for (int64_t chunk : chunks) {
      State state;
      const Tensor y = logits_in_steps(d, tokens, &state, chunk);
      EXPECT_LT(relative_error(y, want), tolerance) << "in chunks of " << chunk;
      EXPECT_LT(relative_error(y, whole), tolerance) << "in chunks of " << chunk;
      EXPECT_EQ(likeliest_of(y, d.vocab), likeliest_of(want, d.vocab)) << "in chunks of " << chunk;
      EXPECT_EQ(state.tokens, all);
    }
  }
  std::vector<int32_t> tokens, shorter, generated;
  Tensor want;
};

TEST_P(Stream, GivesTheReferenceLogitsWholeInChunksAndStepByStep) { holds(opened(tokens.size()), {64, 32, 7, 1}); }

TEST_P(Stream, GivesTheReferenceLogitsByTheDefinitionsToo) {
  Loaded m = opened(tokens.size(), false);
  UseNaive definitions;
  holds(m, {33, 1});
}

TEST_P(Stream, GoesOnGreedilyAsTheReferenceDid) {
  Loaded m = opened(shorter.size() + generated.size());
  const Decoder& d = m.model.decoder;
  State state;
  std::vector<int32_t> told{likeliest_of(logits_in_steps(d, shorter, &state, static_cast<int64_t>(shorter.size())), d.vocab).back()};
  while (told.size() < generated.size()) told.push_back(likeliest_of(logits_in_steps(d, std::span(told).last(1), &state, 1), d.vocab).back());
  EXPECT_EQ(told, generated);
}

INSTANTIATE_TEST_SUITE_P(Models, Stream, testing::ValuesIn(names()), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace headrace
