// The vocabulary in a GGUF file's metadata (tokenizer.ggml.*).
#pragma once
#include <optional>

#include "io/gguf.h"
#include "text/tokenizer.h"

namespace headrace {

// Empty where the file has none. Throws Error for keys of a wrong type.
std::optional<Vocabulary> gguf_vocabulary(const GgufMetadata& metadata);

}  // namespace headrace
