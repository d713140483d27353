// The laws of run/check.h: they hold on every fixture, on the models that ship, from GGUF and in blocks; and each of them is broken by
// a model made to break it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "run/check.h"
#include "run/load.h"

using namespace headrace;

namespace {

const std::vector<std::string> all_laws{"chunked", "batched", "forked", "rolled back", "saved", "continued"};

std::vector<std::string> paths() {
  std::vector<std::string> all{"assets/stories260K", "assets/rwkv7-tiny"};
  for (const auto& e : std::filesystem::directory_iterator(HEADRACE_ROOT "/tests/fixtures/models"))
    if (const std::string name = e.path().filename(); e.is_directory())
      all.push_back("tests/fixtures/models/" + name + (name.ends_with("_pth") ? "/model.pth" : ""));
  for (const auto& e : std::filesystem::directory_iterator(HEADRACE_ROOT "/tests/fixtures/gguf"))
    if (e.path().extension() == ".gguf") all.push_back("tests/fixtures/gguf/" + e.path().filename().string());
  std::sort(all.begin(), all.end());
  return all;
}
class Laws : public testing::TestWithParam<std::string> {};

TEST_P(Laws, HoldHoweverASequenceIsRun) {
  set_thread_count(GetParam().ends_with("models/llama") ? 2 : 1);   // tiny models are faster on one
  Loaded m = open_model(HEADRACE_ROOT "/" + GetParam());
  const int64_t tokens = m.model.decoder.positions ? std::min<int64_t>(m.model.decoder.positions.dim(0), 100) : 150;   // learned ones end
  std::vector<std::string> laws;
  for (const Checked& r : check_model(m.model.decoder, identity(m), {.tokens = tokens})) {
    EXPECT_TRUE(r.ok) << r.law << ": worst " << r.worst << " (" << r.detail << ")";
    laws.push_back(r.law);
  }
  EXPECT_EQ(laws, all_laws);
}
INSTANTIATE_TEST_SUITE_P(Models, Laws, testing::ValuesIn(paths()), [](const auto& i) {
  std::string name = i.param.substr(i.param.starts_with("tests/fixtures/") ? 15 : 0);
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

TEST(LawsThatFail, AStackThatSeesLaterTokensIsHeldToTheOneLawThatItHas) {
  const Loaded m = open_blueprint("d=8 vocab=32 linformer(heads=2, longest=64)", {.jitter = 0.05});
  const auto results = check_model(m.model.decoder, identity(m), {.tokens = 40});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].law, "batched");
  EXPECT_TRUE(results[0].ok) << results[0].worst;
}

// A sound model with one more layer, which is not; the laws that it breaks.
std::set<std::string> broken_by(Sublayer fault) {
  set_thread_count(1);
  Loaded m = open_blueprint("d=8 vocab=32 attn(heads=2), mamba(state=4)", {.jitter = 0.05});
  m.model.decoder.layers.push_back({"fault", std::move(fault)});
  std::set<std::string> broken;
  std::vector<std::string> laws;
  for (const Checked& r : check_model(m.model.decoder, identity(m), {.tokens = 40})) {
    laws.push_back(r.law);
    if (!r.ok) broken.insert(r.law);
  }
  EXPECT_EQ(laws, all_laws);
  return broken;
}
bool has(const std::set<std::string>& all, std::initializer_list<const char*> some) {
  return std::all_of(some.begin(), some.end(), [&](const char* s) { return all.contains(s); });
}
float* row(Tensor& x, int64_t r) { return x.f32() + r * x.dim(1); }

TEST(LawsThatFail, NoneForALayerThatAddsANumberToEachToken) {
  EXPECT_EQ(broken_by([](const Tensor& x, Pass) {
    Tensor y = x.contiguous_copy();
    for (int64_t t = 0; t < y.dim(0); ++t) row(y, t)[0] += 1;
    return y;
  }), std::set<std::string>{});
}

// In any of its matrices: what is no number must come out at the other end.
TEST(LawsThatFail, AllForAParameterThatIsNoNumber) {
  set_thread_count(1);
  for (size_t i = 0;; ++i) {
    Loaded m = open_blueprint("d=32 vocab=32 attn(heads=2), mamba(state=4), entmax(heads=2), gla(heads=2) + swiglu", {.pack = false, .jitter = 0.05});
    if (i == m.source->parameters.size()) break;
    const Parameter& p = m.source->parameters[i];
    if (p.shape.rank() < 2 || p.name.ends_with("A_log")) continue;       // from these something was derived when the model was bound
    Tensor value = p.value;
    for (int64_t k = 0; k < value.count(); ++k) value.data<float>()[k] = NAN;
    for (const Checked& r : check_model(m.model.decoder, identity(m), {.tokens = 40})) EXPECT_FALSE(r.ok) << p.name << ": " << r.law;
  }
}

// What it remembers is in no slot: it goes on from whatever ran before.
TEST(LawsThatFail, AllButOneForAMixerThatKeepsAStateOfItsOwn) {
  auto kept = std::make_shared<float>(0.f);
  const auto broken = broken_by([kept](const Tensor& x, Pass) {
    Tensor y = x.contiguous_copy();
    for (int64_t t = 0; t < y.dim(0); ++t) {
      const float now = *kept;
      *kept = 0.9f * *kept + row(y, t)[0];
      row(y, t)[0] += now;
    }
    return y;
  });
  EXPECT_TRUE(has(broken, {"chunked", "batched", "forked", "rolled back", "saved", "continued"})) << testing::PrintToString(broken);
}

TEST(LawsThatFail, BatchedForALayerThatLooksAtTheSequenceBefore) {
  EXPECT_EQ(broken_by([](const Tensor& x, Pass p) {
    Tensor y = x.contiguous_copy();
    for (size_t s = 1; s + 1 < p.batch->offsets.size(); ++s) row(y, p.batch->offsets[s])[0] += row(y, p.batch->offsets[s] - 1)[0];
    return y;
  }), std::set<std::string>{"batched"});
}

// Its sum is written in place, also where a copy of the state holds the same memory.
TEST(LawsThatFail, ForkedAndRolledBackForASlotThatItsCopiesShare) {
  const auto broken = broken_by([](const Tensor& x, Pass p) {
    Tensor y = x.contiguous_copy();
    const Slot slot = p.slot("sum");
    for (size_t s = 0; s + 1 < p.batch->offsets.size(); ++s) {
      float sum = 0;
      if (!slot.values.empty() && !slot.values[s]->value) slot.values[s]->value = Tensor::zeros({1});
      float& kept = slot.values.empty() ? sum : slot.values[s]->value.f32()[0];
      for (int64_t t = p.batch->offsets[s]; t < p.batch->offsets[s + 1]; ++t) row(y, t)[0] += kept = 0.9f * kept + row(y, t)[0];
    }
    return y;
  });
  EXPECT_TRUE(has(broken, {"forked", "rolled back"})) << testing::PrintToString(broken);
  EXPECT_FALSE(broken.contains("chunked") || broken.contains("batched")) << testing::PrintToString(broken);
}

// It counts where no file looks: beside a value, not in it.
TEST(LawsThatFail, SavedForASlotThatIsNotAllInTheFile) {
  EXPECT_EQ(broken_by([](const Tensor& x, Pass p) {
    Tensor y = x.contiguous_copy();
    const Slot slot = p.slot("count");
    for (size_t s = 0; s + 1 < p.batch->offsets.size(); ++s) {
      int64_t alone = 0;
      if (!slot.values.empty() && !slot.values[s]->value) slot.values[s]->value = Tensor::zeros({1});
      int64_t& count = slot.values.empty() ? alone : slot.values[s]->length;
      for (int64_t t = p.batch->offsets[s]; t < p.batch->offsets[s + 1]; ++t) row(y, t)[0] += static_cast<float>(count++ % 7);
    }
    return y;
  }), std::set<std::string>{"saved"});
}

TEST(LawsThatFail, ChunkedAndContinuedForALayerThatSeesWhereAChunkBegins) {
  const auto broken = broken_by([](const Tensor& x, Pass p) {
    Tensor y = x.contiguous_copy();
    for (size_t s = 0; s + 1 < p.batch->offsets.size(); ++s)
      for (int64_t t = p.batch->offsets[s]; t < p.batch->offsets[s + 1]; ++t) row(y, t)[0] += static_cast<float>(t - p.batch->offsets[s]);
    return y;
  });
  EXPECT_EQ(broken, (std::set<std::string>{"chunked", "continued"}));
}

}  // namespace
