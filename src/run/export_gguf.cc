// A GGUF file is requantised as it is; any other model is exported first, and read back from its own metadata before anything is written.
#include "run/export_gguf.h"

#include "base/error.h"
#include "base/file.h"
#include "io/gguf_export.h"
#include "run/gguf_vocabulary.h"
#include "run/load.h"

namespace headrace {

Exported quantise_model(const std::string& in, const std::string& out, DType type, const std::string& assets,
                        const std::function<void(const QuantisedTensor&)>& tell) {
  auto own = [](const GgufMetadata& m) { return m.string("general.architecture", "") == "headrace"; };
  if (is_gguf(in)) {
    const GgufFile file(in);
    quantise(file, out, type, tell);
    return {file.metadata().has("tokenizer.ggml.model"), own(file.metadata())};
  }
  const std::string begins = in + "/" + initial_state_file;
  expect(!is_folder(in) || !file_exists(begins), begins, ": GGUF has no place for a state to begin with; the weights alone are those of the model "
         "that it was trained in");
  const Loaded model = open_model(in, {.device = Device::meta, .assets = assets});
  GgufExport e = to_gguf(read_model_config(in), open_tensors(in), model.name, in);
  read_back(e, model.model, in);
  if (model.tokenizer) {
    Vocabulary v = model.tokenizer->vocabulary();
    v.chat_template = model.chat_template;
    const auto rows = static_cast<size_t>(model.model.decoder.vocab);
    expect(v.tokens.size() <= rows, in, ": the tokenizer has ", v.tokens.size(), " tokens, the embedding ", rows, " rows");
    write_vocabulary(v, rows, e.metadata);
  } else {
    e.metadata.set("tokenizer.ggml.model", "none");
  }
  quantise(e.metadata, e.tensors, out, type, tell);
  return {model.tokenizer.has_value(), own(e.metadata)};
}

}  // namespace headrace
