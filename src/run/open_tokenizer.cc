// Which tokenizer a folder or file has, by the names of its files, in a fixed order, since some folders hold several.
#include "run/open_tokenizer.h"

#include <algorithm>
#include <cstdint>

#include "base/compress.h"
#include "base/error.h"
#include "base/file.h"
#include "io/gguf.h"
#include "nn/value.h"
#include "run/gguf_vocabulary.h"
#include "run/load.h"

namespace headrace {
namespace {

std::string not_empty(std::string bytes, const std::string& path) {
  expect(!bytes.empty(), path, ": the file is empty");
  return bytes;
}

std::optional<Tokenizer> tokenizer_alone(const std::string& folder) {
  const auto has = [&](const char* name) { return file_exists(folder + "/" + name); };
  const auto at = [&](const char* name) { return folder + "/" + name; };
  const auto read = [&](const char* name) { return not_empty(read_text(at(name), size_t{256} << 20), at(name)); };
  if (has("tokenizer.json"))
    return naming(folder, [&] {
      return Tokenizer::from_tokenizer_json(read("tokenizer.json"), at("tokenizer.json"),
                                            has("tokenizer_config.json") ? read("tokenizer_config.json") : "");
    });
  if (has("tokenizer.model"))
    return naming(at("tokenizer.model"), [&] { return Tokenizer::from_sentencepiece_model(read("tokenizer.model")); });
  if (has("rwkv_vocab_v20230424.txt"))
    return Tokenizer::from_rwkv_world(read("rwkv_vocab_v20230424.txt"), at("rwkv_vocab_v20230424.txt"));
  if (has("vocab.json") && has("merges.txt"))
    return naming(folder, [&] { return Tokenizer::from_gpt2_files(read("vocab.json"), read("merges.txt")); });
  return {};
}

// eos_token_id of a configuration: a number or a list of them, at the top or of its text part. size: of the vocabulary, which a
// configuration may say is larger, for a head may have rows that no text has.
void read_ends(const std::string& file, int64_t& size, std::vector<int64_t>& ends) {
  if (!file_exists(file)) return;
  const Value config = parse_json(read_text(file, size_t{16} << 20), file);
  const Value* part = config.find("text_config");
  const auto of = [&](const char* key) {
    const Value* found = config.find(key);
    return found || !part ? found : part->find(key);
  };
  const Value *given = of("eos_token_id"), *vocabulary = of("vocab_size");
  if (const int64_t* rows = vocabulary ? vocabulary->get<int64_t>() : nullptr) size = std::max(size, *rows);
  if (!given) return;
  const auto add = [&](const Value& v) {
    const int64_t* id = v.get<int64_t>();
    expect(id && *id >= 0 && *id < size && *id <= INT32_MAX, file, ": eos_token_id: wanted ids below ", size, ", found ", to_json(*given));
    ends.push_back(*id);
  };
  if (const Array* list = given->get<Array>()) std::ranges::for_each(*list, add);
  else add(*given);
}

}  // namespace

std::optional<Tokenizer> tokenizer_of_folder(const std::string& folder) {
  std::optional<Tokenizer> t = tokenizer_alone(folder);
  if (!t) return t;
  int64_t size = t->size();
  std::vector<int64_t> ends;
  for (const char* name : {"config.json", "generation_config.json"}) read_ends(folder + "/" + name, size, ends);
  return std::move(*t).with_ends(ends);
}

std::optional<Tokenizer> tokenizer_of_rwkv(int vocabulary, const std::string& assets) {
  if (vocabulary == 256) return Tokenizer::bytes();
  const std::string path = assets + "/tokenizers/" + (vocabulary == 65536 ? "rwkv_vocab_v20230424.txt.zst" : "gpt_neox_20b_tokenizer.json.zst");
  if ((vocabulary != 65536 && vocabulary != 50277) || assets.empty() || !file_exists(path)) return {};
  return open_tokenizer(path);
}

namespace {
// Weights without one: RWKV's tell which it is.
Tokenizer tokenizer_of_weights(const std::string& path, const std::string& assets) {
  const Loaded m = open_model(path, {.device = Device::meta, .assets = assets});
  expect(m.tokenizer.has_value(), path, ": no tokenizer.json, tokenizer.model, or vocab.json with merges.txt beside the weights",
         m.model.family.starts_with("rwkv") ? text(", and none ships for RWKV with a vocabulary of ", m.model.decoder.vocab,
                                                   " (256, 50277 and 65536 have one)") : "");
  return *m.tokenizer;
}

}  // namespace

Tokenizer open_tokenizer(const std::string& path, const std::string& assets) {
  expect(file_exists(path), path, ": no such file or folder");
  if (is_folder(path)) {
    auto found = tokenizer_of_folder(path);
    return found ? *found : tokenizer_of_weights(path, assets);
  }
  if (is_gguf(path)) {
    const auto vocabulary = gguf_vocabulary(GgufFile(path).metadata());
    expect(vocabulary.has_value(), path, ": 'tokenizer.ggml.model': there is no tokenizer in it");
    return naming(path, [&] { return Tokenizer::from_vocabulary(*vocabulary); });
  }
  if (path.ends_with(".pth") || path.ends_with(".safetensors")) return tokenizer_of_weights(path, assets);
  std::string_view name = path;
  if (name.ends_with(".zst")) name.remove_suffix(4);
  const std::string bytes = not_empty(read_packed(path), path);
  if (name.ends_with(".json")) return naming(path, [&] { return Tokenizer::from_tokenizer_json(bytes, path); });
  if (name.ends_with(".model")) return naming(path, [&] { return Tokenizer::from_sentencepiece_model(bytes); });
  if (name.ends_with(".txt")) return Tokenizer::from_rwkv_world(bytes, path);
  if (name.ends_with(".bin")) return naming(path, [&] { return Tokenizer::from_llama2c(bytes); });
  fail(path, ": expected a folder, a .gguf, or a tokenizer: .json, .model, .txt (RWKV), .bin (llama2.c)");
}

}  // namespace headrace
