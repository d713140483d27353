// RWKV under the names of its other writers is the same model; what a file lacks or has too much is named.
#include "models/rwkv_names.h"

#include <gtest/gtest.h>

#include <regex>

#include "base/error.h"
#include "laws.h"
#include "memory_model.h"
#include "tensor/blocks.h"
#include "train/learner.h"

namespace headrace {
namespace {

Tensors renamed(const Tensors& t, const std::vector<std::pair<const char*, const char*>>& rules) {
  Tensors out;
  for (const auto& [official, tensor] : t) {
    std::string name = official;
    for (auto [from, to] : rules) name = std::regex_replace(name, std::regex(from), to);
    out.emplace(name, tensor);
  }
  return out;
}
// The tensors PREFIX + each of `parts` + suffix as one [parts, ...], which takes their place.
void fuse(Tensors& t, const std::string& prefix, const std::string& parts, const std::string& suffix, const std::string& name) {
  std::vector<float> all;
  int64_t width = 0;
  for (char c : parts) {
    auto node = t.extract(prefix + c + suffix);
    std::vector<float> row(static_cast<size_t>(width = node.mapped().count()));
    dequantise_row(node.mapped().dtype(), node.mapped().raw(), row.data(), width);
    all.insert(all.end(), row.begin(), row.end());
  }
  t.emplace(name, Tensor::from(all, {static_cast<int64_t>(parts.size()), width}));
}
Value type(const char* name) { return Object{{"model_type", name}}; }

const std::vector<std::pair<const char*, const char*>> transformers{
    {"^emb", "rwkv.embeddings"}, {"^ln_out", "rwkv.ln_out"}, {"^blocks", "rwkv.blocks"}, {"\\.ln0", ".pre_ln"}, {"\\.att\\.", ".attention."},
    {"\\.ffn\\.", ".feed_forward."}, {"mix_k$", "mix_key"}, {"mix_v$", "mix_value"}, {"mix_r$", "mix_receptance"}, {"mix_g$", "mix_gate"}};

TEST(RwkvNames, Rwkv5And6UnderTransformersNamesAreTheOfficialOnes) {
  for (const char* name : {"rwkv5", "rwkv6"}) {
    Tensors official = tensors(std::string("models/") + name + "/model.safetensors");
    EXPECT_TRUE(close(logits(renamed(official, transformers), type(name)), logits(official, type("rwkv")), 0)) << name;
  }
}

TEST(RwkvNames, TheFirstReleasesOfFlaHadOneTensorOfSixMixes) {
  const Value config = Object{{"model_type", "rwkv7"}, {"norm_eps", 1e-5}};
  Tensors now = tensors("models/rwkv7_fla/model.safetensors"), then = now;
  for (int l = 0; l < 3; ++l) {
    const std::string layer = text("model.layers.", l, ".attn.x_");
    fuse(then, layer, "rwkvag", "", layer + "x");
  }
  EXPECT_TRUE(close(logits(then, config), logits(now, config), 0));
}

TEST(RwkvNames, GgufOfRwkv6FromBeforeTheMixesWereFusedIsTheSameModel) {
  const Value config = Object{{"model_type", "rwkv6"}, {"rescale_every", 1}};
  Tensors now = tensors("gguf/rwkv6_bf16.gguf"), then = now;
  for (int l = 0; l < 2; ++l) {
    const std::string layer = text("blk.", l, ".time_mix_lerp_");
    auto fused = then.extract(layer + "fused.weight");
    for (int i = 0; i < 5; ++i) then.emplace(layer + "wkvrg"[i] + ".weight", fused.mapped()[i]);
  }
  EXPECT_TRUE(close(logits(then, config), logits(now, config), 0));
}

TEST(RwkvNames, RescaledMatricesOfEveryTypeAreMultipliedBack) {
  const Value config = Object{{"rescale_every", 2}};
  for (int i = 0; i < dtype_count; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!has_values(dtype)) continue;
    Random r(5);
    std::vector<float> values(2 * 256), want(values.size()), got(values.size());
    for (float& v : values) v = r.normal();
    Tensor stored = Tensor::empty({2, 256}, dtype);
    quantise_row(dtype, values.data(), stored.raw(), stored.count());
    dequantise_row(dtype, stored.raw(), want.data(), stored.count());
    auto s = source({{"token_embd.weight", stored}, {"blk.5.channel_mix_value.weight", stored}, {"blk.1.time_mix_output.weight", stored}});
    ASSERT_EQ(use_official_names(*s, config, "memory"), RwkvWriter::gguf);
    Tensor same = s->find("blocks.1.att.output.weight"), four = s->find("blocks.5.ffn.value.weight");
    ASSERT_TRUE(same && four && four.dtype() == dtype) << name(dtype);
    EXPECT_EQ(std::memcmp(same.raw(), stored.raw(), stored.bytes()), 0) << name(dtype);
    dequantise_row(dtype, four.raw(), got.data(), four.count());
    for (size_t j = 0; j < got.size(); ++j) ASSERT_EQ(got[j], 4 * want[j]) << name(dtype) << " " << j;
  }
}

TEST(RwkvNames, ValueResidualOfTheFirstLayerIsNotRead) {
  Tensors t = tensors("models/rwkv7/model.safetensors"), more = t;
  for (const char* v : {"v0", "v1", "v2"}) more.emplace(text("blocks.0.att.", v), t.at(text("blocks.1.att.", v)));
  EXPECT_TRUE(close(logits(more, type("rwkv7")), logits(t, type("rwkv7")), 0));
}

TEST(RwkvNames, WhatAFileLacksOrHasTooMuchIsNamed) {
  const Tensors t = tensors("models/rwkv7/model.safetensors");
  Tensors less = t, more = t, odd = t;
  less.erase("blocks.1.att.v1"), less.erase("blocks.0.ffn.value.weight");
  more.emplace("blocks.1.att.gate.weight", t.at("blocks.1.att.key.weight"));
  odd.at("blocks.1.att.r_k") = Tensor::zeros({5, 6});
  const std::string missing = error_of(less, type("rwkv7"));
  EXPECT_NE(missing.find("missing tensors: "), missing.npos) << missing;
  EXPECT_NE(missing.find("blocks.1.att.v1"), missing.npos) << missing;
  EXPECT_NE(missing.find("blocks.0.ffn.value.weight [32,64]"), missing.npos) << missing;
  EXPECT_EQ(error_of(more, type("rwkv7")), "memory: spare tensors: blocks.1.att.gate.weight");
  EXPECT_EQ(error_of(odd, type("rwkv7")), "memory: tensor blocks.1.att.r_k: 5 heads for a width of 32");
  EXPECT_EQ(error_of({}, type("rwkv")), "memory: tensor emb.weight is missing; without a config.json a model must be RWKV by its official names");

  Tensors fla = tensors("models/rwkv6_fla/model.safetensors");
  fla.emplace("model.layers.1.attn.q_norm.weight", fla.at("model.norm.weight"));
  fla.at("model.layers.0.attn.x_proj.2.weight") = Tensor::zeros({7, 3});
  const std::string message = error_of(fla, type("rwkv6"));
  EXPECT_NE(message.find("blocks.1.att.q_norm.weight"), message.npos) << message;
  EXPECT_NE(message.find("blocks.0.att.time_maa_w2 is f32 [7,3]"), message.npos) << message;
}

TEST(RwkvNames, ALayerNumberThatLiesIsASpareTensor) {
  Tensors t = tensors("gguf/rwkv7_f16.gguf");
  t.emplace("blk.99999999999999999999.attn_norm.weight", t.at("blk.0.attn_norm.weight"));
  const std::string message = error_of(t, Object{{"model_type", "rwkv7"}, {"head_size", 16}});
  EXPECT_NE(message.find("spare tensors: blk.99999999999999999999.attn_norm.weight"), message.npos) << message;
}

// What is trained goes back to where it came from, under whatever names and in whatever layout.
TEST(RwkvNames, WhatIsTrainedIsSavedAsItsWriterHadIt) {
  for (const char* name : {"rwkv4", "rwkv6_fla", "rwkv7_fla", "rwkv6_hybrid"}) {
    const std::string folder = std::string(HEADRACE_ROOT) + "/tests/fixtures/models/" + name;
    const Learner l = learner_of(folder);
    const TensorFile file = open_tensors(folder);
    std::vector<Tensor> values;
    for (const Parameter& p : l.learned) values.push_back(map(p.value.contiguous_copy(), [](float v) { return v + 1; }));
    const auto saved = l.model_tensors(values);
    EXPECT_EQ(saved.size(), file.size()) << name;
    for (const auto& [tensor, value] : saved) {
      ASSERT_TRUE(file.find(tensor)) << name << " " << tensor;
      EXPECT_TRUE(same_bits(value, map(dequantised(file.at(tensor)), [](float v) { return v + 1; }))) << name << " " << tensor;
    }
  }
}

}  // namespace
}  // namespace headrace
