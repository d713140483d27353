// Opens a model from what users have: a Hugging Face folder (config.json, safetensors), a .gguf, an RWKV .pth or
// .safetensors with official names, with its tokenizer where there is one.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "models/model.h"
#include "run/state_file.h"
#include "text/tokenizer.h"

namespace headrace {

struct LoadOptions {
  Device device = Device::cpu;           // meta: a plan; shapes and bytes, nothing loaded
  Device plan_for = Device::cpu;         // whose arrangement of the weights a plan counts; the device need not be there
  int64_t context = 0;                   // the longest sequence to come, where it is known: models/rope.h
  std::string assets = {};               // the folder of what ships: vocabularies for RWKV's bare checkpoints
  bool pack = true;                      // matrices in the device's own arrangement; off for the definitions (naive)
  uint64_t seed = 0;                     // of a blueprint's parameters
  double jitter = 0;                     // nn/init.h
  bool initial_state = true;             // sequences begin with the folder's initial.state, where it has one
};

struct Loaded {
  std::string path;
  Model model;
  std::optional<Tokenizer> tokenizer;
  std::string chat_template;             // empty: none
  std::string name;                      // for people
  size_t file_bytes = 0;
  std::shared_ptr<Source> source;        // parameters in order of declaration

  // Of configuration, names, shapes, dtypes and every byte of every weight. Reads the whole file, once, when it is first asked for.
  const std::string& hash() const;
  std::function<std::string()> fingerprint;
  mutable std::string known_hash = {};   // once it was asked for
  std::string piece(int32_t id) const;   // of the tokenizer; empty where the model's vocabulary is wider, and where there is none
};
Loaded open_model(const std::string& path, LoadOptions options = {});
// A blueprint, or the name of one (models/named_blueprints.h), with parameters as they begin; no tokenizer.
Loaded open_blueprint(const std::string& text, LoadOptions options = {});
ModelIdentity identity(const Loaded& model);
// Only the configuration and names, for `info`: never touches weights.
Value read_model_config(const std::string& path);

}  // namespace headrace
