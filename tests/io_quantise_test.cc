// Which tensor gets which type, on names of real architectures; and every fixture through every type and back.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "io/quantise.h"
#include "tensor/blocks.h"

namespace headrace {
namespace {

std::string fixture(const std::string& name) { return std::string(HEADRACE_ROOT) + "/tests/fixtures/gguf/" + name + ".gguf"; }
struct Scratch {
  std::string path = testing::TempDir() + "headrace_q_" + std::to_string(getpid()) + ".gguf";
  ~Scratch() { std::filesystem::remove(path); }
};
constexpr const char* all_types[] = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS"};
std::vector<float> values(const Tensor& t) {
  std::vector<float> v(static_cast<size_t>(t.count()));
  dequantise_row(t.dtype(), t.raw(), v.data(), t.count());
  return v;
}
DType as(const char* name, const Shape& shape, DType type, bool tied = false) { return stored_as(name, shape, type, tied).dtype; }

TEST(Quantise, WhatIsSmallAndErrsForGoodStaysF32) {
  for (const char* name : {"output_norm.weight", "blk.0.attn_q_norm.weight", "blk.0.attn_q.bias", "blk.1.ssm_conv1d.weight", "blk.0.ssm_dt.weight",
      "blk.0.ssm_a",
                           "blk.0.ssm_d", "blk.0.ssm_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.7.time_mix_w1.weight",
                           "blk.7.time_mix_w2.weight",
                           "blk.7.time_mix_decay_w1.weight", "blk.7.time_mix_g2.weight", "blk.7.time_mix_a1.weight", "blk.7.time_mix_v2.weight",
                           "blk.7.time_mix_first.weight", "blk.7.time_mix_lerp_fused.weight", "blk.7.channel_mix_lerp_k.weight",
                           "rope_freqs.weight", "position_embd.weight"})
    for (DType t : {DType::q4_0, DType::q4_k, DType::f16, DType::bf16}) EXPECT_EQ(as(name, {256, 256}, t), DType::f32) << name;
  EXPECT_EQ(as("blk.0.attn_q.weight", {256}, DType::q8_0), DType::f32);
  EXPECT_EQ(as("blk.0.attn_q.weight", {1, 256}, DType::q8_0), DType::f32);
}

TEST(Quantise, MatricesGetTheTypeTheHeadAtLeastSixBitsAndKFormatsAreMixed) {
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.ffn_gate_exps.weight", "blk.0.time_mix_key.weight", "blk.0.channel_mix_value.weight",
      "blk.0.ssm_in.weight",
                           "blk.0.ssm_x.weight", "token_embd.weight"})
    for (const char* t : all_types) EXPECT_EQ(as(name, {4, 256, 256}, quantised_type(t)), quantised_type(t)) << name;
  EXPECT_EQ(as("blk.0.attn_v.weight", {256, 256}, DType::q4_k), DType::q5_k);
  EXPECT_EQ(as("blk.0.ffn_down.weight", {256, 256}, DType::q2_k), DType::q3_k);
  EXPECT_EQ(as("blk.0.attn_v.weight", {256, 256}, DType::q4_0), DType::q4_0);
  EXPECT_EQ(as("output.weight", {256, 256}, DType::q4_0), DType::q6_k);
  EXPECT_EQ(as("output.weight", {256, 64}, DType::q4_0), DType::q8_0);
  EXPECT_EQ(as("output.weight", {256, 256}, DType::q8_0), DType::q8_0);
  EXPECT_EQ(as("output.weight", {256, 256}, DType::f16), DType::f16);
  EXPECT_EQ(as("token_embd.weight", {256, 256}, DType::q4_0, true), DType::q6_k);
}

TEST(Quantise, RowsThatBlocksDoNotDivideFallBackAndSaySo) {
  const std::pair<DType,
      DType> wide[] = {{DType::q2_k, DType::iq4_nl}, {DType::q3_k, DType::iq4_nl}, {DType::q4_k, DType::q5_0}, {DType::q5_k, DType::q5_1},
                                          {DType::q6_k, DType::q8_0}, {DType::iq4_xs, DType::iq4_nl}};
  for (auto [asked, got] : wide) {
    const StoredAs s = stored_as("blk.0.attn_q.weight", {64, 96}, asked, false);
    EXPECT_EQ(s.dtype, got);
    EXPECT_TRUE(s.fell_back);
  }
  EXPECT_EQ(as("blk.0.attn_q.weight", {64, 24}, DType::q8_0), DType::f16);
  EXPECT_TRUE(stored_as("output.weight", {64, 24}, DType::q8_0, false).fell_back);
  EXPECT_FALSE(stored_as("output.weight", {64, 96}, DType::q4_0, false).fell_back);
  EXPECT_FALSE(stored_as("blk.0.attn_q.weight", {64, 96}, DType::q4_0, false).fell_back);
}

TEST(Quantise, EveryFixtureInEveryTypeKeepsMetadataNamesShapesAndValuesNearby) {
  Scratch out;
  for (const char* model : {"llama", "gpt2", "gemma3", "mamba", "mamba2", "rwkv6_bf16", "rwkv7_f16", "llama_q4_k"}) {
    const GgufFile in(fixture(model));
    for (const char* type : all_types) {
      size_t told = 0;
      quantise(in, out.path, quantised_type(type), [&](const QuantisedTensor& t) { told += t.to_bytes > 0; });
      const GgufFile made(out.path);
      EXPECT_EQ(told, in.tensors().size());
      EXPECT_EQ(made.names(), in.names());
      EXPECT_EQ(made.metadata().integer("general.quantization_version"), 2);
      for (const auto& [key, value] : in.metadata().all()) EXPECT_TRUE(made.metadata().has(key)) << key;
      for (const auto& [name, t] : in.tensors()) {
        const Tensor u = made.tensor(name);
        EXPECT_EQ(u.shape(), t.shape());
        const std::vector<float> a = values(t), b = values(u);
        double off = 0, all = 0;
        for (size_t i = 0; i < a.size(); ++i) off += std::pow(a[i] - b[i], 2), all += std::pow(a[i], 2);
        const double allowed = u.dtype() == DType::f32 ? 0 : !is_block(u.dtype()) ? 4e-3 : .35;
        EXPECT_LE(std::sqrt(off), allowed * std::sqrt(all)) << model << " " << name << " as " << headrace::name(u.dtype());
      }
    }
  }
}

TEST(Quantise, TheSameTypeAgainGivesTheSameFile) {
  Scratch one;
  quantise(GgufFile(fixture("llama")), one.path, DType::q8_0);
  const std::string first = read_text(one.path);
  quantise(GgufFile(one.path), one.path, DType::q8_0);
  EXPECT_EQ(read_text(one.path), first);
}

TEST(Quantise, ValuesThatDoNotFitAreNamedAndNothingIsWritten) {
  Scratch out;
  GgufMetadata m("made");
  m.add("general.architecture", "test");
  for (auto [value, type] : {std::pair{1e6f, "F16"}, {NAN, "Q8_0"}, {INFINITY, "BF16"}}) {
    Tensor w = Tensor::zeros({2, 32});
    w.f32()[40] = value;
    const std::vector<NamedTensor> tensors{{"blk.0.attn_q.weight", w}};
    try {
      quantise(m, sources(tensors), out.path, quantised_type(type));
      ADD_FAILURE() << type;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("'blk.0.attn_q.weight': value 40"), std::string::npos) << e.what();
    }
    EXPECT_FALSE(file_exists(out.path));
  }
  EXPECT_THROW(quantised_type("Q9"), Error);
}

}  // namespace
}  // namespace headrace
