// Counts of words, pairs of neighbours in them with where they stand, and a heap of pairs by count: a join changes only the words that
// have it. Counts in the heap may be old; one that is, is put back with the count of now.
#include "text/bpe_train.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace headrace {
namespace {

using Pair = uint64_t;
Pair pair_of(int a, int b) { return uint64_t(uint32_t(a)) << 32 | uint32_t(b); }

struct Word {
  std::vector<int> ids;
  int64_t count;
};

}  // namespace

Merges train_bpe(std::span<const std::string_view> texts, int vocab, const std::function<void(int)>& progress) {
  expect(vocab > end_of_text_id, "a vocabulary of ", vocab, ": the bytes and <|endoftext|> are ", end_of_text_id + 1, " tokens");
  const Pretokenizer words_of = pretokenizer_by_name("gpt-2").steps;
  std::map<std::string, int64_t> counts;                  // ordered: the same words whatever the order of texts
  for (std::string_view t : texts)
    for (size_t begin = 0; begin < t.size();) {           // long texts a line at a time
      size_t end = t.size() - begin > (size_t{1} << 20) ? t.find('\n', begin + (size_t{1} << 20)) : t.npos;
      end = end == t.npos ? t.size() : end + 1;
      std::string piece(t.substr(begin, end - begin));
      if (!is_utf8(piece)) piece = replace_broken(piece);   // as the encoder reads it
      cut(words_of, piece, begin == 0).each([&](std::string_view w) { ++counts[std::string(w)]; });
      begin = end;
    }
  std::vector<Word> words;
  for (const auto& [w, n] : counts) {
    words.push_back({{}, n});
    for (char c : w) words.back().ids.push_back(static_cast<uint8_t>(c));
  }
  std::unordered_map<Pair, int64_t> met;
  std::unordered_map<Pair, std::vector<uint32_t>> where;  // words that have had it, some twice
  for (uint32_t i = 0; i < words.size(); ++i)
    for (size_t k = 0; k + 1 < words[i].ids.size(); ++k) {
      const Pair p = pair_of(words[i].ids[k], words[i].ids[k + 1]);
      met[p] += words[i].count, where[p].push_back(i);
    }
  struct Entry { int64_t count; Pair pair; };
  const auto later = [](const Entry& a, const Entry& b) { return a.count != b.count ? a.count < b.count : a.pair > b.pair; };
  std::priority_queue<Entry, std::vector<Entry>, decltype(later)> best(later);
  for (const auto& [p, n] : met) best.push({n, p});
  Merges merges;
  while (std::ssize(merges) < vocab - end_of_text_id - 1 && !best.empty()) {
    const Entry e = best.top();
    best.pop();
    const int64_t now = met[e.pair];
    if (now != e.count) {
      if (now > 0) best.push({now, e.pair});
      continue;
    }
    if (now < 2) break;
    const int a = static_cast<int>(e.pair >> 32), b = static_cast<int>(e.pair & 0xffffffffu);
    const int joined = end_of_text_id + 1 + static_cast<int>(merges.size());
    merges.emplace_back(a, b);
    if (progress) progress(joined + 1);
    std::vector<uint32_t> in = std::move(where[e.pair]);
    std::sort(in.begin(), in.end());
    in.erase(std::unique(in.begin(), in.end()), in.end());
    std::vector<Pair> grown;
    for (uint32_t i : in) {
      Word& w = words[i];
      const auto count_pairs = [&](int64_t n) {
        for (size_t k = 0; k + 1 < w.ids.size(); ++k) met[pair_of(w.ids[k], w.ids[k + 1])] += n;
      };
      count_pairs(-w.count);
      size_t to = 0;
      for (size_t k = 0; k < w.ids.size(); ++k) {
        const bool join = k + 1 < w.ids.size() && w.ids[k] == a && w.ids[k + 1] == b;
        w.ids[to++] = join ? joined : w.ids[k];
        k += join;
      }
      w.ids.resize(to);
      count_pairs(w.count);
      for (size_t k = 0; k + 1 < w.ids.size(); ++k)
        if (w.ids[k] == joined || w.ids[k + 1] == joined) {
          const Pair p = pair_of(w.ids[k], w.ids[k + 1]);
          where[p].push_back(i), grown.push_back(p);
        }
    }
    std::sort(grown.begin(), grown.end());
    grown.erase(std::unique(grown.begin(), grown.end()), grown.end());
    for (Pair p : grown) best.push({met[p], p});
  }
  return merges;
}

std::string tokenizer_json(const Merges& merges) {
  using json = nlohmann::ordered_json;
  std::vector<std::string> pieces(256);
  for (int b = 0; b < 256; ++b) append_byte_letter(pieces[static_cast<size_t>(b)], static_cast<uint8_t>(b));
  pieces.push_back("<|endoftext|>");
  json lines = json::array(), vocab = json::object();
  for (const auto& [a, b] : merges) {
    const std::string x = pieces[static_cast<size_t>(a)], y = pieces[static_cast<size_t>(b)];
    lines.push_back(x + " " + y), pieces.push_back(x + y);
  }
  for (size_t i = 0; i < pieces.size(); ++i) vocab[pieces[i]] = i;
  const char* end = "<|endoftext|>";
  const json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, special = {{"SpecialToken", {{"id", end}, {"type_id", 0}}}},
             second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", !merges.empty()}};
  json all;
  all["version"] = "1.0", all["truncation"] = nullptr, all["padding"] = nullptr;
  all["added_tokens"] = json::array({{{"id", end_of_text_id}, {"content", end}, {"single_word", false}, {"lstrip", false}, {"rstrip", false},
                                      {"normalized", false}, {"special", true}}});
  all["normalizer"] = nullptr, all["pre_tokenizer"] = byte_level;
  all["post_processor"] = {{"type", "TemplateProcessing"}, {"single", json::array({special, sequence})},
                           {"pair", json::array({special, sequence, second})},
                           {"special_tokens", {{end, {{"id", end}, {"ids", json::array({end_of_text_id})}, {"tokens", json::array({end})}}}}}};
  all["decoder"] = byte_level;
  all["model"] = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr},
                  {"end_of_word_suffix", nullptr}, {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", false},
                  {"vocab", vocab}, {"merges", lines}};
  return all.dump(1) + "\n";
}

std::string tokenizer_config_json() {
  return "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"bos_token\": \"<|endoftext|>\", \"eos_token\": \"<|endoftext|>\"}\n";
}

}  // namespace headrace
