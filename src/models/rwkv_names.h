// RWKV's parameters under the names of its author's checkpoints (`emb`, `blocks.0.att...`, `blocks.0.ffn...`, `ln_out`,
// `head`), whoever wrote the file: transformers and its ports (`rwkv.blocks.0.attention...`), flash-linear-attention
// (`model.layers.0.attn...`), llama.cpp (`blk.0.time_mix...`). A table per writer; the models never know.
#pragma once
#include <string>

#include "nn/scope.h"
#include "nn/value.h"

namespace headrace {

enum class RwkvWriter { official, transformers, fla, gguf };

// Makes source.find and source.names speak official names and layouts; names without a rule stay, and so show up as spare.
// From the configuration it needs, of GGUF alone, head_size (RWKV-7) and rescale_every (RWKV-6: the file holds the output
// and channel value matrices of layer l divided by 2^(l / rescale_every); they are multiplied back). What is trained goes back to the
// file's names and layouts by source.as_stored.
RwkvWriter use_official_names(Source& source, const Value& config, const std::string& file);

}  // namespace headrace
