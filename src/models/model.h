// A model: a checkpoint family's file turns a configuration into wiring and names. The registry lists the families.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "nn/config.h"
#include "nn/decoder.h"
#include "nn/scope.h"

namespace headrace {

struct Model {
  std::string family;                    // "llama", "mamba2", ...
  Value config;                          // in the names of Hugging Face, whatever the file was
  Decoder decoder;
  int context = 0;                       // the longest sequence it was made for; 0: any
  bool post_norms = false;               // after each sublayer too; for its blueprint
};

struct Family {
  const char* name;                      // config.json's model_type
  Model (*build)(const Value& config, const Scope& scope, const std::string& file);
};
std::span<const Family> families();
// Builds the wiring and binds every parameter. Throws Error for an unknown family (naming those known), missing keys,
// missing, spare and misshapen tensors.
Model build_model(const Value& config, const std::shared_ptr<Source>& source, const std::string& file);

}  // namespace headrace
