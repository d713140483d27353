// Training data: what files become, that batches are packed documents and nothing else, and that a place in them is found again.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/safetensors.h"
#include "text/bpe_train.h"
#include "train/data.h"

namespace headrace {
namespace {

class TrainData : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/headrace-data-" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& bytes) const {
    write_atomic(folder_ + "/" + name, [&](const Sink& sink) { sink(bytes.data(), bytes.size()); });
    return folder_ + "/" + name;
  }
  Documents read(const std::string& path, DataFile file = {}) const {
    return read_documents(path, file, options_, Tokenizer::from_tokenizer_json(tokenizer_json({}), "bytes", tokenizer_config_json()), end_of_text_id);
  }
  std::string error(const std::string& path) const {
    return error_of([&] { read(path); });
  }
  DataPart options_{.separator = "<|endoftext|>", .field = "text", .length = 16, .batch = 4, .carry = false};
  std::string folder_;
};

// Numbered documents of tokens that say where they are: 1000 d + i.
Documents numbered(std::vector<int64_t> lengths, double weight = 0) {
  Documents d{.path = "numbered", .weight = weight};
  for (size_t n = 0; n < lengths.size(); ++n) {
    for (int64_t i = 0; i < lengths[n]; ++i) d.tokens.push_back(static_cast<int32_t>(1000 * static_cast<int64_t>(n) + i));
    d.begins.push_back(std::ssize(d.tokens));
  }
  return d;
}

TEST_F(TrainData, TextsEndAtTheirSeparatorAndBeginAndEndWithTheirToken) {
  const Documents d = read(write("a.txt", "one\n<|endoftext|>\ntwo\nlines\n<|endoftext|>\n"));
  EXPECT_EQ(d.count(), 2);
  EXPECT_EQ(d.begins, (std::vector<int64_t>{0, 5, 16}));
  EXPECT_EQ(d.tokens[0], end_of_text_id);
  EXPECT_EQ(d.tokens[1], 'o');
  EXPECT_EQ(d.tokens[4], end_of_text_id);
  EXPECT_EQ(d.bytes, 12);
  EXPECT_EQ(read(write("b.txt", "the word <|endoftext|> in a line")).count(), 1);
}

TEST_F(TrainData, LinesOfJsonAndTokenFilesAreRead) {
  EXPECT_EQ(read(write("a.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"tw\\u00f6\", \"n\": 1}\n")).begins, (std::vector<int64_t>{0, 5, 11}));
  EXPECT_EQ(read(write("b.jsonl", "{\"story\": \"x\"}\n"), {.field = "story"}).count(), 1);
  const std::string path = folder_ + "/t.safetensors";
  write_safetensors(path, std::vector<NamedTensor>{{"input_ids", Tensor::from(std::vector<int64_t>{1, 2, 3, 4, 5}, {5})},
                                                   {"offsets", Tensor::from(std::vector<int64_t>{0, 2, 5}, {3})}});
  EXPECT_EQ(read(path).begins, (std::vector<int64_t>{0, 2, 5}));
  write_safetensors(path, std::vector<NamedTensor>{{"input_ids", Tensor::from(std::vector<int64_t>{1, 2, 3, 4, 5}, {5})},
                                                   {"offsets", Tensor::from(std::vector<int64_t>{0, 2}, {2})}});
  EXPECT_EQ(read(path).begins, (std::vector<int64_t>{0, 2, 5})) << "the end need not be said";
}

TEST_F(TrainData, WhatCannotBeReadIsNamed) {
  EXPECT_EQ(error(folder_ + "/none.txt"), folder_ + "/none.txt: no such file");
  const std::string bad = write("a.jsonl", "{\"text\": \"one\"}\n{\"txt\": 1}\n");
  EXPECT_EQ(error(bad), bad + ":2: wanted an object with the text \"text\", found {\"txt\": 1}");
  EXPECT_NE(error(write("b.jsonl", "{\n")).find("b.jsonl:1: not valid JSON"), std::string::npos);
  const std::string empty = write("c.txt", "");
  EXPECT_EQ(error(empty), empty + ": no document of two tokens or more");
  const std::string path = folder_ + "/t.safetensors";
  write_safetensors(path, std::vector<NamedTensor>{{"input_ids", Tensor::from(std::vector<int64_t>{1, 2, 999}, {3})}});
  EXPECT_EQ(error(path), path + ": input_ids: token 2 is 999, outside the vocabulary of 257");
}

TEST_F(TrainData, EachEpochHasEveryPredictionOnceAndDocumentsStayApart) {
  Stream s({numbered({5, 100, 17, 2, 33})}, options_, 3);
  EXPECT_EQ(s.tokens(), 4 + 99 + 16 + 1 + 32);
  std::map<int32_t, int> seen;
  int64_t read = 0;
  while (read < 10 * s.tokens()) {
    const Packed p = s.next();
    EXPECT_EQ(p.tokens(), 64);
    int64_t at = 0;
    for (int64_t n : p.lengths)
      for (int64_t i = 0; i < n; ++i, ++at) {
        EXPECT_EQ(p.targets[at], p.ids[at] + 1);                                // of the same document
        EXPECT_TRUE(i == 0 || p.ids[at] == p.ids[at - 1] + 1);
        if (read < s.tokens() && at + read < s.tokens()) ++seen[p.ids[at]];
      }
    EXPECT_LE(*std::max_element(p.lengths.begin(), p.lengths.end()), 16);
    if (read == 0) {
      EXPECT_EQ(at, 64);
    }
    read += p.tokens();
  }
  EXPECT_EQ(std::ssize(seen), s.tokens());
  for (const auto& [id, n] : seen) EXPECT_EQ(n, 1) << id;
}

TEST_F(TrainData, APlaceIsFoundAgainToTheToken) {
  for (bool carry : {false, true}) {
    options_.carry = carry;
    const auto make = [&] { return Stream({numbered({50, 100, 17, 20, 33}), numbered({70, 80, 90, 20, 20, 20}, 1e3)}, options_, 5); };
    Stream a = make(), b = make();
    for (int i = 0; i < 7; ++i) a.next();
    b.seek(a.position());
    for (int i = 0; i < 30; ++i) {
      const Packed x = a.next(), y = b.next();
      EXPECT_EQ(x.ids, y.ids);
      EXPECT_EQ(x.lengths, y.lengths);
      EXPECT_EQ(x.continues, y.continues);
      EXPECT_EQ(x.lanes, y.lanes);
    }
    Stream other({numbered({50, 101})}, options_, 5);
    EXPECT_THROW(other.seek(a.position()), Error);
  }
}

TEST_F(TrainData, MixturesKeepTheirProportion) {
  Stream s({numbered({50, 40}, 3), numbered({1000, 1000, 1000}, 1)}, options_, 5);
  int64_t first = 0, all = 0;
  for (int i = 0; i < 200; ++i) {
    const Packed p = s.next();
    int64_t at = 0;
    for (int64_t n : p.lengths) {
      // The first file's documents are the shorter ones: its tokens are below 1050 and never above 50 within a document.
      first += std::all_of(p.ids.begin() + at, p.ids.begin() + at + n, [](int32_t id) { return id % 1000 < 50 && id < 1040; }) ? n : 0;
      at += n, all += n;
    }
  }
  EXPECT_NEAR(static_cast<double>(first) / static_cast<double>(all), 0.75, 0.03);
}

TEST_F(TrainData, LanesGoOnWhereTheyWere) {
  options_.carry = true;
  Stream s({numbered({50, 100, 17, 20, 33, 60, 70, 80})}, options_, 5);
  std::vector<int32_t> last(4, -1);
  for (int i = 0; i < 50; ++i) {
    const Packed p = s.next();
    int64_t at = 0;
    for (size_t k = 0; k < p.lengths.size(); ++k) {
      if (p.continues[k] >= 0) {
        EXPECT_EQ(p.ids[at], last[static_cast<size_t>(p.continues[k])]);
      }
      at += p.lengths[k];
      if (p.lanes[k] >= 0) last[static_cast<size_t>(p.lanes[k])] = p.targets[at - 1];
    }
    EXPECT_EQ(at, 64);
  }
}

TEST_F(TrainData, LossIsTakenOfTheFirstTokensInOrder) {
  const std::vector<Packed> all = in_order({numbered({50, 20})}, options_, 60);
  int64_t n = 0;
  for (const Packed& p : all) n += p.tokens();
  EXPECT_EQ(n, 60);
  EXPECT_EQ(all[0].ids[0], 0);
  EXPECT_EQ(in_order({numbered({50, 20})}, options_, 0).back().targets.back(), 1019);
}

TEST(TrainBpe, JoinsWhatIsMostFrequentAndWritesWhatTheReaderOpens) {
  const std::vector<std::string_view> texts{"low low low low lower lower newest newest newest newest newest newest widest widest widest"};
  const Merges m = train_bpe(texts, 257 + 8);
  ASSERT_EQ(m.size(), 8u);
  EXPECT_EQ(m[0], (std::pair<int, int>{'e', 's'}));                              // 9 times, before "st" by its ids
  EXPECT_EQ(m[1], (std::pair<int, int>{257, 't'}));
  const Tokenizer t = Tokenizer::from_tokenizer_json(tokenizer_json(m), "t", tokenizer_config_json());
  EXPECT_EQ(t.size(), 265);
  const std::vector<int> ids = t.encode(" newest");
  EXPECT_EQ(ids.front(), end_of_text_id);
  EXPECT_LT(ids.size(), 6u);
  EXPECT_EQ(t.decode(std::span(ids).subspan(1)), " newest");
  EXPECT_EQ(t.eos(), end_of_text_id);
  EXPECT_EQ(t.encode("a\nb\xff", {.add_special = false, .keep_broken_bytes = true}).size(), 4u);
  EXPECT_EQ(train_bpe(std::vector<std::string_view>{"ab"}, 300).size(), 0u);     // nothing is met twice
  EXPECT_THROW(train_bpe(texts, 256), Error);
  for (const std::string broken : {"a\xff" "b", "\xff", "\xff\xfe" "b caf\xe9 caf\xe9"}) train_bpe(std::vector<std::string_view>{broken}, 300);
}

}  // namespace
}  // namespace headrace
