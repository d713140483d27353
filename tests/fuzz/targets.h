// Readers of hostile bytes, by name. NAME_fuzz.cc gives one to libFuzzer; tests/corpus_test.cc replays
// tests/fuzz/corpus/NAME/* (small seeds and past failures) and damaged fixtures in the ordinary tests. A reader returns
// or throws headrace::Error; anything else is a failure. A new one is a function, a line in the table and a file of three lines:
//
//   #include "targets.h"
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return headrace::fuzz::run("NAME", data, size); }
//
// Build: CXX=clang++ cmake -S . -B build-fuzz -G Ninja -DHEADRACE_FUZZ=ON -DHEADRACE_SANITIZE=address,undefined -DHEADRACE_TESTS=OFF
// Run:   build-fuzz/NAME_fuzz CORPUS tests/fuzz/corpus/NAME -max_total_time=300 -rss_limit_mb=2048 -timeout=10
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"
#include "io/gguf_dialect.h"
#include "io/pth.h"
#include "io/safetensors.h"
#include "models/model.h"

namespace headrace::fuzz {

// Reads every byte of every tensor, so that the address sanitizer sees a view that leaves its file.
inline void touch(const TensorFile& file) {
  volatile uint8_t seen = 0;
  for (const auto& [name, t] : file)
    for (size_t i = 0; i < t.bytes(); ++i) seen = seen ^ static_cast<uint8_t>(t.data<std::byte>()[i]);
}
inline std::span<const std::byte> bytes_of(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }

inline void safetensors(std::string_view s) { touch(SafetensorsFile(bytes_of(s), "file").tensors()); }
inline void gguf(std::string_view s) { touch(GgufFile(bytes_of(s), "file").tensors()); }
inline void pth(std::string_view s) { touch(read_pth(bytes_of(s), "file")); }

// A plan of the model: configuration, names and shapes, nothing loaded.
inline void build(const Value& config, std::function<Tensor(const std::string&)> find, std::function<std::vector<std::string>()> names) {
  auto source = std::make_shared<Source>();
  source->file = "file";
  source->device = Device::meta;
  source->find = std::move(find);
  source->names = std::move(names);
  build_model(config, source, "file");
}
inline void gguf_model(std::string_view s) {
  GgufFile file(bytes_of(s), "file");
  auto model = std::make_shared<GgufModel>(std::move(file));
  build(model->config(), [model](const std::string& name) { return model->find(name); }, [model] { return model->names(); });
}
inline void config(std::string_view s) {
  build(parse_json(s, "file"), [](const std::string&) { return Tensor{}; }, [] { return std::vector<std::string>{}; });
}

struct Target {
  const char* name;
  void (*read)(std::string_view bytes);
};
inline constexpr Target targets[] = {
    {"config", config},
    {"gguf", gguf},
    {"gguf_model", gguf_model},
    {"pth", pth},
    {"safetensors", safetensors},
};

inline int run(std::string_view name, const uint8_t* data, size_t size) {
  for (const Target& t : targets)
    if (name == t.name) {
      try {
        t.read({reinterpret_cast<const char*>(data), size});
      } catch (const Error&) {
      }
      return 0;
    }
  return -1;
}

}  // namespace headrace::fuzz
