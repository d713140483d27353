// A folder of Hugging Face's, written as GGUF and read again, gives the logits of the reference.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/gguf_export.h"
#include "io/safetensors.h"
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
std::string path_of(const std::string& model) {
  const std::string at = fixture("models/" + model), pth = at + "/model.pth";
  return std::filesystem::exists(at + "/model.safetensors") || !std::filesystem::exists(pth) ? at : pth;
}
GgufExport exported(const std::string& model) {
  const std::string at = fixture("models/" + model);
  return to_gguf(read_model_config(at), open_tensors(path_of(model)), model, at);
}
double off(const std::string& gguf, const std::string& expected) {
  const TensorFile want = open_tensors(expected);
  const Tensor &ids = want.at("input_ids"), &logits = want.at("logits");
  const Loaded m = open_model(gguf, {.context = ids.count()});
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
  quantise_model(path_of(GetParam()), out.path, DType::f32, "");
  EXPECT_LT(off(out.path, fixture(text("models/", GetParam(), "/expected.safetensors"))), 1e-5);
}
INSTANTIATE_TEST_SUITE_P(All, GgufExported,
    testing::Values("llama", "llama_rope3", "llama_yarn", "llama_linear", "llama_bias", "llama_tied_sharded", "mistral", "qwen2", "qwen3", "phi3",
                    "phi3_longrope", "gemma", "gpt2", "mamba", "falcon_mamba", "mamba2", "rwkv6", "rwkv7"));

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
  EXPECT_TRUE(quantise_model(in, out.path, DType::q8_0, "").tokenizer);
  const Loaded a = open_model(in), b = open_model(out.path);
  ASSERT_TRUE(b.tokenizer);
  EXPECT_EQ(b.tokenizer->encode("Once upon a time"), a.tokenizer->encode("Once upon a time"));
  EXPECT_FALSE(quantise_model(fixture("models/llama"), out.path, DType::f16, "").tokenizer);
  EXPECT_FALSE(open_model(out.path).tokenizer);
  EXPECT_FALSE(quantise_model(fixture("models/rwkv7/model.pth"), out.path, DType::f16, "").tokenizer);
  GgufMetadata m;
  write_vocabulary({.model = "rwkv", .tokens = {"a"}, .types = {1}}, 3, m);
  EXPECT_EQ(m.strings("tokenizer.ggml.tokens"), (std::vector<std::string>{"a", "[PAD1]", "[PAD2]"}));
}

TEST(GgufExport, WhatHasNoFormInGgufIsRefusedByName) {
  EXPECT_NE(error_of([] { to_gguf(Object{{"model_type", "unheard-of"}}, TensorFile("f"), "n", "f"); }).find("'unheard-of' is not known"),
      std::string::npos);
  EXPECT_NE(error_of([] { exported("gemma2"); }).find("query_pre_attn_scalar"), std::string::npos);
  EXPECT_NE(error_of([] { exported("gemma3_text"); }).find("llama.cpp knows only"), std::string::npos);
  EXPECT_NE(error_of([] { exported("rwkv6_fla"); }).find("norm_eps"), std::string::npos);
  TensorFile spare("f");
  spare.add("model.layers.0.extra.weight", Tensor::zeros({2}));
  EXPECT_NE(error_of([&] { to_gguf(read_model_config(fixture("models/llama")), spare, "n", "f"); }).find("'model.layers.0.extra.weight'"),
      std::string::npos);
}

// Keys of config.json that change the mathematics, or add tensors, and have no form in GGUF: refused before a file is written.
TEST(GgufExport, WhatWouldBeReadBackAsAnotherModelIsRefused) {
  struct Case { const char* model; const char* key; Value value; const char* named; };
  auto yarn = [](bool truncate) {
    return Object{{"rope_type", "yarn"}, {"rope_theta", 10000.0}, {"factor", 4.0}, {"original_max_position_embeddings", 4096},
                  {"truncate", truncate}};
  };
  const Case cases[] = {
      {"llama", "hidden_act", "gelu", "geglu(hidden=40, act=erf)"},
      {"gpt2", "scale_attn_weights", false, "scale=1"},
      {"gpt2", "scale_attn_by_inverse_layer_idx", true, "scale=0.40824"},
      {"gpt2", "activation_function", "relu", "act=relu"},
      {"llama_yarn", "rope_parameters", yarn(false), "rope_parameters"},
      {"falcon_mamba", "mixer_rms_eps", 0.1, "norm_eps=0.1"},
      {"mamba2", "time_step_limit", Array{0.1, 0.2}, "dt_least=0.1, dt_most=0.2"},
      {"gemma2", "attn_logit_softcapping", Value{}, "cap=50"},
      {"gemma2", "final_logit_softcapping", Value{}, "cap=30"},
  };
  Scratch out;
  for (const Case& c : cases) {
    const std::string at = fixture(text("models/", c.model));
    Object config = *read_model_config(at).get<Object>();
    config[c.key] = c.value;
    if (std::string(c.model) == "gemma2") config["query_pre_attn_scalar"] = 8;       // llama.cpp's
    const Value changed = config;
    auto source = std::make_shared<Source>();
    const TensorFile tensors = open_tensors(at);
    source->file = at, source->device = Device::meta;
    source->find = [&](const std::string& name) { const Tensor* t = tensors.find(name); return t ? *t : Tensor{}; };
    source->names = [&] { return tensors.names(); };
    const Model model = build_model(changed, source, at);
    const std::string error = error_of([&] { read_back(to_gguf(changed, tensors, "n", at), model, at); });
    EXPECT_TRUE(error.starts_with(at)) << c.model << " " << c.key << ": " << error;
    EXPECT_NE(error.find(c.named), std::string::npos) << c.model << " " << c.key << ": " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}
TEST(GgufExport, TensorsThatTheArchitectureDoesNotReadAreRefused) {
  Scratch out, folder{out.path + ".folder"};
  const std::string at = fixture("models/qwen3");
  Object config = *read_model_config(at).get<Object>();
  config["attention_bias"] = true;
  const int64_t head_dim = *config["head_dim"].get<int64_t>(), heads = *config["num_attention_heads"].get<int64_t>(),
                keys = *config["num_key_value_heads"].get<int64_t>(), width = *config["hidden_size"].get<int64_t>();
  TensorFile tensors = open_tensors(at);
  for (int l = 0; l < 2; ++l)
    for (auto [name, n] : {std::pair{"q", heads * head_dim}, {"k", keys * head_dim}, {"v", keys * head_dim}, {"o", width}})
      tensors.add(text("model.layers.", l, ".self_attn.", name, "_proj.bias"), Tensor::zeros({n}));
  std::filesystem::create_directory(folder.path);
  std::ofstream(folder.path + "/config.json") << to_json(config);
  write_safetensors(folder.path + "/model.safetensors", tensors.tensors());
  const std::string error = error_of([&] { quantise_model(folder.path, out.path, DType::f32, ""); });
  EXPECT_NE(error.find("spare tensors: model.layers.0.self_attn.k_proj.bias"), std::string::npos) << error;
  EXPECT_FALSE(std::filesystem::exists(out.path));
  std::filesystem::remove_all(folder.path);
}
TEST(GgufExport, ANumberThatAKeyCannotHoldIsNamed) {
  Object config = *read_model_config(fixture("models/llama")).get<Object>();
  config["max_position_embeddings"] = int64_t{5'000'000'000};
  EXPECT_EQ(error_of([&] { to_gguf(config, open_tensors(fixture("models/llama")), "n", "f"); }),
      "n: context_length: wanted 0 to 4294967295, found 5000000000");
}

// Families that llama.cpp does not have, in an architecture of our own.
class GgufOwn : public testing::TestWithParam<const char*> {};
TEST_P(GgufOwn, GivesTheReferencesLogitsAndStaysCloseInBlocks) {
  Scratch out;
  const std::string at = fixture(text("models/", GetParam())), expected = at + "/expected.safetensors";
  EXPECT_TRUE(quantise_model(at, out.path, DType::f32, "").own);
  EXPECT_LT(off(out.path, expected), 1e-4);
  const size_t plain = open_model(out.path).file_bytes;
  EXPECT_EQ(to_json(open_model(out.path).model.config), to_json(open_model(at).model.config));
  quantise_model(at, out.path, DType::q8_0, "");
  EXPECT_LT(open_model(out.path).file_bytes, plain * 3 / 4);   // F16 where blocks of 32 do not divide the tiny rows
  EXPECT_LT(off(out.path, expected), 0.06);
  Scratch again{out.path + ".again"};
  EXPECT_TRUE(quantise_model(out.path, again.path, DType::q8_0, "").own);
  EXPECT_EQ(read_text(again.path), read_text(out.path));
}
INSTANTIATE_TEST_SUITE_P(All, GgufOwn, testing::Values("griffin", "hawk", "rwkv4", "rwkv4_pth", "rwkv5", "gla", "retnet", "hgrn2", "linear_attn",
                                                              "gla_hybrid", "rwkv6_hybrid"),
                         [](const auto& i) { return i.param; });

TEST(GgufOwn, HeadsGetSixBitsAndWhatIsSmallStaysF32) {
  EXPECT_EQ(stored_as("lm_head.weight", {512, 256}, DType::q4_k, false).dtype, DType::q6_k);
  EXPECT_EQ(stored_as("head.weight", {512, 256}, DType::q4_k, false).dtype, DType::q6_k);
  EXPECT_EQ(stored_as("emb.weight", {512, 256}, DType::q4_k, false).dtype, DType::q4_k);
  EXPECT_EQ(stored_as("model.embed_tokens.weight", {512, 256}, DType::q4_k, true).dtype, DType::q6_k);
  EXPECT_EQ(stored_as("model.layers.0.temporal_block.linear_x.weight", {512, 256}, DType::q4_k, true).dtype, DType::q4_k);
  for (const char* name : {"model.layers.0.temporal_block.rg_lru.recurrent_gate_weight", "blocks.0.att.time_decay", "blocks.0.att.time_mix_k",
                           "model.layers.0.attn.gk_proj.0.weight", "model.layers.0.temporal_pre_norm.weight", "model.lower_bounds"})
    EXPECT_EQ(stored_as(name, {256, 256}, DType::q4_k, false).dtype, DType::f32) << name;
}

TEST(GgufOwn, AConfigurationThatLiesIsNamed) {
  Scratch out;
  const std::string at = fixture("models/griffin");
  const Value good = read_model_config(at);
  const TensorFile tensors = open_tensors(at);
  auto opened = [&](const std::string& config) {
    GgufMetadata m(out.path);
    m.add("general.architecture", "headrace");
    m.add("headrace.config", config);
    write_gguf(out.path, m, tensors.tensors());
    const std::string error = error_of([&] { open_model(out.path); });
    EXPECT_TRUE(error.starts_with(out.path)) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    return error;
  };
  auto with = [&](const char* key, Value value) {
    Object lie = *good.get<Object>();
    lie[key] = std::move(value);
    return opened(to_json(lie));
  };
  auto says = [](const std::string& error, const char* what) { EXPECT_NE(error.find(what), std::string::npos) << error; };
  says(with("hidden_size", int64_t{1} << 40), "hidden_size");
  says(with("hidden_size", -32), "hidden_size = -32");
  says(with("hidden_size", "wide"), "hidden_size = \"wide\"");
  says(with("vocab_size", 65), "model.embed_tokens.weight");
  says(with("num_hidden_layers", 4095), "missing tensors");
  says(with("num_hidden_layers", 1), "spare tensors");
  says(with("num_attention_heads", 0), "num_attention_heads = 0");
  says(with("lru_width", 1 << 20), "linear_x");
  says(with("model_type", "unheard-of"), "'unheard-of' is not known");
  says(with("model_type", "headrace"), "blueprint is missing");
  says(with("block_types", Array{"recurrent", "sideways"}), "'sideways'");
  says(opened(std::string(200, '[')), "nested deeper");
  says(opened("{\"model_type\": \"recurrent_gemma\""), "not valid JSON");
  says(opened("\"recurrent_gemma\""), "JSON object");
  says(opened(""), "headrace.config");
}

}  // namespace
}  // namespace headrace
