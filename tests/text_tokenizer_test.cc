// Ids of four published vocabularies against those of their own libraries (stored), streams against whole texts, and files that lie.
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <sstream>

#include "base/error.h"
#include "error_of.h"
#include "processor_time.h"
#include "run/open_tokenizer.h"
#include "text/tokenizer.h"
#include "text_assets.h"

namespace headrace {
namespace {

using testing::fixture;
using Ids = std::vector<int>;

std::string from_base64(const std::string& in) {
  const std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int held = 0;
  for (char c : in) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(alphabet.find(c));
    if ((held += 6) >= 8) out += static_cast<char>(bits >> (held -= 8));
  }
  return out;
}

TEST(Tokenizer, GivesTheReferenceIdsOfFourVocabularies) {
  const nlohmann::json reference = nlohmann::json::parse(fixture("reference_tokens.json"));
  for (const auto& entry : reference) {
    const std::string text = entry["text"];
    const EncodeOptions plain{.add_special = false, .parse_special = false};
    EXPECT_EQ(testing::gpt2().encode(text, plain), entry["gpt2"].get<Ids>()) << text;
    EXPECT_EQ(testing::gpt_neox().encode(text), entry["gpt_neox_20b"].get<Ids>()) << text;
    EXPECT_EQ(testing::rwkv_world().encode(text), entry["rwkv_world"].get<Ids>()) << text;
    EXPECT_EQ(testing::smollm2().encode(text, plain), entry["smollm2"].get<Ids>()) << text;
    for (const Tokenizer* t : {&testing::gpt2(), &testing::rwkv_world(), &testing::smollm2()})
      EXPECT_EQ(t->decode(t->encode(text, plain)), text);
  }
}

TEST(Tokenizer, GivesTheGpt2IdsThatLlamaCppTestsWith) {
  const std::string separator = "\n__ggml_vocab_test__\n", texts = fixture("llamacpp_gpt2.inp");
  std::istringstream lines(fixture("llamacpp_gpt2.out"));
  size_t at = 0, n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    const size_t end = texts.find(separator, at);
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<int>(numbers), {}};
    EXPECT_EQ(testing::gpt2().encode(texts.substr(at, end - at), {.add_special = false}), expected) << "text " << n;
    if (end == texts.npos) break;
    at = end + separator.size();
  }
  EXPECT_GT(n, 40u);
}

// Mixed scripts, emoji, code, white space and broken UTF-8, in base64 because JSON holds no broken text.
TEST(Tokenizer, RandomLinesOfEverythingGiveTheReferenceIds) {
  const nlohmann::json stored = nlohmann::json::parse(fixture("tokenizer_lines.json.zst"));
  const auto trained = [](const char* name) { return open_tokenizer(std::string(HEADRACE_ROOT "/tests/fixtures/text/") + name); };
  const std::map<std::string, Tokenizer> tokenizers = {
      {"gpt2", testing::gpt2()},
      {"gpt-neox-20b", testing::gpt_neox()},
      {"smollm2 as GGUF", testing::smollm2()},
      {"stories260K .model", open_tokenizer(HEADRACE_ROOT "/assets/stories260K")},
      {"rwkv world", testing::rwkv_world()},
      {"unigram", trained("unigram.json.zst")},
      {"llama 3 style", trained("llama3_style.json.zst")},
      {"qwen style", trained("qwen_style.json.zst")},
      {"words", trained("words.json.zst")},
      {"sentencepiece unigram, few rules", trained("sentencepiece_unigram.model.zst")},
  };
  EXPECT_EQ(stored["ids"].size(), tokenizers.size());
  for (const auto& [name, reference] : stored["ids"].items()) {
    const bool plain = reference["plain"];
    for (size_t i = 0; i < stored["lines"].size(); ++i) {
      const std::string line = from_base64(stored["lines"][i]);
      EXPECT_EQ(tokenizers.at(name).encode(line, {.add_special = !plain, .parse_special = !plain}), reference["ids"][i].get<Ids>())
          << name << ", line " << i;
    }
  }
}

TEST(Tokenizer, Llama2cStartsWithTokenOneAndDropsTheFirstSpace) {
  Tokenizer t = Tokenizer::from_llama2c(fixture("tok512.bin"));
  EXPECT_EQ(t.size(), 512);
  EXPECT_EQ(t.encode("Once upon a time, there was a little girl"),
            (Ids{1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421}));
  EXPECT_EQ(t.decode(Ids{1, 403, 407, 261, 378}), "\n<s>\nOnce upon a time");
  const std::string odd = "a\n\xF0\x9F\x99\x82 \xC3\xA9";
  EXPECT_EQ(t.decode(t.encode(odd), {.skip_special = true}), odd);
}

TEST(Tokenizer, SpecialTokensAreTextUnlessAskedFor) {
  const Tokenizer& t = testing::smollm2();
  EXPECT_EQ(t.encode("<|im_start|>user", {.parse_special = true}), (Ids{1, 4093}));
  EXPECT_GT(t.encode("<|im_start|>user", {.parse_special = false}).size(), 4u);
  EXPECT_EQ(t.decode(Ids{1, 4093, 2}, {.skip_special = true}), "user");
  EXPECT_EQ(t.eos(), 2);
  EXPECT_TRUE(t.is_special(2));
  EXPECT_FALSE(t.is_special(4093));
  EXPECT_EQ(Ids(t.end_of_turn().begin(), t.end_of_turn().end()), (Ids{2, 0}));
  EXPECT_EQ(t.find("<|im_end|>"), 2);
  EXPECT_EQ(t.piece(2), "<|im_end|>");
}

TEST(Tokenizer, EveryTokenIsFoundByItsPiece) {
  for (const Tokenizer* t : {&testing::gpt2(), &testing::gpt_neox(), &testing::rwkv_world(), &testing::smollm2()})
    for (int id = 1; id < t->size(); id += 97) {
      auto found = t->find(t->piece(id));
      ASSERT_TRUE(found.has_value()) << id;
      EXPECT_EQ(t->piece(*found), t->piece(id));
    }
  EXPECT_THROW(testing::gpt2().piece(60000), Error);
  EXPECT_THROW(testing::gpt2().decode(Ids{-1}), Error);
}

TEST(Tokenizer, BrokenUtf8IsReplacedOrKeptAsAsked) {
  const std::string broken = "a\xE9\xE2\x82 b\xC3";  // no vocabulary was trained on bytes that UTF-8 never has
  for (const Tokenizer* t : {&testing::gpt2(), &testing::smollm2(), &testing::gpt_neox()}) {
    EXPECT_EQ(t->decode(t->encode(broken)), "a\xEF\xBF\xBD\xEF\xBF\xBD b\xEF\xBF\xBD");
    EXPECT_EQ(t->decode(t->encode(broken, {.keep_broken_bytes = true}), {.keep_broken_bytes = true}), broken);
  }
  for (const Tokenizer& t : {testing::rwkv_world(), Tokenizer::bytes()})
    EXPECT_EQ(t.decode(t.encode(broken), {.keep_broken_bytes = true}), broken);
}

TEST(Tokenizer, BytesAreTheirOwnIds) {
  EXPECT_EQ(Tokenizer::bytes().encode("\"in\xFF"), (Ids{0x22, 0x69, 0x6e, 0xFF}));
  EXPECT_EQ(Tokenizer::bytes().size(), 256);
}

TEST(StreamDecoder, HoldsBackUnfinishedCharacters) {
  StreamDecoder d(Tokenizer::bytes());
  EXPECT_EQ(d.next(0xF0), "");
  EXPECT_EQ(d.next(0x9F), "");
  EXPECT_EQ(d.next(0x99), "");
  EXPECT_EQ(d.next(0x82), "\xF0\x9F\x99\x82");
  EXPECT_EQ(d.next('a'), "a");
  EXPECT_EQ(d.next(0xE2), "");
  EXPECT_EQ(d.next('b'),
            "\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(d.next(0xE2), "");
  EXPECT_EQ(d.flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(d.flush(), "");
}

TEST(StreamDecoder, GivesWhatDecodeGivesForEveryReferenceText) {
  for (const auto& entry : nlohmann::json::parse(fixture("reference_tokens.json")))
    for (const Tokenizer* t : {&testing::gpt2(), &testing::rwkv_world(), &testing::smollm2()}) {
      const Ids ids = t->encode(entry["text"].get<std::string>());
      StreamDecoder d(*t);
      std::string text;
      for (int id : ids) text += d.next(id);
      EXPECT_EQ(text + d.flush(), t->decode(ids));
    }
}

TEST(Tokenizer, AnIdFarBeyondTheTokensThatAreListedIsRefused) {
  auto json = [](int id) {
    return text(R"({"added_tokens": [{"id": )", id, R"(, "content": "<far>", "special": true}], "model": {"type": "WordLevel", "vocab": {"a": 0}}})");
  };
  EXPECT_EQ(Tokenizer::from_tokenizer_json(json(65537), "file").size(), 65538);
  for (int id : {65538, 16'700'000}) EXPECT_THROW(Tokenizer::from_tokenizer_json(json(id), "file"), Error) << id;
  EXPECT_EQ(Tokenizer::from_rwkv_world("65537 'a' 1\n", "file").size(), 65538);
  EXPECT_THROW(Tokenizer::from_rwkv_world("65538 'a' 1\n", "file"), Error);
  EXPECT_EQ(Tokenizer::from_gpt2_files(R"({"a": 65536})", "").size(), 65537);
  EXPECT_THROW(Tokenizer::from_gpt2_files(R"({"a": 65537})", ""), Error);
}

TEST(RwkvWorld, NamesTheLineThatIsWrong) {
  const auto message = [](std::string_view vocab) { return error_of([&] { Tokenizer::from_rwkv_world(vocab, "v.txt"); }); };
  EXPECT_EQ(message("1 'a' 1\n2 b'\\xff' 1\n3 \"it's\" 4\n4 '\\u00e9' 2\n"), "");
  for (const char* line :
       {"2 'ab' 1", "1 'b' 1", "2 b 1", "x 'b' 1", "2 '\\q' 1", "2 '' 0", "", "2 'b'", "2 'a'b' 3", "2 '\\x4' 1"})
    EXPECT_NE(message(text("1 'a' 1\n", line, "\n9 'z' 1\n")).find("v.txt:2"), std::string::npos) << line;
}

TEST(Tokenizer, AMillionBytesWithoutASpaceTakeUnderTwoSeconds) {
  std::string zebra, spaces(1 << 20, ' '), marks, same(1 << 20, 'a');
  while (zebra.size() < (1 << 20)) zebra += "abcdefghij"[zebra.size() * zebra.size() % 7 + zebra.size() % 3];
  while (marks.size() < (1 << 20)) marks += "\xCC\x81\xCC\xA7";
  for (const std::string& text : {zebra, spaces, marks, same})
    for (const Tokenizer* t : {&testing::gpt2(), &testing::gpt_neox(), &testing::rwkv_world(), &testing::smollm2()}) {
      const testing::ProcessorTime work;
      EXPECT_FALSE(t->encode(text).empty());
      EXPECT_LT(work.seconds(), 2.0);
    }
}

}  // namespace
}  // namespace headrace
