// Tokenizers: text <-> ids, for every vocabulary that the engine's checkpoints come with.
//
//   Tokenizer t = Tokenizer::from_tokenizer_json(json, "tokenizer.json");
//   std::vector<int> ids = t.encode("Hello");
//   std::string text = t.decode(ids);
//
// A Tokenizer is a cheap copy of a shared, immutable value; any number of threads may use it.
//
// Any bytes can be encoded. Vocabularies over bytes (RWKV world, bytes()) take them as they are. All others are defined
// on Unicode text, and broken UTF-8 becomes U+FFFD first, one for each broken unit, as Python's
// decode(errors="replace") gives to the reference implementations; with .keep_broken_bytes the bytes themselves are
// encoded where the vocabulary has tokens for bytes, so that decode gives them back.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace {

struct EncodeOptions {
  bool add_special = true;    // the model's own begin and end tokens
  bool parse_special = true;  // "<|im_end|>" in the text is that token; false: it is ordinary text
  bool keep_broken_bytes = false;
};

struct DecodeOptions {
  bool skip_special = false;       // leave out control tokens
  bool keep_broken_bytes = false;  // false: what is not UTF-8 becomes U+FFFD
};

// A vocabulary as GGUF metadata (tokenizer.ggml.*) stores it.
struct Vocabulary {
  std::string model;  // "gpt2" byte-level BPE, "llama" SentencePiece BPE, "t5" unigram, "rwkv"
  std::string pre;    // name of the pre-tokenizer, for "gpt2"
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string> merges;
  std::optional<int> bos, eos, unk, pad, eot;
  std::optional<bool> add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
  std::string precompiled_charsmap;
  bool f32_sums = false;  // unigram: sums of scores are kept in f32, as SentencePiece does and Hugging Face does not
  std::string chat_template;
};

class Tokenizer {
 public:
  // Hugging Face's tokenizer.json, with tokenizer_config.json for the names of special tokens and the chat template.
  static Tokenizer from_tokenizer_json(std::string_view json, std::string_view file_name,
                                       std::string_view config_json = {});
  static Tokenizer from_vocabulary(const Vocabulary& vocabulary);
  Vocabulary vocabulary() const;  // the other way; throws Error for what GGUF cannot say
  static Tokenizer from_rwkv_world(std::string_view vocab_text, std::string_view name);  // lines: id literal length
  static Tokenizer from_gpt2_files(std::string_view encoder_json, std::string_view merges_txt);
  static Tokenizer from_llama2c(std::string_view bytes);              // llama2.c's tokenizer.bin
  static Tokenizer from_sentencepiece_model(std::string_view bytes);  // SentencePiece's .model, BPE and unigram
  static Tokenizer bytes();                                           // 256 tokens, the byte values

  std::vector<int> encode(std::string_view text, EncodeOptions options = {}) const;
  std::string decode(std::span<const int> ids,
                     DecodeOptions options = {}) const;  // an id outside the vocabulary throws

  int size() const;
  std::string piece(int id) const;                        // the bytes that the token stands for
  std::optional<int> find(std::string_view piece) const;  // by the bytes, or by a special token's text
  bool is_special(int id) const;                          // a control token
  std::optional<int> bos() const;
  std::optional<int> eos() const;
  std::optional<int> unk() const;
  std::optional<int> pad() const;
  std::span<const int> end_of_turn() const;  // tokens that end an answer, eos among them
  Tokenizer with_ends(std::span<const int64_t> more) &&;  // these end one too; while it has no copies
  const std::string& chat_template() const;  // empty when there is none
  bool strips_first_space() const;           // decode drops one space at the start

  struct Parts;
  explicit Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  const Parts& parts() const { return *parts_; }

 private:
  std::shared_ptr<const Parts> parts_;
};

// Ids in, whole characters out: bytes of an unfinished character are held back until it is whole.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, DecodeOptions options = {})
      : tokenizer_(std::move(tokenizer)), options_(options) {}
  std::string next(int id);
  std::string flush();  // what is held back, as U+FFFD; the decoder may start over after it

 private:
  Tokenizer tokenizer_;
  DecodeOptions options_;
  std::string held_;
  bool at_start_ = true;
};

}  // namespace headrace
