// The language of blueprints, and the laws of what they build: every mixer of the catalogue in a stack, every named blueprint,
// and the blueprint of every checkpoint among the fixtures.
#include "models/blueprint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "base/parallel.h"
#include "error_of.h"
#include "laws.h"
#include "mixers/catalogue.h"
#include "model_logits.h"
#include "models/named_blueprints.h"
#include "run/check.h"
#include "run/load.h"
#include "run/plan.h"

namespace headrace {
namespace {

std::string canonical(const std::string& text) { return print(parse_blueprint(text)); }
int64_t parameters(const Loaded& m) {
  int64_t n = 0;
  for (const Parameter& p : m.source->parameters) n += p.shape.count();
  return n;
}

TEST(Blueprint, PrintsWhatItRead) {
  for (const char* text : {
           "d=512 vocab=8192  12*(attn + swiglu)",
           "d=64 vocab=32 norm=layer eps=1e-06 tied=off  mamba, 8*(attn(heads=2, rope=0) + mamba)",
           "d=64 vocab=32  2*(3*(rg_lru + geglu), attn(heads=2, kv=1, window=16) + geglu)",
           "d=64 vocab=32  (attn(heads=2) | mamba) + swiglu, (attn(heads=2) | mamba | retnet)(fuse=sum)",
           "d=64 vocab=32 sinusoidal=on  attn(heads=2, rope=0)",
           "d=64 vocab=32 scale=8 cap=30 positions=128  (gla(heads=2) | mamba2)(fuse=gate) + mlp(act=relu)",
       })
    EXPECT_EQ(canonical(text), text);
}
TEST(Blueprint, IsTheSameHoweverItIsWritten) {
  EXPECT_EQ(canonical("12*(attn(heads=8)+swiglu)"), "d=512 vocab=8192  12*(attn + swiglu)");
  EXPECT_EQ(canonical(" vocab=9\n d=64\t2*mamba"), "d=64 vocab=9  2*(mamba)");
  EXPECT_EQ(canonical("d=64 vocab=9 ((attn | ((mamba))) + (swiglu)), (mamba, (attn)), mamba()"),
            "d=64 vocab=9  (attn | mamba) + swiglu, mamba, attn, mamba");
  EXPECT_EQ(canonical("d=64 vocab=9 mamba( norm_eps = 1e-6 , state=16 )"), "d=64 vocab=9  mamba(norm_eps=1e-06)");
  EXPECT_EQ(canonical("d=64 vocab=9 mamba + (attn + swiglu)"), "d=64 vocab=9  mamba + attn + swiglu");
}

TEST(Blueprint, PointsAtTheCharacterThatIsWrong) {
  struct Wrong { const char* text; size_t character; const char* said; };
  for (const Wrong& w : {
           Wrong{"d=8 2*(atn + swiglu)", 8, "'atn' is no mixer; did you mean attn?"},
           {"d=8 2*(attn + zzzzzzz)", 15, "known: attn"},
           {"d=8 2*(attn + swiglu", 7, "this ( is not closed"},
           {"d=8 2*(attn + swiglu))", 22, "a ) without its ("},
           {"attn(head=2)", 6, "attn has no option 'head'"},
           {"attn(heads=0)", 12, "heads = 0 is not in 1.."},
           {"d=1 hedgehog(heads=2)", 5, "hedgehog: key = 0 by default beside heads=2 is not in 1..65536"},
           {"retnet(eps=0)", 12, "eps = 0 is not in 1e-12..1"},
           {"attn(heads=2.5)", 12, "no whole number"},
           {"attn(heads=4, heads=4)", 15, "given twice"},
           {"attn(heads=6, kv=4)", 1, "kv = 4 does not divide heads = 6"},
           {"mamba, attn(heads)", 18, "wanted = after heads"},
           {"mlp(act=sin)", 9, "known: gelu"},
           {"width=8 attn", 1, "has no option 'width'"},
           {"norm=simple_rms offset=1 attn", 17, "no weights to add offset to"},
           {"d=8 vocab=0 attn", 11, "vocab = 0"},
           {"attn + (mamba, swiglu)", 8, "not of layers"},
           {"2*(attn) + swiglu", 1, "a repeat is made of layers"},
           {"attn + 2*(swiglu)", 8, "a repeat is made of layers"},
           {"(attn + swiglu) | mamba", 1, "wanted a mixer beside |"},
           {"(attn)(fuse=sum)", 7, "only mixers joined by |"},
           {"(attn | mamba)(fuse=max)", 21, "known: mean, gate, sum"},
           {"(attn | mamba | gla)(fuse=gate)", 1, "needs two mixers"},
           {"0*(attn)", 1, "a count is 1 to 10000"},
           {"9999999999999999999*(attn)", 1, "a count is 1 to 10000"},
           {"200*(100*(attn))", 1, "20000 layers; at most 10000"},
           {"12(attn)", 3, "wanted * after a count"},
           {"attn,", 6, "wanted a mixer, found the end"},
           {"", 1, "wanted a mixer"},
           {"attn attn", 6, "wanted the end, found 'a'"},
       }) {
    try {
      parse_blueprint(w.text);
      ADD_FAILURE() << w.text << " is no blueprint";
    } catch (const BlueprintError& e) {
      EXPECT_EQ(e.at + 1, w.character) << w.text << ": " << e.what();
      EXPECT_NE(std::string(e.what()).find(w.said), std::string::npos) << w.text << ": " << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    }
  }
  EXPECT_THROW(parse_blueprint(std::string(200, '(') + "attn" + std::string(200, ')')), BlueprintError);
  EXPECT_THROW(parse_blueprint(std::string(70000, ' ')), BlueprintError);
  EXPECT_NO_THROW(parse_blueprint("d=8 vocab=2 10000*(mlp)"));
  EXPECT_NO_THROW(parse_blueprint("retnet(eps=1e-12), retnet(eps=1)"));   // both ends, in the precision of the option
}
TEST(Blueprint, ErrorsHaveACaretUnderTheirCharacter) {
  try {
    parse_blueprint("d=8\n2*(attn + swigl)");
    FAIL();
  } catch (const BlueprintError& e) {
    EXPECT_EQ(e.pointed(), "2*(attn + swigl)\n          ^");
  }
}

TEST(Blueprint, TwoMixersOfOneKindInALayerDoNotShareTheirState) {
  const Loaded m = open_blueprint("d=16 vocab=11 attn(heads=2) + attn(heads=2), (mamba(state=4) | mamba(state=4))", {.jitter = 0.1});
  for (const Checked& r : check_model(m.model.decoder, identity(m), {.tokens = 40})) EXPECT_TRUE(r.ok) << r.law << ": " << r.worst << " " << r.detail;
  State s;
  const std::vector<int32_t> ids{1, 2, 3};
  logits_in_steps(m.model.decoder, ids, &s, 3);
  EXPECT_EQ(s.layers.size(), 4u);
}

TEST(Blueprint, GroupsFuseAsTheySay) {
  // Weights of the mixers are the same under each fusion: their names are.
  auto hidden = [](const std::string& fuse) {
    const Loaded m = open_blueprint("d=16 vocab=11 (attn(heads=2) | mlp)(fuse=" + fuse + ")", {.pack = false, .jitter = 0.1});
    return logits_in_steps(m.model.decoder, std::vector<int32_t>{1, 2, 3}, nullptr, 3);
  };
  const Tensor mean = hidden("mean"), gate = hidden("gate"), sum = hidden("sum");
  EXPECT_GT(relative_error(mean, sum), 1e-3);
  EXPECT_GT(relative_error(mean, gate), 1e-3);
  const Loaded one = open_blueprint("d=16 vocab=11 (attn(heads=2) | mlp)(fuse=sum)", {.device = Device::meta});
  const Loaded two = open_blueprint("d=16 vocab=11 (attn(heads=2) | mlp)", {.device = Device::meta});
  EXPECT_EQ(parameters(two), parameters(one) + 2 * 16);
}

TEST(Blueprint, BindsAgainToTheSameParameters) {
  const Blueprint b = parse_blueprint("d=16 vocab=11 mamba(state=4) + swiglu, hgrn2(heads=2), hgrn2(heads=2)");
  auto source = initialised({.seed = 2});
  const std::vector<int32_t> ids{1, 2, 3, 4};
  const Tensor before = logits_in_steps(build_blueprint(b, source).decoder, ids, nullptr, 4);
  const size_t n = source->parameters.size();
  for (Parameter& p : source->parameters)
    if (p.name.ends_with("A_log")) p.value.f32()[0] += 1;      // as an optimizer does
  const Tensor after = logits_in_steps(build_blueprint(b, source).decoder, ids, nullptr, 4);
  EXPECT_EQ(source->parameters.size(), n);
  EXPECT_GT(relative_error(after, before), 1e-7);
}

// A model on the meta device has the parameters and the state that a real one has.
void hold_meta(const std::string& text) {
  const Loaded real = open_blueprint(text, {.jitter = 0.05}), plan = open_blueprint(text, {.device = Device::meta});
  const bool causal = real.model.decoder.sees_later.empty();
  ASSERT_EQ(real.source->parameters.size(), plan.source->parameters.size());
  for (size_t i = 0; i < real.source->parameters.size(); ++i) {
    EXPECT_EQ(real.source->parameters[i].name, plan.source->parameters[i].name);
    EXPECT_EQ(real.source->parameters[i].shape, plan.source->parameters[i].shape);
    EXPECT_EQ(real.source->parameters[i].bytes, plan.source->parameters[i].bytes) << plan.source->parameters[i].name;
  }
  State a, b;
  const std::vector<int32_t> ids(70, 1);
  for (auto [m, s] : {std::pair{&real, &a}, {&plan, &b}}) {
    Batch batch;
    batch.add(70, causal ? s : nullptr);
    EXPECT_EQ(m->model.decoder.logits(m->model.decoder.hidden(ids, batch)).shape(), Shape({70, m->model.decoder.vocab}));
  }
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (size_t l = 0; l < a.layers.size(); ++l)
    for (int i = 0; i < State::slots_per_layer; ++i) {
      const SlotValue &x = a.layers[l].values[static_cast<size_t>(i)], &y = b.layers[l].values[static_cast<size_t>(i)];
      EXPECT_EQ(static_cast<bool>(x.value), static_cast<bool>(y.value));
      if (x.value && y.value) { EXPECT_EQ(x.value.shape(), y.value.shape()); }
      EXPECT_EQ(x.bytes(), y.bytes());
    }
}
// Options that make another function of a mixer, causal or not: all laws again.
const char* const other_functions[] = {
    "linear_transformer(causal=off)", "performer(kernel=relu)", "performer(causal=off, rope=100)", "hedgehog(map=exp)",
    "hedgehog(map=joint, by_head=off)", "hedgehog(map=exp, causal=off)", "efficient_attention(causal=on)", "linformer(heads=2, share=none)",
    "linformer(share=layers)", "linformer(share=kv)",
    "aft(form=full)", "aft(form=full, causal=off, rank=0)", "aft(form=local, window=5)", "aft(form=local, window=200, rank=0)",
    "aft(form=local, window=7, causal=off)", "aft(form=conv, window=6, heads=4)", "aft(causal=off)",
    "longformer(heads=2, causal=on, window=9)", "longformer(heads=2, window=9, global=3)",
    "longformer(window=4, global=0)", "bigbird(heads=2, block=5)", "reformer(heads=2, chunk=8, buckets=8)",
    "reformer(chunk=8, rounds=1, buckets=8, causal=off)", "s4(length=32)", "hyena(modes=5)", "titans(depth=1)", "titans_mac(depth=1)",
    "titans_mag(depth=1)", "titans_mal(depth=3)", "titans(clip=0.1)", "titans_mac(clip=0.1)"};
void hold_laws(const std::string& text, int64_t tokens) {
  set_thread_count(1);                                 // tiny models are faster on one
  const Loaded m = open_blueprint(text, {.jitter = 0.05});
  for (const Checked& r : check_model(m.model.decoder, identity(m), {.tokens = tokens}))
    EXPECT_TRUE(r.ok) << r.law << ": worst " << r.worst << " (" << r.detail << ")";
}

TEST(Blueprint, SinusoidalPositionsAreAddedToTheEmbedding) {
  hold_laws("d=32 vocab=17 sinusoidal=on  attn(heads=2, rope=0) + mlp(hidden=32)", 90);
  for (const int width : {6, 7}) {                     // no layers, no norm: what is left is the embedding and the positions
    const std::string d = "d=" + std::to_string(width) + " vocab=5 tied=off";
    const Loaded plain = open_blueprint(d + "  mlp(hidden=2)", {}), with = open_blueprint(d + " sinusoidal=on  mlp(hidden=2)", {});
    Decoder a = plain.model.decoder, b = with.model.decoder;
    a.layers.clear(), b.layers.clear(), a.norm = b.norm = {};
    const std::vector<int32_t> ids{3, 1, 4, 1};
    Batch one, other;
    one.add(4), other.add(4);
    const Tensor x = a.hidden(ids, one), y = b.hidden(ids, other);
    for (int p = 0; p < 4; ++p)
      for (int i = 0; i < width; ++i) {
        const double angle = p / std::pow(10000.0, 2.0 * (i / 2) / width);
        EXPECT_NEAR(y.f32()[p * width + i] - x.f32()[p * width + i], i % 2 ? std::cos(angle) : std::sin(angle), 1e-6);
      }
  }
}

TEST(Blueprint, AClipKeepsTitansFiniteAtARateThatDiverges) {
  const auto finite = [](const std::string& mixer) {
    const Loaded m = open_blueprint("d=32 vocab=17  2*(" + mixer + ")");
    Random r(1);
    std::vector<int32_t> ids;
    for (int i = 0; i < 4096; ++i) ids.push_back(static_cast<int32_t>(r.below(17)));
    const Tensor y = logits_in_steps(m.model.decoder, ids, nullptr, std::ssize(ids));
    return std::ranges::all_of(y.floats(), [](float x) { return std::isfinite(x); });
  };
  for (const std::string mixer : {"titans(memory_heads=2, rate=1000", "titans_mac(heads=2, memory_heads=2, depth=1, rate=100"}) {
    EXPECT_FALSE(finite(mixer + ")")) << mixer;
    EXPECT_TRUE(finite(mixer + ", clip=0.1)")) << mixer;
  }
  const std::string said = error_of([] { open_blueprint("d=32 vocab=17  titans(clip=1e-9)"); });
  EXPECT_NE(said.find("titans: clip = 1e-09, wanted 0 or 1e-6 to 1e12"), std::string::npos) << said;
}

TEST(Blueprint, NormsWithoutWeightsHaveNone) {
  const std::string plain = "d=32 vocab=17 norm=simple_rms eps=1e-06  2*(transnormer(heads=2) + glu(hidden=32))";
  hold_laws(plain, 90);
  hold_meta(plain);
  EXPECT_EQ(canonical(plain), plain);
  const Loaded m = open_blueprint(plain), with = open_blueprint("d=32 vocab=17 eps=1e-06  2*(transnormer(heads=2) + glu(hidden=32))");
  EXPECT_EQ(parameters(with), parameters(m) + 5 * 32);
  for (const Parameter& p : m.source->parameters) EXPECT_EQ(p.name.find("norm.weight"), p.name.npos) << p.name;
  // Weights of one are no weights: the models agree as they begin.
  const std::vector<int32_t> ids{3, 1, 4, 1, 5, 9, 2, 6};
  EXPECT_LT(relative_error(logits_in_steps(m.model.decoder, ids, nullptr, 8), logits_in_steps(with.model.decoder, ids, nullptr, 8)), 1e-6);
  const std::string post = "d=32 vocab=17 norm=simple_rms post=on carry=2 embed_norm=on  attn(heads=2) + mlp(hidden=32)";
  hold_laws(post, 40);
  EXPECT_EQ(canonical(post), post);
}

TEST(Blueprint, MetaTokensEnterOnceAndStayInSightOfEveryWindow) {
  const std::string text = "d=32 vocab=17 meta=3 attn(heads=2, window=9) + mlp(hidden=32), hymba(heads=2, window=5)";
  hold_laws(text, 300);                                // windows that have left pages behind, saved and loaded
  hold_meta(text);
  const Loaded m = open_blueprint("d=32 vocab=17 meta=3 attn(heads=2, window=4)", {.jitter = 0.05});
  const std::vector<int32_t> ids(200, 1);
  const auto last = [&] {
    State s;
    Batch b;
    b.add(200, &s);
    const Tensor y = m.model.decoder.logits(m.model.decoder.hidden(ids, b));
    EXPECT_EQ(y.dim(0), 200);
    EXPECT_EQ(s.layers[0].values[0].length, 203);
    return concat({y.slice(0, 199, 1)});
  };
  const Tensor before = last();
  for (Parameter& p : m.source->parameters)
    if (p.name == "meta_tokens") p.value.f32()[0] += 1;
  EXPECT_GT(relative_error(last(), before), 1e-6);
}

class InAStack : public testing::TestWithParam<std::string> {
 protected:
  std::string text() const { return "d=32 vocab=17 2*(" + GetParam() + " + mlp(hidden=32)), " + GetParam(); }
};
TEST_P(InAStack, HoldsTheLawsOfStreamForkAndBatch) { hold_laws(text(), 90); }
TEST_P(InAStack, HoldsThemWhereProductsOfOneRowAndOfManyAreSummedInAnotherOrder) { hold_laws("d=64 vocab=64 " + GetParam(), 90); }
TEST_P(InAStack, IsPlannedAsItIs) { hold_meta(text()); }
TEST_P(InAStack, RoundTrips) {
  EXPECT_EQ("d=32 vocab=17  " + open_blueprint(text(), {.device = Device::meta}).model.decoder.layers_text(), canonical(text()));
}
std::vector<std::string> all_mixers() {
  std::vector<std::string> names(std::begin(other_functions), std::end(other_functions));
  for (const MixerInfo& m : mixers()) names.push_back(m.doc->name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Mixers, InAStack, testing::ValuesIn(all_mixers()), [](const auto& i) {
  std::string name;
  for (char c : i.param) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});
TEST(Blueprint, OfAMixerThatSeesLaterTokensRefusesToContinue) {
  const Loaded m = open_blueprint("d=32 vocab=17 attn + mlp, linformer(rows=4)", {});
  EXPECT_EQ(m.model.decoder.sees_later, "linformer");
  State state;
  Batch batch;
  batch.add(3, &state);
  try {
    m.model.decoder.hidden(std::vector<int32_t>{1, 2, 3}, batch);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "linformer: cannot continue: not causal");
  }
}

class Named : public testing::TestWithParam<std::string> {};
TEST_P(Named, IsOfItsSizeAndRoundTrips) {
  const NamedBlueprint& b = *find_blueprint(GetParam());
  const Loaded m = open_blueprint(GetParam(), {.device = Device::meta});
  EXPECT_EQ(blueprint(m.model), canonical(b.text));
  const std::string shortest = m.model.decoder.layers_text();    // from the layers: repeats found, not as they were written
  const Loaded again = open_blueprint(canonical(b.text).substr(0, canonical(b.text).find("  ") + 2) + shortest, {.device = Device::meta});
  ASSERT_EQ(again.model.decoder.layers.size(), m.model.decoder.layers.size());
  for (size_t l = 0; l < again.model.decoder.layers.size(); ++l) EXPECT_EQ(again.model.decoder.layers[l].text, m.model.decoder.layers[l].text);
  EXPECT_EQ(parameters(again), parameters(m));
  EXPECT_EQ(canonical(canonical(b.text)), canonical(b.text));
  const std::string size = b.size;
  if (size == "tiny") { EXPECT_LT(parameters(m), 500'000); }
  if (size == "small") {
    EXPECT_GT(parameters(m), 17'000'000);
    EXPECT_LT(parameters(m), 23'000'000);
  }
}
TEST_P(Named, HoldsTheLawsWhenTiny) {
  if (GetParam().ends_with("-tiny")) hold_laws(GetParam(), 40);
}
std::vector<std::string> all_named() {
  std::vector<std::string> names;
  for (const NamedBlueprint& b : named_blueprints()) names.push_back(text(b.name, "-", b.size));
  return names;
}
INSTANTIATE_TEST_SUITE_P(Blueprints, Named, testing::ValuesIn(all_named()), [](const auto& i) {
  std::string name = i.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

// What `info` prints of a checkpoint builds a model of as many parameters.
class OfACheckpoint : public testing::TestWithParam<std::string> {};
TEST_P(OfACheckpoint, HasItsParameters) {
  const Loaded m = open_model(GetParam(), {.device = Device::meta});
  const std::string text = blueprint(m.model);
  EXPECT_EQ(canonical(text), text);
  const Loaded again = open_blueprint(text, {.device = Device::meta});
  EXPECT_EQ(parameters(again), parameters(m)) << text;
}
std::vector<std::string> checkpoints() {
  std::vector<std::string> all{HEADRACE_ROOT "/assets/stories260K", HEADRACE_ROOT "/assets/rwkv7-tiny"};
  for (const auto& e : std::filesystem::directory_iterator(HEADRACE_ROOT "/tests/fixtures/models"))
    if (file_exists(e.path().string() + "/config.json")) all.push_back(e.path().string());
  std::sort(all.begin(), all.end());
  return all;
}
INSTANTIATE_TEST_SUITE_P(Fixtures, OfACheckpoint, testing::ValuesIn(checkpoints()), [](const auto& i) {
  std::string name = std::filesystem::path(i.param).filename();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace headrace
