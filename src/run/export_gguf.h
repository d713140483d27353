// Any model as one GGUF file in another element type, with its tokenizer: what `headrace quantize` does.
#pragma once
#include <functional>
#include <string>

#include "io/quantise.h"

namespace headrace {

struct Exported {
  bool tokenizer;                        // false: there was none to carry over
  bool own;                              // an architecture of ours, which llama.cpp does not open
};
// in: a .gguf, a Hugging Face folder, an RWKV .pth or .safetensors. `assets`: as LoadOptions.
Exported quantise_model(const std::string& in, const std::string& out, DType type, const std::string& assets,
                        const std::function<void(const QuantisedTensor&)>& tell = {});

}  // namespace headrace
