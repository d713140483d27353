// What a GGUF file's metadata say of the model, as a configuration in the names of Hugging Face's config.json.
#pragma once
#include "io/gguf.h"
#include "nn/value.h"

namespace headrace {

Value gguf_config(const GgufMetadata& metadata);   // throws Error for an architecture that is not known, and for missing keys

}  // namespace headrace
