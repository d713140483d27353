// Small trained models against what their authors, or an independent float64 program, published for them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "io/safetensors.h"
#include "nn/state.h"
#include "run/load.h"

namespace headrace {
namespace {

std::string at(const std::string& path) { return std::string(HEADRACE_ROOT) + "/" + path; }
TensorFile expected(const std::string& name) { return open_tensors(at("tests/fixtures/tiny/" + name + ".expected.safetensors")); }
std::vector<int32_t> ids(const Tensor& t) { return {t.data<int64_t>(), t.data<int64_t>() + t.count()}; }

std::vector<float> next(const Decoder& d, std::vector<int32_t> tokens, State& state) {
  Batch batch;
  batch.add(static_cast<int64_t>(tokens.size()), &state);
  Tensor y = d.logits(d.hidden(tokens, batch));
  return {y.f32() + y.count() - d.vocab, y.f32() + y.count()};
}
int best(const std::vector<float>& logits) { return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin()); }
double difference(std::span<const float> a, std::span<const float> b) {
  double most = 0;
  for (size_t i = 0; i < b.size(); ++i) most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
  return most;
}
std::vector<int32_t> greedy(const Decoder& d, State& state, std::vector<float> logits, size_t n) {
  std::vector<int32_t> all;
  for (; all.size() < n; logits = next(d, {all.back()}, state)) {
    all.push_back(best(logits));
    if (all.size() == n) break;
  }
  return all;
}

TEST(TinyModels, Stories260KTellsThePublishedStory) {
  Loaded m = open_model(at("assets/stories260K"));
  TensorFile want = expected("stories260K");
  State state;
  std::vector<float> logits = next(m.model.decoder, ids(want.at("input_ids")), state);
  EXPECT_LT(difference(logits, want.at("first_logits").floats()), 1e-4);
  const std::vector<int32_t> story = ids(want.at("generated"));
  const std::vector<int32_t> told = greedy(m.model.decoder, state, logits, story.size());
  EXPECT_EQ(told, story);
  ASSERT_TRUE(m.tokenizer);
  const Tensor& text = want.at("text");
  std::string words(text.data<char>(), text.bytes());
  EXPECT_EQ(m.tokenizer->decode(told), words);
  std::vector<int> again{1};
  again.insert(again.end(), story.begin(), story.end());
  EXPECT_EQ(m.tokenizer->encode(words), again);
}

class TinyRwkv : public testing::TestWithParam<const char*> {};
TEST_P(TinyRwkv, GivesItsPublishedLogitsAndGreedyBytes) {
  const std::string name = GetParam();
  Loaded m = open_model(at((name == "rwkv7-tiny" ? "assets/" : "tests/fixtures/tiny/") + name));
  const Decoder& d = m.model.decoder;
  TensorFile want = expected(name);
  const std::vector<int32_t> prompt = ids(want.at("input_ids"));
  State state;
  std::vector<float> logits;
  for (size_t i = 0; i < prompt.size(); ++i) {
    logits = next(d, {prompt[i]}, state);
    EXPECT_LT(difference(logits, want.at("first_logits")[static_cast<int64_t>(i)].floats()), 2e-5) << i;
  }
  EXPECT_LT(difference(logits, want.at("logits").floats()), 2e-5);
  State other;
  EXPECT_LT(difference(next(d, prompt, other), want.at("logits").floats()), 2e-5);
  const std::vector<int32_t> bytes = ids(want.at("generated"));
  EXPECT_EQ(greedy(d, state, logits, bytes.size()), bytes);
}
INSTANTIATE_TEST_SUITE_P(All, TinyRwkv, testing::Values("rwkv7-tiny", "rwkv4", "rwkv5.1", "rwkv5.2"));

TEST(TinyModels, Rwkv7TinyReadsAndWritesBytes) {
  Loaded m = open_model(at("assets/rwkv7-tiny"));
  ASSERT_TRUE(m.tokenizer);
  EXPECT_EQ(m.tokenizer->encode("\"in \n\xc3\xa9"), (std::vector<int>{34, 105, 110, 32, 10, 0xc3, 0xa9}));
  EXPECT_EQ(m.tokenizer->decode(std::vector<int>{34, 105, 110, 32, 10, 0xc3, 0xa9}), "\"in \n\xc3\xa9");
}

}  // namespace
}  // namespace headrace
