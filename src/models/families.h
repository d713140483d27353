// One function per checkpoint family, each in its own file.
#pragma once
#include "models/model.h"

namespace headrace {

Model gemma(const Value& config, const Scope& scope, const std::string& file);   // gemma.cc: gemma, gemma2, gemma3_text
Model gpt2(const Value& config, const Scope& scope, const std::string& file);
Model llama(const Value& config, const Scope& scope, const std::string& file);   // llama.cc: llama, mistral, qwen2, qwen3
Model mamba(const Value& config, const Scope& scope, const std::string& file);   // mamba.cc: mamba, falcon_mamba
Model mamba2(const Value& config, const Scope& scope, const std::string& file);
Model phi3(const Value& config, const Scope& scope, const std::string& file);
Model recurrent_gemma(const Value& config, const Scope& scope, const std::string& file);
Model rwkv(const Value& config, const Scope& scope, const std::string& file);    // rwkv.cc: RWKV 4, 5, 6, 7
Model gla(const Value& config, const Scope& scope, const std::string& file);     // fla.cc
Model retnet(const Value& config, const Scope& scope, const std::string& file);  // fla.cc
Model hgrn2(const Value& config, const Scope& scope, const std::string& file);   // fla.cc
Model linear_attn(const Value& config, const Scope& scope, const std::string& file);   // fla.cc
Model saved_blueprint(const Value& config, const Scope& scope, const std::string& file);   // headrace

}  // namespace headrace
