#include "io/gguf_config.h"

#include "base/error.h"

namespace headrace {
namespace {

Object rwkv(const GgufMetadata& m, const std::string& arch) {
  return {{"layer_norm_epsilon", m.number(arch + ".attention.layer_norm_epsilon")},
          {"head_size", m.integer(arch + ".wkv.head_size")},
          {"rescale_every", m.integer(arch + ".rescale_every_n_layers", 0)},
          {"context_length", m.integer(arch + ".context_length", 0)}};
}

struct Architecture {
  const char* name;
  Object (*config)(const GgufMetadata& m, const std::string& arch);
};
constexpr Architecture architectures[] = {{"rwkv6", rwkv}, {"rwkv7", rwkv}};

}  // namespace

Value gguf_config(const GgufMetadata& m) {
  const std::string& arch = m.string("general.architecture");
  for (const Architecture& a : architectures)
    if (arch == a.name) {
      Object config = a.config(m, arch);
      config.emplace("model_type", arch);
      return config;
    }
  std::string known;
  for (const Architecture& a : architectures) known += std::string(known.empty() ? "" : ", ") + a.name;
  fail(m.path(), ": general.architecture '", arch, "' is not known; known: ", known);
}

}  // namespace headrace
