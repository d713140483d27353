#include "run/export_gguf.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "io/gguf_export.h"
#include "run/gguf_vocabulary.h"
#include "run/load.h"
#include "run/open_tokenizer.h"

namespace headrace {

bool quantise_model(const std::string& in, const std::string& out, DType type, const std::function<void(const QuantisedTensor&)>& tell) {
  if (is_gguf(in)) {
    const GgufFile file(in);
    quantise(file, out, type, tell);
    return file.metadata().has("tokenizer.ggml.model");
  }
  const TensorFile tensors = open_tensors(in);
  const std::string name = std::filesystem::path(in).lexically_normal().filename().string();
  GgufExport e = to_gguf(read_model_config(in), tensors, name, in);
  int64_t rows = 0;
  for (const TensorSource& t : e.tensors)
    if (t.name == "token_embd.weight") rows = t.shape[0];
  const auto tokenizer = is_folder(in) ? tokenizer_of_folder(in) : std::nullopt;
  if (tokenizer) {
    Vocabulary v = tokenizer->vocabulary();
    const std::string chat = in + "/chat_template.jinja";
    if (file_exists(chat)) v.chat_template = read_text(chat, size_t{1} << 20);
    expect(static_cast<int64_t>(v.tokens.size()) <= rows, in, ": the tokenizer has ", v.tokens.size(), " tokens, the embedding ", rows, " rows");
    write_vocabulary(v, static_cast<size_t>(rows), e.metadata);
  } else {
    e.metadata.set("tokenizer.ggml.model", "none");
  }
  quantise(e.metadata, e.tensors, out, type, tell);
  return tokenizer.has_value();
}

}  // namespace headrace
