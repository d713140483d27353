// A folder of Hugging Face's, written as GGUF and read again, gives the logits of the reference.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "io/gguf_export.h"
#include "run/export_gguf.h"
#include "run/gguf_vocabulary.h"
#include "run/load.h"

namespace headrace {
namespace {

std::string fixture(const std::string& path) { return std::string(HEADRACE_ROOT) + "/tests/fixtures/" + path; }
struct Scratch {
  std::string path = testing::TempDir() + "headrace_export_" + std::to_string(getpid()) + ".gguf";
  ~Scratch() { std::filesystem::remove(path); }
};
GgufExport exported(const std::string& model) {
  const std::string at = fixture("models/" + model), pth = at + "/model.pth";
  return to_gguf(read_model_config(at),
      open_tensors(std::filesystem::exists(at + "/model.safetensors") || !std::filesystem::exists(pth) ? at : pth), model, at);
}
double off(const std::string& gguf, const std::string& expected) {
  const Loaded m = open_model(gguf);
  const TensorFile want = open_tensors(expected);
  const Tensor &ids = want.at("input_ids"), &logits = want.at("logits");
  const std::vector<int32_t> tokens(ids.data<int64_t>(), ids.data<int64_t>() + ids.count());
  Batch batch;
  batch.add(ids.count());
  const Tensor y = m.model.decoder.logits(m.model.decoder.hidden(tokens, batch));
  double difference = 0, all = 0;
  for (int64_t i = 0; i < logits.count(); ++i) difference += std::pow(y.f32()[i] - logits.f32()[i], 2), all += std::pow(logits.f32()[i], 2);
  return std::sqrt(difference / all);
}

class GgufExported : public testing::TestWithParam<const char*> {};
TEST_P(GgufExported, GivesTheReferencesLogits) {
  Scratch out;
  const GgufExport e = exported(GetParam());
  quantise(e.metadata, e.tensors, out.path, DType::f32);
  EXPECT_LT(off(out.path, fixture(text("models/", GetParam(), "/expected.safetensors"))), 1e-5);
}
INSTANTIATE_TEST_SUITE_P(All, GgufExported,
    testing::Values("llama", "llama_rope3", "llama_yarn", "llama_linear", "llama_bias", "llama_tied_sharded", "mistral", "qwen2",
                                                            "qwen3", "phi3", "gemma", "gpt2", "mamba", "falcon_mamba", "mamba2", "rwkv6", "rwkv7"));

// Names, shapes and metadata are those of llama.cpp's converter, as far as the fixtures made with the gguf package go.
TEST(GgufExport, HasTheTensorsAndKeysOfLlamaCppsConverter) {
  for (const char* model : {"llama", "qwen2", "qwen3", "gpt2", "mamba", "falcon_mamba", "mamba2"}) {
    const GgufFile want(fixture(text("gguf/", model, ".gguf")));
    const GgufExport e = exported(model);
    EXPECT_EQ(e.tensors.size(), want.tensors().size()) << model;
    for (const TensorSource& t : e.tensors) {
      const Tensor* u = want.tensors().find(t.name);
      ASSERT_TRUE(u) << model << " " << t.name;
      EXPECT_EQ(u->shape(), t.shape) << model << " " << t.name;
    }
    for (const auto& [key, value] : want.metadata().all()) {
      if (key.starts_with("general.") || key.starts_with("tokenizer.")) continue;
      ASSERT_TRUE(e.metadata.has(key)) << model << " " << key;
      EXPECT_EQ(e.metadata.find(key)->type, value.type) << model << " " << key;
      if (value.type == GgufType::boolean) continue;
      EXPECT_EQ(e.metadata.number(key), want.metadata().number(key)) << model << " " << key;
    }
  }
}

TEST(GgufExport, AFolderKeepsItsTokenizerAndUnusedRowsAreFilled) {
  Scratch out;
  const std::string in = std::string(HEADRACE_ROOT) + "/assets/stories260K";
  EXPECT_TRUE(quantise_model(in, out.path, DType::q8_0));
  const Loaded a = open_model(in), b = open_model(out.path);
  ASSERT_TRUE(b.tokenizer);
  EXPECT_EQ(b.tokenizer->encode("Once upon a time"), a.tokenizer->encode("Once upon a time"));
  EXPECT_FALSE(quantise_model(fixture("models/llama"), out.path, DType::f16));
  EXPECT_FALSE(open_model(out.path).tokenizer);
  EXPECT_FALSE(quantise_model(fixture("models/rwkv7/model.pth"), out.path, DType::f16));
  GgufMetadata m;
  write_vocabulary({.model = "rwkv", .tokens = {"a"}, .types = {1}}, 3, m);
  EXPECT_EQ(m.strings("tokenizer.ggml.tokens"), (std::vector<std::string>{"a", "[PAD1]", "[PAD2]"}));
}

TEST(GgufExport, AFamilyWithoutAnArchitectureAndSpareTensorsAreRefusedByName) {
  auto message = [](auto f) -> std::string {
    try {
      f();
      return "";
    } catch (const Error& e) {
      return e.what();
    }
  };
  EXPECT_NE(message([] { exported("griffin"); }).find("no architecture for model_type 'recurrent_gemma'"), std::string::npos);
  EXPECT_NE(message([] { exported("rwkv4"); }).find("RWKV 4 and 5"), std::string::npos);
  EXPECT_NE(message([] { exported("gemma2"); }).find("query_pre_attn_scalar"), std::string::npos);
  EXPECT_NE(message([] { exported("gemma3_text"); }).find("llama.cpp knows only"), std::string::npos);
  EXPECT_NE(message([] { exported("rwkv6_fla"); }).find("norm_eps"), std::string::npos);
  TensorFile spare("f");
  spare.add("model.layers.0.extra.weight", Tensor::zeros({2}));
  EXPECT_NE(message([&] { to_gguf(read_model_config(fixture("models/llama")), spare, "n", "f"); }).find("'model.layers.0.extra.weight'"),
      std::string::npos);
}

}  // namespace
}  // namespace headrace
