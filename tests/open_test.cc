// What is opened by name: files that are broken are named, and RWKV's bare checkpoints get their vocabulary.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "error_of.h"
#include "io/safetensors.h"
#include "memory_model.h"
#include "ops/kernels.h"
#include "run/export_gguf.h"
#include "run/load.h"
#include "run/open_tokenizer.h"

namespace headrace {
namespace {

const std::string root = HEADRACE_ROOT;

class Open : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string file(const std::string& name, const std::string& contents) const {
    std::ofstream(folder + "/" + name, std::ios::binary) << contents;
    return folder + "/" + name;
  }
  const std::string folder = testing::TempDir() + "headrace-open-" + std::to_string(::getpid()) + "-" +
                             testing::UnitTest::GetInstance()->current_test_info()->name();
};
TEST_F(Open, AnEmptyFileIsSaidToBeEmpty) {
  for (const char* name : {"a.gguf", "a.pth", "a.safetensors"}) {
    const std::string path = file(name, "");
    EXPECT_EQ(error_of([&] { open_model(path); }), path + ": the file is empty");
  }
  for (const char* name : {"a.json", "a.model", "a.txt", "a.bin"}) {
    const std::string path = file(name, "");
    EXPECT_EQ(error_of([&] { open_tokenizer(path); }), path + ": the file is empty");
  }
  EXPECT_EQ(error_of([&] { GgufFile(folder + "/a.gguf"); }), folder + "/a.gguf: the file is empty");
  file("config.json", ""), file("model.safetensors", "");
  EXPECT_EQ(error_of([&] { open_model(folder); }), folder + "/model.safetensors: the file is empty");
  EXPECT_EQ(error_of([&] { read_model_config(folder); }), folder + "/config.json: empty, wanted JSON");
  file("tokenizer.model", "");
  EXPECT_EQ(error_of([&] { tokenizer_of_folder(folder); }), folder + "/tokenizer.model: the file is empty");
}

TEST_F(Open, TheConfigurationsOfAFolderNameTokensThatEndATurn) {
  std::filesystem::copy(root + "/assets/stories260K/tokenizer.model", folder + "/tokenizer.model");
  const auto ends = [&] {
    const Tokenizer t = *tokenizer_of_folder(folder);
    return std::vector<int>(t.end_of_turn().begin(), t.end_of_turn().end());
  };
  EXPECT_EQ(ends(), std::vector<int>({2}));
  file("config.json", R"({"eos_token_id": 2, "vocab_size": 520})");
  EXPECT_EQ(ends(), std::vector<int>({2}));
  file("generation_config.json", R"({"eos_token_id": [7, 2, 520]})");
  EXPECT_NE(error_of(ends).find("generation_config.json: eos_token_id: wanted ids below 520, found [7,2,520]"), std::string::npos) << error_of(ends);
  file("generation_config.json", R"({"eos_token_id": [7, 2, 519]})");
  EXPECT_EQ(ends(), std::vector<int>({2, 7, 519}));
  file("generation_config.json", R"({"eos_token_id": [7, 2, 9]})");
  file("config.json", R"({"text_config": {"eos_token_id": 11}, "eos_token_id": null})");
  EXPECT_EQ(ends(), std::vector<int>({2, 11, 7, 9}));
  for (const char* wrong : {"-1", "512", "99999999999", "\"2\"", "[2, null]", "{}", "2.5"}) {
    const std::string path = file("config.json", std::string("{\"eos_token_id\": ") + wrong + "}");
    EXPECT_TRUE(error_of(ends).starts_with(path + ": eos_token_id: wanted ids below 512, found ")) << wrong << " " << error_of(ends);
  }
}

TEST_F(Open, ABrokenTokenizerIsNamed) {
  for (const char* name : {"a.json", "a.model", "a.txt", "a.bin"}) {
    const std::string path = file(name, "junkjunk");
    EXPECT_TRUE(error_of([&] { open_tokenizer(path); }).starts_with(path + ":")) << error_of([&] { open_tokenizer(path); });
  }
  file("vocab.json", R"({"a": 0})"), file("merges.txt", "x y\n");
  EXPECT_EQ(error_of([&] { open_tokenizer(folder); }), folder + ": merges.txt:1: x y is not in the vocabulary");
  file("tokenizer.model", "junkjunk");
  EXPECT_TRUE(error_of([&] { open_tokenizer(folder); }).starts_with(folder + "/tokenizer.model: sentencepiece model: "));

  GgufMetadata m("made");
  m.set("general.architecture", std::string("llama"));
  m.set("tokenizer.ggml.model", std::string("runes"));
  m.set("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
  write_gguf(folder + "/a.gguf", m, std::span<const NamedTensor>());
  EXPECT_EQ(error_of([&] { open_tokenizer(folder + "/a.gguf"); }),
            folder + "/a.gguf: tokenizer.ggml.model: runes is not supported; gpt2, llama, t5 and rwkv are");
}

TEST_F(Open, ABareRwkvHasTheVocabularyThatItsEmbeddingHasRowsFor) {
  Tensors t = tensors("models/rwkv7/model.safetensors");
  const std::string path = folder + "/rwkv.safetensors", text = "Hello \xE4\xB8\x96";
  for (int rows : {64, 256, 50277, 65536}) {
    for (const char* name : {"emb.weight", "head.weight"}) t[name] = Tensor::zeros({rows, t[name].dim(1)});
    std::vector<NamedTensor> all;
    for (const auto& [name, tensor] : t) all.push_back({name, tensor});
    write_safetensors(path, all);
    const auto found = open_model(path, {.assets = root + "/assets"}).tokenizer, alone = open_model(path).tokenizer;
    EXPECT_EQ(found.has_value(), rows != 64) << rows;
    EXPECT_EQ(alone.has_value(), rows == 256) << rows << ": the other vocabularies are files";
    if (!found) continue;
    EXPECT_LE(found->size(), rows);
    EXPECT_EQ(found->decode(found->encode(text)), text) << rows;
    EXPECT_EQ(found->encode("Hello").size(), rows == 256 ? 5u : 1u) << rows;
  }
}

TEST_F(Open, AFolderThatHoldsOnlyAPthOpens) {
  const std::string pth = root + "/tests/fixtures/models/rwkv4_pth/model.pth";
  std::filesystem::copy_file(pth, folder + "/RWKV-4-Tiny-20260101.pth");
  const Loaded alone = open_model(pth), found = open_model(folder);
  EXPECT_EQ(found.hash(), alone.hash());
  EXPECT_EQ(found.model.family, alone.model.family);
  std::filesystem::copy_file(pth, folder + "/other.pth");
  EXPECT_EQ(error_of([&] { open_model(folder); }),
            folder + ": wanted a folder with model.safetensors, model.safetensors.index.json, pytorch_model.bin or one .pth, found 2 .pth");
}

TEST_F(Open, TheTokenizerOfABareRwkvIsFoundOrItsAbsenceExplained) {
  Tensors t = tensors("models/rwkv7/model.safetensors");
  const std::string path = folder + "/model.safetensors", assets = root + "/assets";
  auto write = [&](int rows) {
    for (const char* name : {"emb.weight", "head.weight"}) t[name] = Tensor::zeros({rows, t[name].dim(1)});
    std::vector<NamedTensor> all(t.begin(), t.end());
    write_safetensors(path, all);
  };
  write(65536);
  EXPECT_EQ(open_tokenizer(path, assets).encode("Hello").size(), 1u);
  EXPECT_EQ(open_tokenizer(folder, assets).encode("Hello").size(), 1u);
  EXPECT_TRUE(open_model(folder, {.assets = assets}).tokenizer);
  EXPECT_TRUE(quantise_model(path, folder + "/q.gguf", DType::q8_0, assets).tokenizer);
  EXPECT_EQ(open_tokenizer(folder + "/q.gguf").encode("Hello").size(), 1u);
  file("rwkv_vocab_v20230424.txt", "1 'a' 1\n2 'b' 1\n");
  EXPECT_EQ(open_tokenizer(folder, assets).encode("ab"), (std::vector<int>{1, 2}));
  std::filesystem::remove(folder + "/rwkv_vocab_v20230424.txt");
  write(300);
  const std::string why = ": no tokenizer.json, tokenizer.model, or vocab.json with merges.txt beside the weights, and none ships for RWKV with a "
                          "vocabulary of 300 (256, 50277 and 65536 have one)";
  EXPECT_EQ(error_of([&] { open_tokenizer(path, assets); }), path + why);
  EXPECT_EQ(error_of([&] { open_tokenizer(folder, assets); }), folder + why);
}

#ifndef HEADRACE_CUDA
TEST_F(Open, WithoutCudaTheErrorSaysHowToBuildIt) {
  EXPECT_EQ(error_of([] { kernels(Device::cuda); }),
            "cuda: this program was built without CUDA; `make cuda` builds one that has it, build-cuda/headrace");
}
#endif

}  // namespace
}  // namespace headrace
