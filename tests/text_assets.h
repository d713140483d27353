// The tokenizers that ship, loaded once for all tests.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "base/compress.h"
#include "text/tokenizer.h"

namespace headrace::testing {

inline std::string asset(const std::string& name) {
  return read_packed(std::string(HEADRACE_ROOT "/assets/tokenizers/") + name);
}
inline std::string fixture(const std::string& name) {
  return read_packed(std::string(HEADRACE_ROOT "/tests/fixtures/text/") + name);
}

inline const Tokenizer& gpt2() {
  static const Tokenizer t = Tokenizer::from_gpt2_files(asset("gpt2_encoder.json.zst"), asset("gpt2_merges.txt.zst"));
  return t;
}
inline const Tokenizer& gpt_neox() {
  static const Tokenizer t =
      Tokenizer::from_tokenizer_json(asset("gpt_neox_20b_tokenizer.json.zst"), "gpt_neox_20b_tokenizer.json");
  return t;
}
inline const Tokenizer& rwkv_world() {
  static const Tokenizer t =
      Tokenizer::from_rwkv_world(asset("rwkv_vocab_v20230424.txt.zst"), "rwkv_vocab_v20230424.txt");
  return t;
}
inline Vocabulary smollm2_vocabulary() {
  nlohmann::json j = nlohmann::json::parse(asset("smollm2_vocabulary.json.zst"));
  Vocabulary v;
  v.model = j["tokenizer.ggml.model"];
  v.pre = j["tokenizer.ggml.pre"];
  v.tokens = j["tokenizer.ggml.tokens"].get<std::vector<std::string>>();
  v.types = j["tokenizer.ggml.token_type"].get<std::vector<int32_t>>();
  v.merges = j["tokenizer.ggml.merges"].get<std::vector<std::string>>();
  v.bos = j["tokenizer.ggml.bos_token_id"].get<int>();
  v.eos = j["tokenizer.ggml.eos_token_id"].get<int>();
  v.unk = j["tokenizer.ggml.unknown_token_id"].get<int>();
  v.pad = j["tokenizer.ggml.padding_token_id"].get<int>();
  v.add_bos = j["tokenizer.ggml.add_bos_token"].get<bool>();
  v.add_space_prefix = j["tokenizer.ggml.add_space_prefix"].get<bool>();
  v.chat_template = j["tokenizer.chat_template"];
  return v;
}
inline const Tokenizer& smollm2() {
  static const Tokenizer t = Tokenizer::from_vocabulary(smollm2_vocabulary());
  return t;
}

}  // namespace headrace::testing
