// Models built from tensors in memory, so that a test can rename, drop and reshape them.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "error_of.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "models/model.h"

namespace headrace {

using Tensors = std::map<std::string, Tensor>;

// Of a file or folder under tests/fixtures.
inline Tensors tensors(const std::string& path) {
  const std::string whole = std::string(HEADRACE_ROOT) + "/tests/fixtures/" + path;
  TensorFile file = path.ends_with(".gguf") ? GgufFile(whole).tensors() : open_tensors(whole);
  return {file.begin(), file.end()};
}
inline std::shared_ptr<Source> source(Tensors t, const char* file = "memory") {
  auto s = std::make_shared<Source>();
  auto all = std::make_shared<Tensors>(std::move(t));
  s->file = file;
  s->find = [all](const std::string& name) { return all->contains(name) ? all->at(name) : Tensor{}; };
  s->names = [all] {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : *all) names.push_back(name);
    return names;
  };
  return s;
}
// Of twelve tokens without state.
inline Tensor logits(const Tensors& t, const Value& config) {
  Model m = build_model(config, source(t), "memory");
  const std::vector<int32_t> ids{3, 17, 17, 60, 1, 42, 5, 5, 9, 33, 21, 8};
  Batch batch;
  batch.add(static_cast<int64_t>(ids.size()));
  return m.decoder.logits(m.decoder.hidden(ids, batch));
}
inline std::string error_of(const Tensors& t, const Value& config) {
  return error_of([&] { logits(t, config); });
}

}  // namespace headrace
