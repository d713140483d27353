// The other way round from GgufModel: a configuration and tensors by Hugging Face's names (RWKV by any writer's) as the metadata
// and tensors of a GGUF file that llama.cpp opens. Values are stored as its graphs expect them: see gguf_dialect.h. A family that
// llama.cpp has no architecture for gets our own, "headrace": the configuration as JSON, names and values as they are.
#pragma once
#include "io/gguf.h"
#include "models/model.h"

namespace headrace {

struct GgufExport {
  GgufMetadata metadata;                           // without a tokenizer
  std::vector<TensorSource> tensors;               // in the types they have; f32 where values are changed
};
// Throws Error for an unknown family, for missing keys, for tensors that the family has no name for.
GgufExport to_gguf(const Value& config, const TensorFile& tensors, const std::string& name, const std::string& file);
// Throws Error, naming what differs, where the file would be read back as another model than `source`, which it was made of.
void read_back(const GgufExport& e, const Model& source, const std::string& file);

}  // namespace headrace
