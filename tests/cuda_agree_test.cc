// The law `agree` for CUDA: what its kernels give = what the definitions give, and models give the CPU's logits. Needs a GPU, so
// it is a program of its own (make test-cuda). Inputs are new at every run; HEADRACE_SEED repeats one, HEADRACE_ROOT is the checkout.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "io/safetensors.h"
#include "nn/state.h"
#include "op_cases.h"
#include "primitive_cases.h"
#include "model_logits.h"
#include "run/load.h"

namespace headrace {
namespace {

const uint64_t seed = [] {
  poison_new_memory(true);
  const char* given = std::getenv("HEADRACE_SEED");
  const uint64_t s = given ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("HEADRACE_SEED=%llu\n", static_cast<unsigned long long>(s));
  return s;
}();

class CudaOpAgree : public testing::TestWithParam<OpCase> {};
TEST_P(CudaOpAgree, CudaGivesWhatTheDefinitionGives) {
  const OpCase& c = GetParam();
  kernels(Device::cuda);
  Random r(seed, Device::cuda), host(seed);
  std::vector<Tensor> got = c.run(r), want = [&] {
    UseNaive naive;
    return c.run(host);
  }();
  const double most = c.kernel == "unary" || c.kernel == "binary" ? 1 : 1e30, least = c.kernel == "linear" ? 1 : 0;
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_TRUE(got[i].device() == Device::cuda);
    // f32 throughout, no TF32, inputs not quantised: so no tolerance above 3e-5.
    EXPECT_TRUE(close(got[i], want[i], std::min(c.tolerance, 3e-5), least, most)) << "output " << i;
  }
}
INSTANTIATE_TEST_SUITE_P(All, CudaOpAgree, testing::ValuesIn(op_cases()), [](const auto& info) { return info.param.name; });

class CudaPrimitiveAgree : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(CudaPrimitiveAgree, CudaGivesWhatTheDefinitionGives) {
  const PrimitiveCase& c = GetParam();
  kernels(Device::cuda);
  auto on_device = [](const Tensors& host) {
    Tensors all;
    for (const Tensor& t : host) all.push_back(moved(t, Device::cuda));
    return all;
  };
  for (bool with_state : {false, true}) {
    if (with_state && !c.carries_state) continue;
    for (const auto& lengths : std::vector<std::vector<int64_t>>{{1}, {67}, {0, 1, 5, 64, 0, 65, 3}, {1, 1, 1, 1}, {200}, {0}}) {
      Ragged cuda(lengths), naive(lengths);
      Random r(seed);
      Tensors w = c.fixed(r), dw = on_device(w);
      for (int round = 0; round < (with_state ? 2 : 1); ++round) {   // the second time from the states of the first
        Tensors x = c.timed(r, cuda.tokens());
        Tensor got = c.run(on_device(x), dw, cuda.slot(with_state)), want = [&] {
          UseNaive definitions;
          return c.run(x, w, naive.slot(with_state));
        }();
        EXPECT_TRUE(close(got, want, c.tolerance)) << text("lengths ", lengths, with_state ? " with" : " without", " state, round ", round);
        for (size_t s = 0; with_state && s < lengths.size(); ++s)
          EXPECT_TRUE(close_states(cuda.states[s], naive.states[s], c.tolerance)) << text("lengths ", lengths, " state ", s, ", round ", round);
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, CudaPrimitiveAgree, testing::ValuesIn(primitive_cases()), case_name);

std::string fixtures() {
  const char* root = std::getenv("HEADRACE_ROOT");
  return std::string(root ? root : ".") + "/tests/fixtures/";
}
// Every model among the fixtures, of every family.
std::vector<std::string> models() {
  std::vector<std::string> all;
  std::error_code none;
  for (const auto& e : std::filesystem::directory_iterator(fixtures() + "models", none))
    if (e.is_directory()) {
      const std::string name = "models/" + e.path().filename().string();
      const bool folder = std::filesystem::exists(e.path() / "config.json", none) || std::filesystem::exists(e.path() / "model.safetensors", none);
      all.push_back(folder ? name : name + "/model.pth");
    }
  for (const auto& e : std::filesystem::directory_iterator(fixtures() + "gguf", none))
    if (e.path().extension() == ".gguf") all.push_back("gguf/" + e.path().filename().string());
  std::sort(all.begin(), all.end());
  return all;
}
Tensor logits(const Model& m, std::span<const int32_t> ids, int64_t step) {
  State state;
  return logits_in_steps(m.decoder, ids, &state, step);
}

class CudaModel : public testing::TestWithParam<std::string> {};
TEST_P(CudaModel, GivesTheLogitsOfTheDefinitionsWholeInChunksAndTokenByToken) {
  const std::string path = fixtures() + GetParam();
  std::vector<int32_t> ids;
  Random r(seed);
  for (int i = 0; i < 70; ++i) ids.push_back(static_cast<int32_t>(r.below(64)));       // over a page, over a short window
  const Loaded here = open_model(path, {.device = Device::cpu, .pack = false}), there = open_model(path, {.device = Device::cuda});
  Tensor want = [&] {
    UseNaive definitions;
    return logits(here.model, ids, 70);
  }();
  for (int64_t step : {70, 32, 1}) {
    const double error = relative_error(logits(there.model, ids, step), want);
    EXPECT_LT(error, 1e-4) << "in steps of " << step;
    std::printf("  relative error of the logits in steps of %2d: %.1e\n", static_cast<int>(step), error);
  }
}
INSTANTIATE_TEST_SUITE_P(All, CudaModel, testing::ValuesIn(models()), [](const auto& info) {
  std::string name;
  for (char c : info.param) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

TEST(CudaModels, AreFound) { EXPECT_FALSE(models().empty()) << "nothing in " << fixtures() << ": run in the checkout, or set HEADRACE_ROOT"; }

}  // namespace
}  // namespace headrace
