// safetensors: u64 header length, a JSON header of names to dtype, shape and offsets, then the data.
//
// Held to the format's own rules: the data is covered exactly once, from its first byte to its last, by the tensors.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_file.h"

namespace headrace {

struct SafetensorsFile {
  using Metadata = std::map<std::string, std::string>;

  explicit SafetensorsFile(const std::string& path);
  // From memory; tensors are views kept alive by `owner`, copies where it is null. `name` is for messages.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& name, std::shared_ptr<const void> owner = nullptr);

  const TensorFile& tensors() const { return tensors_; }
  std::vector<std::string> names() const { return tensors_.names(); }
  Tensor tensor(std::string_view name) const { return tensors_.at(name); }
  const Metadata& metadata() const { return metadata_; }

 private:
  TensorFile tensors_;
  Metadata metadata_;
};

// A folder with model.safetensors.index.json, or model.safetensors alone.
TensorFile read_safetensors_folder(const std::string& folder);

// Atomic and streaming. Larger element types first, then by name, so that the same tensors give the same bytes
// (those of the reference implementation) in whatever order they come.
void write_safetensors(const std::string& path, std::vector<TensorSource> tensors, const SafetensorsFile::Metadata& metadata = {});
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors, const SafetensorsFile::Metadata& metadata = {});

}  // namespace headrace
