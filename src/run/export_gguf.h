// Any model as one GGUF file in another element type, with its tokenizer: what `headrace quantize` does.
#pragma once
#include <functional>
#include <string>

#include "io/quantise.h"

namespace headrace {

// in: a .gguf, a Hugging Face folder, an RWKV .pth or .safetensors. False when there was no tokenizer to carry over.
bool quantise_model(const std::string& in, const std::string& out, DType type, const std::function<void(const QuantisedTensor&)>& tell = {});

}  // namespace headrace
