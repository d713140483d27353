// Opens a tokenizer alone: no weights are read.
#pragma once
#include <optional>
#include <string>

#include "text/tokenizer.h"

namespace headrace {

// path: a model's folder (tokenizer.json, tokenizer.model, or vocab.json with merges.txt), a .gguf, or a tokenizer's own
// file: tokenizer.json, SentencePiece's .model, RWKV's vocabulary .txt, llama2.c's .bin; each may end in .zst.
Tokenizer open_tokenizer(const std::string& path);
std::optional<Tokenizer> tokenizer_of_folder(const std::string& folder);
// RWKV's checkpoints come without one; the number of rows of the embedding tells which it is: 256 bytes, 65536 RWKV's world,
// 50277 GPT-NeoX (the Pile). `assets`: where the two vocabularies ship.
std::optional<Tokenizer> tokenizer_of_rwkv(int vocabulary, const std::string& assets);

}  // namespace headrace
