// What a Tokenizer is made of. Loaders fill it; only they and tokenizer.cc include this.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/vocab.h"

namespace headrace {

struct Tokenizer::Parts {
  enum Model { merge_bpe, score_bpe, unigram_model, longest_match, word_level } model = merge_bpe;
  Vocab vocab;  // as the model matches them: bytes when byte-level, with U+2581 for SentencePiece
  MergeBpe merge;
  ScoreBpe score;
  Unigram unigram;
  Trie longest;     // longest_match: tokens over raw bytes
  Unknown unknown;  // word_level

  Normalizer normalizer;
  Pretokenizer pretokenizer;
  AddedTokens added;
  std::vector<int> prefix, suffix;  // with add_special

  // Decoding: replacements within each token, <0xXX> as bytes, then one space off the front.
  std::vector<std::pair<std::string, std::string>> shown_as;
  bool byte_names = false, strip_first_space = false, join_with_spaces = false;

  std::vector<bool> special;   // control tokens
  std::vector<bool> verbatim;  // added tokens: their text is what they stand for
  std::vector<bool> outside;   // added tokens that the model's own vocabulary does not have
  std::optional<int> bos, eos, unk, pad;
  std::vector<int> end_of_turn;
  std::string chat_template;

  // Adds a token matched in the text before anything else; sets its flags.
  void add(AddedToken token);
  // Prepares the model for encoding, the tries of added tokens, and the list of tokens that end a turn.
  void finish();
};

// The pre-tokenizers that GGUF files name; throws Error for a name that is not known.
struct NamedPretokenizer {
  Pretokenizer steps;
  bool ignore_merges = false, nfc = false;
};
NamedPretokenizer pretokenizer_by_name(std::string_view name);
// A name for the pre-tokenizer that splits by these patterns; empty when there is none.
std::string pretokenizer_name(const std::vector<std::string>& patterns, bool ignore_merges, bool nfc);

// Unknown characters of SentencePiece-like vocabularies: the ids of <0x00>...<0xFF>.
void find_byte_tokens(const Vocab& vocab, Unknown& unknown);

inline constexpr std::string_view visible_space = "\xE2\x96\x81";  // U+2581
inline constexpr int max_token_id = 1 << 24;
// Ids may have gaps, but a few bytes must not claim much memory: an id is below the number of tokens that the file lists
// plus this.
inline constexpr int spare_ids = 1 << 16;

}  // namespace headrace
