// The law `agree` for CUDA: what its kernels give = what the definitions give, and models give the CPU's logits. What has no kernel
// fails by name. Needs a GPU, so it is a program of its own (make test-cuda). Inputs are new at every run; HEADRACE_SEED repeats one,
// HEADRACE_ROOT is the checkout.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>

#include "io/safetensors.h"
#include "kernel_entries.h"
#include "mixers/catalogue.h"
#include "nn/state.h"
#include "op_cases.h"
#include "ops/complex.h"
#include "ops/tape.h"
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

const std::string device = "cuda";
// Kernels that CUDA has not: the gradients, and what only the CPU needs. Held to the table, both ways.
const std::set<std::string> without_kernel{
    "unary_backward", "norm_backward", "softmax_backward", "entmax_backward", "embedding_backward", "attention_backward", "linear_scan_backward",
    "normalise_backward", "diag_scan_backward", "cell_scan_backward", "log_linear", "memory_scan", "memory_scan_backward", "short_conv_backward",
    "modal_scan_backward", "cross_entropy", "cross_entropy_backward", "dropout", "square_sum", "adam_step", "pack", "peak"};
// Cases whose options CUDA's kernel does not take. Held to what it says, both ways.
const std::set<std::string> without_options{"Aft", "AftWhole", "AftFar", "AftFarWhole"};

// What became of the cases that ran; said at the end, so that refusals are seen.
struct Tally : testing::Environment {
  int agreed = 0;
  std::vector<std::string> no_kernel, no_options;
  void TearDown() override {
    std::printf("%d cases ran on cuda; without a kernel: %zu, without an option: %zu\n", agreed, no_kernel.size(), no_options.size());
    for (const auto* refused : {&no_kernel, &no_options})
      for (const std::string& name : *refused) std::printf("  %s\n", name.c_str());
  }
};
Tally& tally = *static_cast<Tally*>(testing::AddGlobalTestEnvironment(new Tally));

// What f says when it fails; empty when it does not.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}
// Calls f where the table has the case's kernel and that takes its options; false where a refusal was said by name.
template <class F>
bool runs(const std::string& name, const std::string& kernel, F&& f) {
  const auto entries = kernel_entries(kernels(Device::cuda));
  if (!kernel.empty() && !entries.at(kernel)) {
    EXPECT_EQ(error_of(f), text(device, " has no kernel '", kernel, "'"));
    tally.no_kernel.push_back(name);
    return false;
  }
  if (without_options.contains(name)) {
    const std::string said = error_of(f);
    EXPECT_NE(said.find(device), std::string::npos) << said;
    tally.no_options.push_back(name);
    return false;
  }
  f();
  ++tally.agreed;
  return true;
}

TEST(CudaTable, LacksTheGradientsAndNothingElse) {
  const auto entries = kernel_entries(kernels(Device::cuda));
  EXPECT_EQ(entries.size(), kernel_count);
  std::set<std::string> missing;
  for (const auto& [name, there] : entries)
    if (!there) missing.insert(name);
  EXPECT_EQ(missing, without_kernel);
}
TEST(CudaTable, OptionsThatAreRefusedAreThoseOfCases) {
  std::set<std::string> names;
  for (const OpCase& c : op_cases()) names.insert(c.name);
  for (const PrimitiveCase& c : primitive_cases()) names.insert(c.name);
  for (const std::string& name : without_options) EXPECT_TRUE(names.contains(name)) << name;
}
TEST(CudaTable, GradientsFailByName) {
  kernels(Device::cuda);
  Random r(seed, Device::cuda);
  const std::vector<int64_t> offsets{0, 5};
  const Slot slot{.sequences = {offsets}, .values = {}};
  const auto gradient = [&](const Tensor& x, const std::function<Tensor()>& f) {
    return error_of([&] {
      Tape tape;
      tape.watch(x);
      const Tensor y = f();
      tape.backward(y, Tensor::zeros(y.shape(), DType::f32, Device::cuda));
    });
  };
  const Tensor x = r.whole({5, 4}), matrix = r.whole({4, 4});
  EXPECT_EQ(gradient(x, [&] { return silu(x); }), "cuda has no kernel 'unary_backward'");
  EXPECT_EQ(gradient(x, [&] { return softmax(x); }), "cuda has no kernel 'softmax_backward'");
  EXPECT_EQ(gradient(x, [&] { return token_shift(x, slot); }), "cuda has no kernel 'short_conv_backward'");
  EXPECT_EQ(gradient(x, [&] { return lstm_scan(x, r.whole({4, 1}), {}, slot); }), "cuda: the kernel 'cell_scan' saves nothing for gradients");
  EXPECT_EQ(gradient(x, [&] { return modal_filter({x, x}, {x, x}, 3); }), "cuda: the kernel 'modal_filter' gives no gradients");
  EXPECT_EQ(gradient(x, [&] { return cauchy({x, x}, {x, x}, 8).re; }), "cuda: the kernel 'cauchy' gives no gradients");
  EXPECT_EQ(gradient(x, [&] { return inverse_fourier({x.slice(1, 0, 3), x.slice(1, 0, 3)}, 4); }),
            "cuda: the kernel 'inverse_fourier' gives no gradients");
  EXPECT_EQ(gradient(matrix, [&] { return long_conv(x, {.filter = matrix}, slot); }), "cuda: the kernel 'long_conv' gives no gradient of filters");
}

class CudaOpAgree : public testing::TestWithParam<OpCase> {};
TEST_P(CudaOpAgree, CudaGivesWhatTheDefinitionGives) {
  const OpCase& c = GetParam();
  kernels(Device::cuda);
  Random r(seed, Device::cuda), host(seed);
  std::vector<Tensor> got;
  if (!runs(c.name, c.kernel, [&] { got = c.run(r); })) return;
  const std::vector<Tensor> want = [&] {
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

Tensors on_device(const Tensors& host) {
  Tensors all;
  for (const Tensor& t : host) all.push_back(moved(t, Device::cuda));
  return all;
}

class CudaPrimitiveAgree : public testing::TestWithParam<PrimitiveCase> {};
TEST_P(CudaPrimitiveAgree, CudaGivesWhatTheDefinitionGives) {
  const PrimitiveCase& c = GetParam();
  kernels(Device::cuda);
  // Exponents are kept in double: what f32 would lose in them, which a case's own tolerance allows, is not allowed here.
  const double tolerance = std::min(c.tolerance, 3e-5);
  const auto whole = [&] {
    Ragged batch({3});
    Random r(seed);
    const Tensors w = c.fixed(r), x = c.timed(r, 3);
    return c.run(on_device(x), on_device(w), batch.slot(false));
  };
  if (!runs(c.name, c.kernel, whole)) return;
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
        EXPECT_TRUE(close(got, want, tolerance)) << text("lengths ", lengths, with_state ? " with" : " without", " state, round ", round);
        for (size_t s = 0; with_state && s < lengths.size(); ++s)
          EXPECT_TRUE(close_states(cuda.states[s], naive.states[s], tolerance)) << text("lengths ", lengths, " state ", s, ", round ", round);
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

// Logits on the device, in steps, against those of the definitions.
void hold_logits(const Model& there, const Tensor& want, std::span<const int32_t> ids) {
  for (int64_t step : {70, 32, 1}) {
    const double error = relative_error(logits(there, ids, step), want);
    EXPECT_LT(error, 1e-4) << "in steps of " << step;
    std::printf("  relative error of the logits in steps of %2d: %.1e\n", static_cast<int>(step), error);
  }
}
std::vector<int32_t> random_ids(int64_t vocab) {
  std::vector<int32_t> ids;
  Random r(seed);
  for (int i = 0; i < 70; ++i) ids.push_back(static_cast<int32_t>(r.below(vocab)));    // over a page, over a short window
  return ids;
}

class CudaModel : public testing::TestWithParam<std::string> {};
TEST_P(CudaModel, GivesTheLogitsOfTheDefinitionsWholeInChunksAndTokenByToken) {
  const std::string path = fixtures() + GetParam();
  const std::vector<int32_t> ids = random_ids(64);
  const Loaded here = open_model(path, {.device = Device::cpu, .pack = false}), there = open_model(path, {.device = Device::cuda});
  const Tensor want = [&] {
    UseNaive definitions;
    return logits(here.model, ids, 70);
  }();
  hold_logits(there.model, want, ids);
}
INSTANTIATE_TEST_SUITE_P(All, CudaModel, testing::ValuesIn(models()), [](const auto& info) {
  std::string name;
  for (char c : info.param) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

// Every mixer in a stack, with new parameters. What it derives from them is of the definitions too.
class CudaMixer : public testing::TestWithParam<std::string> {};
TEST_P(CudaMixer, GivesTheLogitsOfTheDefinitionsWhereItSaysThatItRuns) {
  const std::string name = GetParam(), stack = "d=32 vocab=17 2*(" + name + " + mlp(hidden=32)), " + name;
  const std::vector<int32_t> ids = random_ids(17);
  if (std::string(find_mixer(name)->doc->devices).find(device) == std::string::npos) {
    const Loaded there = open_blueprint(stack, {.device = Device::cuda, .seed = seed});
    EXPECT_NE(error_of([&] { hold_logits(there.model, Tensor::zeros({17, 17}), ids); }), "") << "it runs, so it should say so";
    tally.no_kernel.push_back(name);
    return;
  }
  const Tensor want = [&] {
    UseNaive definitions;
    return logits(open_blueprint(stack, {.pack = false, .seed = seed, .jitter = 0.05}).model, ids, 70);
  }();
  hold_logits(open_blueprint(stack, {.device = Device::cuda, .seed = seed, .jitter = 0.05}).model, want, ids);
}
std::vector<std::string> all_mixers() {
  std::vector<std::string> names;
  for (const MixerInfo& m : mixers()) names.push_back(m.doc->name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, CudaMixer, testing::ValuesIn(all_mixers()), [](const auto& info) { return info.param; });

TEST(CudaModels, AreFound) { EXPECT_FALSE(models().empty()) << "nothing in " << fixtures() << ": run in the checkout, or set HEADRACE_ROOT"; }

}  // namespace
}  // namespace headrace
