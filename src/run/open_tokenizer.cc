#include "run/open_tokenizer.h"

#include "base/compress.h"
#include "base/error.h"
#include "base/file.h"
#include "io/gguf.h"
#include "run/gguf_vocabulary.h"

namespace headrace {

std::optional<Tokenizer> tokenizer_of_folder(const std::string& folder) {
  const auto has = [&](const char* name) { return file_exists(folder + "/" + name); };
  const auto read = [&](const char* name) { return read_text(folder + "/" + name, size_t{256} << 20); };
  if (has("tokenizer.json"))
    return Tokenizer::from_tokenizer_json(read("tokenizer.json"), folder + "/tokenizer.json",
                                          has("tokenizer_config.json") ? read("tokenizer_config.json") : "");
  if (has("tokenizer.model")) return Tokenizer::from_sentencepiece_model(read("tokenizer.model"));
  if (has("vocab.json") && has("merges.txt")) return Tokenizer::from_gpt2_files(read("vocab.json"), read("merges.txt"));
  return {};
}

Tokenizer open_tokenizer(const std::string& path) {
  expect(file_exists(path), path, ": no such file or folder");
  if (is_folder(path)) {
    auto found = tokenizer_of_folder(path);
    expect(found.has_value(), path, ": no tokenizer.json, tokenizer.model, or vocab.json with merges.txt");
    return *found;
  }
  if (is_gguf(path)) {
    const auto vocabulary = gguf_vocabulary(GgufFile(path).metadata());
    expect(vocabulary.has_value(), path, ": 'tokenizer.ggml.model': there is no tokenizer in it");
    return Tokenizer::from_vocabulary(*vocabulary);
  }
  std::string_view name = path;
  if (name.ends_with(".zst")) name.remove_suffix(4);
  const std::string bytes = read_packed(path);
  if (name.ends_with(".json")) return Tokenizer::from_tokenizer_json(bytes, path);
  if (name.ends_with(".model")) return Tokenizer::from_sentencepiece_model(bytes);
  if (name.ends_with(".txt")) return Tokenizer::from_rwkv_world(bytes, path);
  if (name.ends_with(".bin")) return Tokenizer::from_llama2c(bytes);
  fail(path, ": expected a folder, a .gguf, or a tokenizer: .json, .model, .txt (RWKV), .bin (llama2.c)");
}

}  // namespace headrace
