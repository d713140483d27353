// A tokenizer as GGUF's vocabulary and back encodes and decodes as before.
#include <gtest/gtest.h>

#include "base/error.h"
#include "run/open_tokenizer.h"
#include "text_assets.h"

namespace headrace {
namespace {

const char* const texts[] = {"", " ", "Once upon a time, there was a little girl named Lily.", "  two  spaces\n\n\tand tabs \r\n",
    "naïve café — 東京 🙂👍🏽 мир", "x = 12345 * 3.14;  // it's",
                             "don't WON'T I'll <|endoftext|> <s> \\x00 'quoted' \"both\"", "ﬁ Å e\u0301"};

void expect_same(const Tokenizer& t, const std::string& name, bool parse_special = true) {
  const Tokenizer u = Tokenizer::from_vocabulary(t.vocabulary());
  EXPECT_EQ(u.size(), t.size()) << name;
  EXPECT_EQ(u.bos(), t.bos()) << name;
  EXPECT_EQ(u.eos(), t.eos()) << name;
  for (const char* s : texts)
    for (bool special : {true, false}) {
      const EncodeOptions o{.add_special = special, .parse_special = special && parse_special};
      const std::vector<int> ids = t.encode(s, o);
      EXPECT_EQ(u.encode(s, o), ids) << name << ": " << s;
      EXPECT_EQ(u.decode(ids), t.decode(ids)) << name << ": " << s;
    }
}

TEST(TokenizerExport, EveryShippedVocabularyComesBackTheSame) {
  for (const char* model : {"stories260K", "rwkv7-tiny"}) expect_same(open_tokenizer(std::string(HEADRACE_ROOT) + "/assets/" + model), model);
  expect_same(testing::gpt2(), "gpt2");
  expect_same(testing::gpt_neox(), "gpt_neox");
  expect_same(testing::rwkv_world(), "rwkv_world", false);   // its token 0 has no text; GGUF calls it <s>
  expect_same(testing::smollm2(), "smollm2");
}

TEST(TokenizerExport, TheVocabularyOfAGgufFileIsGivenBackAsItWas) {
  const Vocabulary v = testing::smollm2_vocabulary(), w = testing::smollm2().vocabulary();
  EXPECT_EQ(w.model, v.model);
  EXPECT_EQ(w.pre, v.pre);
  EXPECT_EQ(w.tokens, v.tokens);
  EXPECT_EQ(w.types, v.types);
  EXPECT_EQ(w.merges, v.merges);
  EXPECT_EQ(w.bos, v.bos);
  EXPECT_EQ(w.eos, v.eos);
  EXPECT_EQ(w.add_bos, v.add_bos);
}

}  // namespace
}  // namespace headrace
