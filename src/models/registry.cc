// model_type to family, one row each; GGUF's architectures have become model types by then (io/gguf_dialect.h).
#include <array>

#include "base/error.h"
#include "models/families.h"
#include "models/model.h"

namespace headrace {
namespace {

constexpr Family table[] = {
    {"llama", llama}, {"mistral", llama}, {"qwen2", llama}, {"qwen3", llama}, {"smollm3", llama},
    {"gemma", gemma}, {"gemma2", gemma}, {"gemma3_text", gemma}, {"gpt2", gpt2}, {"phi3", phi3},
    {"mamba", mamba}, {"falcon_mamba", mamba}, {"mamba2", mamba2}, {"recurrent_gemma", recurrent_gemma},
    {"rwkv", rwkv}, {"rwkv4", rwkv}, {"rwkv5", rwkv}, {"rwkv6", rwkv}, {"rwkv7", rwkv},
    {"gla", gla}, {"retnet", retnet}, {"hgrn2", hgrn2}, {"linear_attn", linear_attn},
    {"headrace", saved_blueprint},                     // what `headrace train` saves
};

}  // namespace

std::span<const Family> families() { return table; }

Model build_model(const Value& config, const std::shared_ptr<Source>& source, const std::string& file) {
  const Value* type = config.find("model_type");
  std::string name;
  expect(type && read_value(*type, name), file, ": model_type is missing");
  for (const Family& f : table)
    if (name == f.name) {
      Model m = f.build(config, Scope(source), file);
      source->finish();
      if (m.family.empty()) m.family = name;
      if (m.config.is_null()) m.config = config;
      return m;
    }
  std::string known;
  for (const Family& f : table) known += std::string(known.empty() ? "" : ", ") + f.name;
  fail(file, ": model_type '", name, "' is not known; known: ", known);
}

}  // namespace headrace
