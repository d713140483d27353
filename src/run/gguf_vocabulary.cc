// GGUF's tokenizer keys to a Vocabulary and back. Lengths are held to the number of tokens, and ids to be among them.
#include "run/gguf_vocabulary.h"

#include "base/error.h"

namespace headrace {
namespace {

std::optional<int> id_of(const GgufMetadata& m, const char* key, size_t tokens) {
  if (!m.has(key)) return {};
  const int64_t id = m.integer(key);
  if (id == 0xffffffff || id == -1) return {};     // how some files say: none
  expect(id >= 0 && id < static_cast<int64_t>(tokens), m.path(), ": '", key, "': wanted a token of ", tokens, ", found ", id);
  return static_cast<int>(id);
}
std::optional<bool> flag_of(const GgufMetadata& m, const char* key) {
  return m.has(key) ? std::optional(m.boolean(key)) : std::nullopt;
}

}  // namespace

std::optional<Vocabulary> gguf_vocabulary(const GgufMetadata& m) {
  if (!m.has("tokenizer.ggml.model")) return {};
  if (const std::string kind = m.string("tokenizer.ggml.model"); kind == "none" || kind == "no_vocab") return {};   // llama.cpp knows both
  Vocabulary v;
  v.model = m.string("tokenizer.ggml.model");
  v.pre = m.string("tokenizer.ggml.pre", "");
  v.tokens = m.strings("tokenizer.ggml.tokens");
  auto one_each = [&](const char* key, size_t n) {
    expect(n == v.tokens.size(), m.path(), ": '", key, "': wanted one for each of ", v.tokens.size(), " tokens, found ", n);
  };
  if (m.has("tokenizer.ggml.scores"))
    for (double s : m.numbers("tokenizer.ggml.scores")) v.scores.push_back(static_cast<float>(s));
  if (m.has("tokenizer.ggml.token_type"))
    for (int64_t t : m.integers("tokenizer.ggml.token_type")) v.types.push_back(static_cast<int32_t>(t));
  if (!v.scores.empty()) one_each("tokenizer.ggml.scores", v.scores.size());
  if (!v.types.empty()) one_each("tokenizer.ggml.token_type", v.types.size());
  if (m.has("tokenizer.ggml.merges")) v.merges = m.strings("tokenizer.ggml.merges");
  v.bos = id_of(m, "tokenizer.ggml.bos_token_id", v.tokens.size());
  v.eos = id_of(m, "tokenizer.ggml.eos_token_id", v.tokens.size());
  v.unk = id_of(m, "tokenizer.ggml.unknown_token_id", v.tokens.size());
  v.pad = id_of(m, "tokenizer.ggml.padding_token_id", v.tokens.size());
  v.eot = id_of(m, "tokenizer.ggml.eot_token_id", v.tokens.size());
  v.add_bos = flag_of(m, "tokenizer.ggml.add_bos_token");
  v.add_eos = flag_of(m, "tokenizer.ggml.add_eos_token");
  v.add_space_prefix = flag_of(m, "tokenizer.ggml.add_space_prefix");
  v.remove_extra_whitespaces = flag_of(m, "tokenizer.ggml.remove_extra_whitespaces");
  if (m.has("tokenizer.ggml.precompiled_charsmap"))
    for (int64_t b : m.integers("tokenizer.ggml.precompiled_charsmap")) v.precompiled_charsmap += static_cast<char>(b);
  v.chat_template = m.string("tokenizer.chat_template", "");
  return v;
}

void write_vocabulary(const Vocabulary& vocabulary, size_t rows, GgufMetadata& m) {
  Vocabulary v = vocabulary;
  for (size_t id = v.tokens.size(); id < rows; ++id) {
    v.tokens.push_back(text("[PAD", id, "]"));
    v.types.push_back(5);
    if (!v.scores.empty()) v.scores.push_back(-10000);
  }
  auto key = [](const char* name) { return std::string("tokenizer.ggml.") + name; };
  m.set(key("model"), v.model);
  if (!v.pre.empty()) m.set(key("pre"), v.pre);
  m.set(key("tokens"), v.tokens);
  m.set(key("token_type"), v.types);
  if (!v.scores.empty()) m.set(key("scores"), v.scores);
  if (v.model == "gpt2") m.set(key("merges"), v.merges);
  auto id = [&](const char* name, std::optional<int> n) {
    if (n) m.set(key(name), static_cast<uint32_t>(*n));
  };
  id("bos_token_id", v.bos), id("eos_token_id", v.eos), id("unknown_token_id", v.unk), id("padding_token_id", v.pad), id("eot_token_id", v.eot);
  auto flag = [&](const char* name, std::optional<bool> b) {
    if (b) m.set(key(name), *b);
  };
  flag("add_bos_token", v.add_bos), flag("add_eos_token", v.add_eos), flag("add_space_prefix", v.add_space_prefix);
  flag("remove_extra_whitespaces", v.remove_extra_whitespaces);
  if (!v.chat_template.empty()) m.set("tokenizer.chat_template", v.chat_template);
}

}  // namespace headrace
