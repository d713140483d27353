// The law strict: what a checkpoint lacks, has too much or has in another shape is one error that names all of it.
// And what is no fault: the spellings and prefixes that published checkpoints of one family differ by.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "error_of.h"
#include "laws.h"
#include "memory_model.h"
#include "models/rope.h"
#include "run/load.h"

namespace headrace {
namespace {

std::string folder(const std::string& name) { return std::string(HEADRACE_ROOT) + "/tests/fixtures/models/" + name; }
Value config_of(const std::string& name) { return read_model_config(folder(name)); }
// Those of Hugging Face's names. RWKV's are renamed first: rwkv_names_test.cc.
std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& e : std::filesystem::directory_iterator(folder("")))
    if (std::string name = e.path().filename(); exists(e.path() / "config.json") && name.find("rwkv") == name.npos) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}
Value with(Value config, std::initializer_list<std::pair<const char*, Value>> changes) {
  auto& o = std::get<Object>(config.v);
  for (const auto& [key, value] : changes) o[key] = value;
  return config;
}
Value without(Value config, std::initializer_list<const char*> keys) {
  for (const char* key : keys) std::get<Object>(config.v).erase(key);
  return config;
}

class Strict : public testing::TestWithParam<std::string> {};

TEST_P(Strict, EveryTensorThatIsMissingIsNamed) {
  const Tensors all = tensors("models/" + GetParam());
  const Value config = config_of(GetParam());
  for (const auto& [name, tensor] : all) {
    Tensors less = all;
    less.erase(name);
    const std::string message = error_of(less, config);
    EXPECT_TRUE(message.starts_with("memory: missing tensors: ") && message.find(name) != message.npos) << name << ": " << message;
  }
}

TEST_P(Strict, EveryTensorOfAnotherShapeIsNamed) {
  const Tensors all = tensors("models/" + GetParam());
  const Value config = config_of(GetParam());
  for (const auto& [name, tensor] : all) {
    Tensors odd = all;
    Shape shape = tensor.shape();
    shape[0] += 1;
    odd[name] = Tensor::zeros(shape);
    const std::string message = error_of(odd, config);
    EXPECT_NE(message.find(text(name, " is f32 ", shape, ", wanted ")), message.npos) << message;
  }
}

TEST_P(Strict, AllFaultsOfAFileAreOneError) {
  Tensors t = tensors("models/" + GetParam());
  auto in_layer_1 = [](const auto& p) { return p.first.find(".1.") != std::string::npos; };
  auto gone = std::find_if(t.begin(), t.end(), in_layer_1);
  auto odd = std::find_if(t.rbegin(), t.rend(), in_layer_1);
  ASSERT_NE(gone->first, odd->first);
  const std::string missing = gone->first, wrong = odd->first;
  odd->second = Tensor::zeros({5, 7});
  t.erase(gone);
  t["spare.weight"] = t["layers.0.extra"] = Tensor::zeros({2});
  const std::string message = error_of(t, config_of(GetParam()));
  EXPECT_NE(message.find(missing), message.npos) << message;
  EXPECT_NE(message.find(wrong + " is f32 [5,7], wanted "), message.npos) << message;
  EXPECT_NE(message.find("spare tensors: layers.0.extra, spare.weight"), message.npos) << message;
  EXPECT_EQ(message.find('\n'), message.npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Models, Strict, testing::ValuesIn(fixtures()), [](const auto& i) { return i.param; });

TEST(Spelling, Gpt2MayLackItsPrefixAndHaveItsMasks) {
  const Value config = config_of("gpt2");
  const Tensors now = tensors("models/gpt2");
  Tensors then;
  for (const auto& [name, tensor] : now) then[name.substr(std::string("transformer.").size())] = tensor;
  then["h.0.attn.bias"] = Tensor::zeros({1, 1, 128, 128});
  then["h.1.attn.masked_bias"] = Tensor::zeros({1});
  EXPECT_TRUE(same_bits(logits(then, config), logits(now, config)));
}

TEST(Spelling, Gpt2MatricesMayBeOutByIn) {
  const Value config = config_of("gpt2");
  const Tensors now = tensors("models/gpt2");
  Tensors turned = now;
  for (auto& [name, tensor] : turned)
    if (name.ends_with("c_attn.weight") || name.ends_with("c_proj.weight") || name.ends_with("c_fc.weight")) tensor = tensor.transposed_copy();
  EXPECT_TRUE(same_bits(logits(turned, config), logits(now, config)));
}

TEST(Spelling, Gemma3OfTransformers4HasItsTwoBasesApart) {
  const Tensors t = tensors("models/gemma3_text");
  const Value now = config_of("gemma3_text");
  const Value then = with(without(now, {"rope_parameters", "layer_types"}),
                          {{"rope_theta", 500000.0}, {"rope_local_base_freq", 10000.0}, {"sliding_window_pattern", 2},
                           {"rope_scaling", Object{{"rope_type", "linear"}, {"factor", 2.0}}}});
  EXPECT_TRUE(same_bits(logits(t, then), logits(t, now)));
}

TEST(Spelling, Gemma3HasNoCapOnItsScoresWhateverTheKeySays) {
  const Tensors t = tensors("models/gemma3_text");
  const Value now = config_of("gemma3_text");
  EXPECT_TRUE(same_bits(logits(t, with(now, {{"attn_logit_softcapping", 1.0}})), logits(t, now)));
}

TEST(Spelling, AnOddNumberOfRotaryDimensionsIsRefused) {
  const Value odd = Object{{"rope_theta", 10000.0}, {"rope_type", "default"}, {"partial_rotary_factor", 0.4}};
  EXPECT_EQ(error_of(tensors("models/griffin"), with(config_of("griffin"), {{"rope_parameters", odd}})),
            "memory: partial_rotary_factor = 0.4 of 8 is 3 dimensions, but they turn in pairs");
}

TEST(Spelling, Gemma2WithoutLayerTypesAlternatesAndNullIsNoCap) {
  const Tensors t = tensors("models/gemma2");
  const Value now = config_of("gemma2");
  EXPECT_TRUE(same_bits(logits(t, without(now, {"layer_types"})), logits(t, now)));
  const Value capped = with(now, {{"attn_logit_softcapping", 50.0}, {"final_logit_softcapping", 30.0}});
  EXPECT_TRUE(same_bits(logits(t, without(now, {"attn_logit_softcapping", "final_logit_softcapping"})), logits(t, capped)));
  Tensor free = logits(t, with(now, {{"final_logit_softcapping", Value{}}}));
  EXPECT_FALSE(same_bits(free, logits(t, now)));
}

TEST(Spelling, LayerTypesAreOneKnownKindForEachLayer) {
  const Value sliding = "sliding_attention", full = "full_attention";
  for (const char* name : {"llama", "qwen2", "gemma2"}) {
    const Tensors t = tensors(std::string("models/") + name);
    const Value now = with(config_of(name), {{"sliding_window", 4}});
    auto listed = [&](Array kinds) { return with(now, {{"layer_types", kinds}}); };
    EXPECT_EQ(error_of(t, listed({full, "chunked_attention"})),
              "memory: layer_types of layer 1: wanted full_attention or sliding_attention, found \"chunked_attention\"") << name;
    EXPECT_EQ(error_of(t, listed({full, 1})), "memory: layer_types of layer 1: wanted full_attention or sliding_attention, found 1") << name;
    EXPECT_EQ(error_of(t, listed({full})), "memory: layer_types: wanted 2 entries, one for each layer, found 1") << name;
    EXPECT_EQ(error_of(t, listed({full, full, full})), "memory: layer_types: wanted 2 entries, one for each layer, found 3") << name;
    EXPECT_EQ(error_of(t, with(now, {{"layer_types", "full_attention"}})), "memory: layer_types = \"full_attention\", wanted a list") << name;
    EXPECT_FALSE(same_bits(logits(t, listed({full, sliding})), logits(t, listed({full, full})))) << name;
  }
  const Value none = with(without(config_of("qwen2"), {"sliding_window"}), {{"layer_types", Array{full, sliding}}});
  EXPECT_EQ(error_of(tensors("models/qwen2"), none), "memory: layer_types of layer 1: sliding_attention, but there is no sliding_window");
}

// A family's default stands where the key is absent; it decides whether a file without a head is whole.
TEST(Spelling, AHeadMayBeMissingOnlyWhereItIsTheEmbedding) {
  for (const char* name : {"llama", "gla", "mamba2", "phi3"}) {
    Tensors t = tensors(std::string("models/") + name);
    const Value untied = without(config_of(name), {"tie_word_embeddings"}), tied = with(untied, {{"tie_word_embeddings", true}});
    t.erase("lm_head.weight");
    EXPECT_TRUE(error_of(t, untied).starts_with("memory: missing tensors: lm_head.weight")) << name << ": " << error_of(t, untied);
    EXPECT_EQ(error_of(t, tied), "") << name;
  }
  for (const char* name : {"gemma", "gpt2", "mamba", "griffin"}) {
    const Tensors t = tensors(std::string("models/") + name);
    const Value tied = without(config_of(name), {"tie_word_embeddings"}), untied = with(tied, {{"tie_word_embeddings", false}});
    EXPECT_EQ(error_of(t, tied), "") << name;
    EXPECT_TRUE(error_of(t, untied).starts_with("memory: missing tensors: lm_head.weight")) << name << ": " << error_of(t, untied);
  }
  Tensors smol = tensors("models/llama");
  smol.erase("lm_head.weight");
  EXPECT_EQ(error_of(smol, with(without(config_of("llama"), {"tie_word_embeddings"}), {{"model_type", "smollm3"}})), "");
}

TEST(Spelling, TheFirstGemmaSaysGeluAndMeansTanh) {
  const Tensors t = tensors("models/gemma");
  const Value now = config_of("gemma");
  EXPECT_TRUE(same_bits(logits(t, with(now, {{"hidden_act", "gelu"}, {"hidden_activation", Value{}}})), logits(t, now)));
}

TEST(Spelling, MambaSizesMayFollowFromTheWidth) {
  const Tensors t = tensors("models/mamba");
  const Value now = config_of("mamba");
  EXPECT_TRUE(same_bits(logits(t, without(now, {"intermediate_size"})), logits(t, now)));
  EXPECT_EQ(error_of(t, with(now, {{"time_step_rank", "often"}})), "memory: time_step_rank = \"often\" is no number, nor \"auto\"");
  const std::string message = error_of(t, with(now, {{"time_step_rank", "auto"}}));   // ceil(24 / 16), where the file has 3
  EXPECT_NE(message.find("dt_proj.weight is f32 [48,3], wanted [48,2]"), message.npos) << message;
}

TEST(Spelling, Mamba2ClampsItsTimeSteps) {
  const Tensors t = tensors("models/mamba2");
  const Value now = config_of("mamba2");
  EXPECT_TRUE(same_bits(logits(t, without(now, {"time_step_limit"})), logits(t, now)));
  EXPECT_TRUE(same_bits(logits(t, with(now, {{"time_step_limit", Array{0.0, 1e9}}})), logits(t, now)));
  EXPECT_FALSE(same_bits(logits(t, with(now, {{"time_step_limit", Array{0.0, 0.05}}})), logits(t, now)));
  EXPECT_EQ(error_of(t, with(now, {{"time_step_limit", Array{0.1}}})), "memory: time_step_limit must be [least, most]");
}

TEST(Spelling, RecurrentGemmaOfTransformers4HasFlatRotaryKeys) {
  const Tensors t = tensors("models/griffin");
  const Value now = config_of("griffin");
  const Value then = with(without(now, {"rope_parameters"}), {{"rope_theta", 10000.0}, {"partial_rotary_factor", 0.5}});
  EXPECT_TRUE(same_bits(logits(t, then), logits(t, now)));
  EXPECT_TRUE(same_bits(logits(t, without(now, {"rope_parameters"})), logits(t, now))) << "a half and 10000 are the family's own";
  const std::string message = error_of(t, with(now, {{"lru_width", Value{}}}));   // null: the width, 32, where the file has 24
  EXPECT_NE(message.find("rg_lru.recurrent_param is bf16 [24], wanted [32]"), message.npos) << message;
  EXPECT_EQ(error_of(t, with(now, {{"block_types", Array{"recurrent", "mamba"}}})),
            "memory: block_types has 'mamba'; known: recurrent, attention");
}

TEST(Spelling, Phi3LongropeTurnsBySuAndByItsNewName) {
  const Tensors t = tensors("models/phi3");
  Array shorter, longer;
  for (int i = 0; i < 3; ++i) shorter.push_back(1.0), longer.push_back(2.0 + i);
  Object scaling{{"rope_type", "longrope"}, {"rope_theta", 10000.0}, {"short_factor", shorter}, {"long_factor", longer}};
  const Value base = with(config_of("phi3"), {{"original_max_position_embeddings", 64}});
  const Value now = with(base, {{"rope_parameters", scaling}});
  scaling.erase("rope_type"), scaling.erase("rope_theta"), scaling["type"] = "su";
  const Value then = with(without(base, {"rope_parameters"}), {{"rope_theta", 10000.0}, {"rope_scaling", scaling}});
  EXPECT_TRUE(same_bits(logits(t, then), logits(t, now)));
  EXPECT_FALSE(same_bits(logits(t, now), logits(t, config_of("phi3"))));
}

// The rotary part of a configuration, read alone.
std::string rotary_error(Object changes) {
  Object config{{"max_position_embeddings", 128}};
  changes.merge(config);
  return error_of([&] { read_rope(Value(changes), 8, "config.json"); });
}

TEST(Rotary, AKeyOfAnotherTypeIsAnErrorAndNoDefault) {
  EXPECT_EQ(rotary_error({{"rope_theta", "10000"}}), "config.json: rope_theta = \"10000\", wanted a number");
  EXPECT_EQ(rotary_error({{"partial_rotary_factor", true}}), "config.json: partial_rotary_factor = true, wanted a number");
  EXPECT_EQ(rotary_error({{"rope_scaling", "linear"}}), "config.json: rope_scaling = \"linear\", wanted an object");
  EXPECT_EQ(rotary_error({{"rope_parameters", Array{1}}}), "config.json: rope_parameters = [1], wanted an object");
  EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", 3}}}}), "config.json: rope_type = 3, wanted text");
  EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", "linear"}, {"factor", "2"}}}}), "config.json: factor = \"2\", wanted a number");
  EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", "yarn"}, {"factor", 2.0}, {"truncate", 1}}}}),
            "config.json: truncate = 1, wanted true or false");
  EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", "longrope"}, {"short_factor", "ones"}}}}),
            "config.json: short_factor = \"ones\", wanted a list of numbers");
  EXPECT_EQ(rotary_error({{"rope_theta", Value{}}, {"rope_scaling", Value{}}}), "") << "null is absent";
}

TEST(Rotary, WhatADefinitionNeedsIsAskedFor) {
  for (const char* type : {"linear", "llama3", "yarn"}) {
    EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", type}}}}), text("config.json: factor is missing; rope_type ", type, " needs it"));
    EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", type}, {"factor", 0}}}}),
              text("config.json: factor = 0: rope_type ", type, " needs a number above 0"));
    EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", type}, {"factor", 2}}}}), "") << type;
  }
  const Array ones{1.0, 1.0, 1.0, 1.0};
  Object s{{"rope_type", "longrope"}, {"short_factor", ones}, {"long_factor", ones}, {"original_max_position_embeddings", 1}};
  EXPECT_EQ(rotary_error({{"rope_scaling", s}}), "config.json: original_max_position_embeddings = 1: rope_type longrope needs a context above 1");
  s["original_max_position_embeddings"] = 64;
  EXPECT_EQ(rotary_error({{"rope_scaling", s}}), "") << "the factor is the ratio of the two contexts";
  EXPECT_EQ(rotary_error({{"rope_scaling", s}, {"max_position_embeddings", Value{}}}),
            "config.json: factor is missing; rope_type longrope needs it");
  s["attention_factor"] = 1.5;
  EXPECT_EQ(rotary_error({{"rope_scaling", s}, {"max_position_embeddings", Value{}}}), "");
  s["short_factor"] = Array{1.0, 1.0}, s["long_factor"] = Array{1.0, 0.0, 1.0, 1.0};
  EXPECT_EQ(rotary_error({{"rope_scaling", s}, {"long_context", true}}), "config.json: long_factor has a factor of 0");
  EXPECT_EQ(rotary_error({{"rope_scaling", s}}), "config.json: short_factor has 2 factors, wanted 4");
}

TEST(Rotary, LongropeHasItsShortListUnlessALongerContextIsAskedFor) {
  const Object s{{"rope_type", "longrope"}, {"short_factor", Array{1.0, 1.0}}, {"long_factor", Array{2.0, 4.0}},
                 {"original_max_position_embeddings", 64}};
  const Value config = Object{{"max_position_embeddings", 512}, {"rope_parameters", s}};
  const std::vector<float> shorter = read_rope(for_context(config, 64, "c"), 4, "c").inverse_frequency,
                           longer = read_rope(for_context(config, 65, "c"), 4, "c").inverse_frequency;
  EXPECT_EQ(read_rope(config, 4, "c").inverse_frequency, shorter);
  EXPECT_EQ(longer, (std::vector<float>{shorter[0] / 2, shorter[1] / 4}));
  EXPECT_EQ(rope_context(for_context(config, 64, "c"), 512, "c"), 64);
  EXPECT_EQ(rope_context(for_context(config, 65, "c"), 512, "c"), 512);
  EXPECT_EQ(rope_context(for_context(Object{{"rope_theta", 1e4}}, 9999, "c"), 512, "c"), 512);
  EXPECT_EQ(rotary_error({{"rope_scaling", Object{{"rope_type", "proportional"}}}}),
            "config.json: rope_type 'proportional' is unknown; known: default, linear, llama3, yarn, longrope");
}

TEST(Sizes, HeadsThatDoNotFitAreRefusedBeforeTheirTensorsAreRead) {
  const Tensors t = tensors("models/llama");
  const Value now = config_of("llama");
  EXPECT_EQ(error_of(t, with(now, {{"num_attention_heads", 65536}, {"num_key_value_heads", 1}, {"head_dim", 65536}})),
            "memory: num_attention_heads * head_dim = 4294967296 is not in 1..16777216");
  for (const char* name : {"llama", "gemma2", "phi3"})
    EXPECT_EQ(error_of(tensors(text("models/", name)), with(config_of(name), {{"num_attention_heads", 4}, {"num_key_value_heads", 3}})),
              "memory: num_key_value_heads = 3 does not divide num_attention_heads = 4") << name;
}

TEST(Sizes, AWindowOfNothingIsRefused) {
  for (const char* name : {"mistral", "gemma2", "phi3"})
    for (int window : {0, -1})
      EXPECT_EQ(error_of(tensors(text("models/", name)), with(config_of(name), {{"sliding_window", window}})),
                text("memory: sliding_window = ", window, " is not in 1..1073741824")) << name;
}

TEST(FlashLinearAttention, WhatItsConfigurationAsksForIsDoneOrNamed) {
  const Tensors t = tensors("models/gla_hybrid");
  const Value now = config_of("gla_hybrid");
  auto attn = [&](Value v) { return error_of(t, with(now, {{"attn", std::move(v)}})); };
  const Object good{{"layers", Array{1}}, {"num_heads", 4}, {"num_kv_heads", 2}, {"qkv_bias", true}, {"rope_theta", 500.0}};
  auto but = [&](const char* key, Value v) {
    Object o = good;
    o[key] = std::move(v);
    return attn(o);
  };
  EXPECT_EQ(attn(good), "");
  EXPECT_EQ(attn(Array{good}), "");
  EXPECT_EQ(attn("all"), "memory: attn: wanted an object or a list of them, found \"all\"");
  EXPECT_EQ(attn(Object{}), "memory: attn: missing keys: layers, num_heads");
  EXPECT_EQ(attn(Array{good, good}), "memory: attn: layer 1 is there twice");
  EXPECT_EQ(but("layers", Array{3}), "memory: attn: layer 3 of 3");
  EXPECT_EQ(but("layers", Array{-1}), "memory: attn: layer -1 of 3");
  EXPECT_EQ(but("layers", 1), "memory: attn: wrong values: layers = 1");
  EXPECT_EQ(but("num_heads", 0), "memory: attn: num_heads = 0 is not in 1..65536");
  EXPECT_EQ(but("num_heads", 5), "memory: attn: num_heads = 5 does not divide hidden_size = 24");
  EXPECT_EQ(but("num_kv_heads", 3), "memory: attn: num_key_value_heads = 3 does not divide num_attention_heads = 4");
  EXPECT_EQ(but("window_size", 0), "memory: attn: window_size = 0 is not in 1..1073741824");
  EXPECT_NE(but("rope_theta", -1.0), "");
  EXPECT_NE(but("layers", Array{2}).find("model.layers.1.attn.gk_proj.0.weight"), std::string::npos) << but("layers", Array{2});
  EXPECT_EQ(error_of(t, with(now, {{"feature_map", "taylor"}})),
            "memory: feature_map = 'taylor'; known: [relu,sigmoid,logsigmoid,silu,swish,sqrelu,gelu]");
  EXPECT_EQ(error_of(tensors("models/retnet_groups"), with(config_of("retnet_groups"), {{"feature_map", "gelu"}})),
            "memory: feature_map = 'gelu'; known: [relu,relu2,sigmoid,silu,swish,tanh]");
  EXPECT_EQ(error_of(tensors("models/linear_attn"), with(config_of("linear_attn"), {{"norm_feature_map", true}})),
            "memory: norm_feature_map is not supported");
  EXPECT_NE(error_of(tensors("models/linear_attn"), with(config_of("linear_attn"), {{"feature_map", "relu"}})).find("spare tensors"),
            std::string::npos);
  EXPECT_EQ(error_of(tensors("models/rwkv7_fla"), with(config_of("rwkv7_fla"), {{"attn", good}})),
            "memory: attn: layers of softmax attention among those of RWKV-7 are not supported");
}

TEST(FlashLinearAttention, OnlySoftmaxAttentionWithoutAWindowHasALongestSequence) {
  auto context = [](const char* name) { return build_model(config_of(name), source(tensors(text("models/", name))), "memory").context; };
  EXPECT_EQ(context("gla"), 0);
  EXPECT_EQ(context("retnet_groups"), 0);
  EXPECT_EQ(context("gla_hybrid"), 2048);
  EXPECT_EQ(context("rwkv6_hybrid"), 2048);
}

TEST(Sizes, LowerBoundsOfHgrn2MayBeAnyNumbers) {             // a softmax: what all layers have in common does not count
  Tensors t = tensors("models/hgrn2");
  const Value config = config_of("hgrn2");
  Tensor bounds = copy_to(t.at("model.lower_bounds"), Device::cpu).contiguous_copy();
  ASSERT_EQ(bounds.dtype(), DType::f32);
  for (float& b : std::span(bounds.f32(), static_cast<size_t>(bounds.count()))) b = std::round(b * 64) / 64;   // so that sums are exact
  t["model.lower_bounds"] = bounds;
  const Tensor want = logits(t, config);
  for (float shift : {2000.f, -2000.f}) {
    Tensor moved = bounds.contiguous_copy();
    for (int64_t i = 0; i < moved.count(); ++i) moved.f32()[i] += shift;
    t["model.lower_bounds"] = moved;
    EXPECT_TRUE(same_bits(logits(t, config), want)) << shift;
  }
}

}  // namespace
}  // namespace headrace
