// Models in GGUF give the logits of the reference implementation, and broken metadata is named.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "error_of.h"
#include "io/gguf_dialect.h"
#include "io/safetensors.h"
#include "laws.h"
#include "model_logits.h"
#include "run/load.h"

namespace headrace {
namespace {

std::string fixture(const std::string& name) { return std::string(HEADRACE_ROOT) + "/tests/fixtures/gguf/" + name; }

Tensor logits_of(const Loaded& m, const Tensor& ids, int64_t chunk) {
  State state;
  return logits_in_steps(m.model.decoder, token_ids(ids), &state, chunk);
}

class GgufModels : public testing::TestWithParam<const char*> {};
TEST_P(GgufModels, GiveTheLogitsOfTheReferenceWholeAndInChunks) {
  const std::string name = GetParam();
  SafetensorsFile expected(fixture(name + ".expected.safetensors"));
  Tensor ids = expected.tensor("input_ids"), want = expected.tensor("logits").view({ids.count(), expected.tensor("logits").dim(-1)});
  Loaded m = open_model(fixture(name + ".gguf"), {.pack = false});   // the definitions: weights as they lie in the file
  for (int64_t chunk : {ids.count(), int64_t{5}}) {
    UseNaive definitions;
    const Tensor got = logits_of(m, ids, chunk);
    EXPECT_LT(relative_error(got, want), 1e-4) << name << " in chunks of " << chunk;
    EXPECT_EQ(likeliest_of(got, want.dim(1)), likeliest_of(want, want.dim(1))) << name << " in chunks of " << chunk;
  }
  // The CPU's kernels: 8 bits for 32 inputs of a block-quantised product.
  Loaded packed = open_model(fixture(name + ".gguf"));
  const Tensor got = logits_of(packed, ids, ids.count());
  const bool blocks = name.find("_q") != name.npos;
  EXPECT_LT(relative_error(got, want), blocks ? 3e-2 : 1e-4) << name;
  if (!blocks) { EXPECT_EQ(likeliest_of(got, want.dim(1)), likeliest_of(want, want.dim(1))) << name; }
}
TEST_P(GgufModels, ArePlannedWithNothingLoaded) {
  const size_t before = allocated_bytes(Device::cpu);
  Loaded plan = open_model(fixture(std::string(GetParam()) + ".gguf"), {.device = Device::meta});
  EXPECT_LT(allocated_bytes(Device::cpu), before + 1);
  EXPECT_EQ(plan.model.decoder.embed.device(), Device::meta);
  EXPECT_TRUE(plan.tokenizer.has_value());
  Loaded real = open_model(fixture(std::string(GetParam()) + ".gguf"));
  ASSERT_EQ(plan.source->parameters.size(), real.source->parameters.size());
  for (size_t i = 0; i < real.source->parameters.size(); ++i) EXPECT_EQ(plan.source->parameters[i].shape, real.source->parameters[i].shape);
}
INSTANTIATE_TEST_SUITE_P(All, GgufModels,
    testing::Values("llama", "llama_rope3_bf16", "llama_q8_0", "llama_q4_k", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "mamba",
                                                            "falcon_mamba", "mamba2", "rwkv6_bf16", "rwkv7_f16"),
                         [](const auto& info) { return info.param; });

TEST(GgufDialect, OurOwnArchitectureHoldsAConfigJsonAndNamesAsTheyAre) {
  const std::string folder = std::string(HEADRACE_ROOT) + "/tests/fixtures/models/griffin";
  const std::string path = testing::TempDir() + "/headrace_own_" + std::to_string(getpid()) + ".gguf";
  SafetensorsFile expected(folder + "/expected.safetensors");
  const Tensor ids = expected.tensor("input_ids");
  auto open_with = [&](const std::string& config) {
    GgufMetadata metadata("own.gguf");
    metadata.add("general.architecture", "headrace");
    metadata.add("headrace.config", config);
    write_gguf(path, metadata, read_safetensors_folder(folder).tensors());
    return open_model(path);
  };
  Tensor got = logits_of(open_with(to_json(read_model_config(folder))), ids, ids.count()), want = logits_of(open_model(folder), ids, ids.count());
  EXPECT_TRUE(same_bits(got, want));
  for (const char* wrong : {"", "[1]", "{\"model_type\": 3}"}) EXPECT_THROW(open_with(wrong), Error) << wrong;
  unlink(path.c_str());
}

// The llama fixture with its metadata changed by `change`, opened.
std::string error_with(const std::function<void(GgufMetadata&)>& change) {
  GgufFile file(fixture("llama.gguf"));
  GgufMetadata metadata("llama.gguf");
  for (const auto& [key, value] : file.metadata().all()) metadata.add(key, value);
  change(metadata);
  const std::string path = testing::TempDir() + "/headrace_gguf_" + std::to_string(getpid()) + ".gguf";
  write_gguf(path, metadata, file.tensors().tensors());
  const std::string message = error_of([&] { open_model(path); });
  unlink(path.c_str());
  EXPECT_EQ(message.find('\n'), message.npos);
  EXPECT_TRUE(message.starts_with(path)) << message;
  return message;
}
testing::AssertionResult says(const std::string& message, std::initializer_list<const char*> words) {
  for (const char* w : words)
    if (message.find(w) == message.npos) return testing::AssertionFailure() << "'" << message << "' does not say '" << w << "'";
  return testing::AssertionSuccess();
}
GgufMetadata without(const GgufMetadata& m, const std::string& gone) {
  GgufMetadata rest(m.path());
  for (const auto& [key, value] : m.all())
    if (key != gone) rest.add(key, value);
  return rest;
}

TEST(GgufDialect, ErrorsNameFileKeyWantedAndFound) {
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("general.architecture", "llaba"); }),
      {"general.architecture", "wanted one of llama", "'llaba'"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("general.architecture", uint32_t{7}); }),
      {"general.architecture", "wanted a string", "found u32"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m = without(m, "general.architecture"); }), {"general.architecture"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m = without(m, "llama.block_count"); }), {"llama.block_count"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.block_count", "three"); }),
      {"llama.block_count", "wanted an integer", "found string"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.attention.head_count", uint32_t{0}); }), {"llama.attention.head_count", "found 0"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.attention.head_count_kv", std::vector<uint32_t>{2, 1, 2}); }),
                   {"llama.attention.head_count_kv", "same number", "[2,1,2]"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.embedding_length", uint32_t{4000000000u}); }), {"hidden_size"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.block_count", uint32_t{9}); }), {"missing tensors", "model.layers.2"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.block_count", uint32_t{1}); }), {"spare tensors", "model.layers.1"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.feed_forward_length", uint32_t{17}); }), {"gate_proj", "wanted [17,"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("llama.rope.scaling.type", "cubic"); }), {"rope.scaling.type", "'cubic'"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("tokenizer.ggml.bos_token_id", uint32_t{64}); }), {"bos_token_id", "found 64"}));
  EXPECT_TRUE(says(error_with([](GgufMetadata& m) { m.set("tokenizer.ggml.scores", std::vector<float>{1, 2}); }),
      {"tokenizer.ggml.scores", "found 2"}));
}

}  // namespace
}  // namespace headrace
