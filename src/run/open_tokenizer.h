// Opens a tokenizer alone: no weights are read.
#pragma once
#include <optional>
#include <string>

#include "text/tokenizer.h"

namespace headrace {

// path: a model's folder (tokenizer.json, tokenizer.model, vocab.json with merges.txt, or RWKV's rwkv_vocab_v20230424.txt), a
// .gguf, RWKV's weights (a file, or a folder without a tokenizer), or a tokenizer's own file: tokenizer.json, SentencePiece's
// .model, RWKV's vocabulary .txt, llama2.c's .bin; each may end in .zst. `assets`: where RWKV's vocabularies ship.
Tokenizer open_tokenizer(const std::string& path, const std::string& assets = {});
// What a folder's tokenizer and its way to end and to chat may lie in.
constexpr const char* tokenizer_files[] = {"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt",
                                           "rwkv_vocab_v20230424.txt", "special_tokens_map.json", "generation_config.json", "chat_template.jinja"};
// Tokens that config.json or generation_config.json name as eos_token_id end a turn too.
std::optional<Tokenizer> tokenizer_of_folder(const std::string& folder);
// RWKV's checkpoints come without one; the number of rows of the embedding tells which it is: 256 bytes, 65536 RWKV's world,
// 50277 GPT-NeoX (the Pile).
std::optional<Tokenizer> tokenizer_of_rwkv(int vocabulary, const std::string& assets);

}  // namespace headrace
