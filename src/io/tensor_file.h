// TensorFile: named tensors in file order, whatever the format (safetensors, GGUF, .pth) and however
// many shards. A tensor views the mapped file and keeps the mapping alive.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace headrace {

using NamedTensor = std::pair<std::string, Tensor>;

class TensorFile {
 public:
  TensorFile() = default;
  explicit TensorFile(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  size_t size() const { return tensors_.size(); }
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }
  std::vector<std::string> names() const;

  void add(std::string name, Tensor t);            // throws on a name that is there already
  const Tensor* find(std::string_view name) const; // null when it is not there
  const Tensor& at(std::string_view name) const;   // throws Error with the file and the name

 private:
  std::string path_;
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

// Any file or folder that holds tensors, told apart by its first bytes: a Hugging Face folder
// (model.safetensors.index.json, model.safetensors, pytorch_model.bin, or one .pth), .safetensors, .gguf (all parts), .pth.
// Names stay as they are in the file.
TensorFile open_tensors(const std::string& path);

// What a writer streams: the tensor is made when its turn comes, and dropped once written.
struct TensorSource {
  std::string name;
  DType dtype;
  Shape shape;
  std::function<Tensor()> make;
};
std::vector<TensorSource> sources(std::span<const NamedTensor> tensors);
Tensor made(const TensorSource& source, const std::string& path);   // checked: what was promised; contiguous, on the cpu

// For readers. Bytes of a tensor of these dimensions; throws "<where>: ..." when a row is not whole blocks, a
// dimension is negative, there are too many, or any product overflows (zero dimensions counted as one).
size_t checked_bytes(DType t, std::span<const int64_t> dims, std::string_view where);
// A view where the data is aligned for its type, else a copy.
Tensor tensor_in(std::span<const std::byte> data, DType t, std::span<const int64_t> dims, const std::shared_ptr<const void>& owner);

}  // namespace headrace
