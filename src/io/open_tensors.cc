// Tensors by what a file begins with, never by what it is called; a folder by the files that Hugging Face or RWKV put there.
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "io/bytes.h"
#include "io/gguf.h"
#include "io/pth.h"
#include "io/safetensors.h"

namespace headrace {

TensorFile open_tensors(const std::string& path) {
  expect(file_exists(path), path, ": no such file or folder");
  if (is_folder(path)) {
    const std::string torch = path + "/pytorch_model.bin";
    const bool safetensors = file_exists(path + "/model.safetensors.index.json") || file_exists(path + "/model.safetensors");
    if (safetensors || file_exists(torch)) return safetensors ? read_safetensors_folder(path) : read_pth(torch);
    std::vector<std::string> found;                // RWKV's, under any name
    for (const auto& e : std::filesystem::directory_iterator(path))
      if (e.path().extension() == ".pth") found.push_back(e.path().string());
    expect(found.size() == 1, path, ": wanted a folder with model.safetensors, model.safetensors.index.json, pytorch_model.bin or one .pth, found ",
           found.size(), " .pth");
    return read_pth(found[0]);
  }
  MappedFile f(path);
  const auto bytes = f.bytes();
  expect(!bytes.empty(), path, ": the file is empty");
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 9));
  if (start.starts_with("GGUF")) return GgufFile(path).tensors();
  if (start.starts_with("PK\3\4")) return read_pth(bytes, path, f.share());
  if (start.size() == 9 && start[8] == '{') return SafetensorsFile(bytes, path, f.share()).tensors();
  fail(path, ": wanted safetensors, GGUF or a .pth of torch.save, found a file that begins with ", shown(start));
}

}  // namespace headrace
