// The vocabulary in a GGUF file's metadata (tokenizer.ggml.*).
#pragma once
#include <optional>

#include "io/gguf.h"
#include "text/tokenizer.h"

namespace headrace {

// Empty where the file has none. Throws Error for keys of a wrong type.
std::optional<Vocabulary> gguf_vocabulary(const GgufMetadata& metadata);
// The other way. Rows of the embedding that no token has are filled with unused ones, because llama.cpp counts tokens.
void write_vocabulary(const Vocabulary& vocabulary, size_t rows, GgufMetadata& metadata);

}  // namespace headrace
