// PyTorch's .pth and pytorch_model.bin: a ZIP archive with a pickle that names the tensors and a member for each storage.
//
// A pickle is a program. This reader runs the few opcodes that a dictionary of tensors needs, calls nothing, and knows
// no name but torch's storages, the function that makes a tensor of one, and OrderedDict. Anything else, tensors with gaps
// between their elements included, is an Error that names it.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "io/tensor_file.h"

namespace headrace {

TensorFile read_pth(const std::string& path);
// From memory; tensors are views kept alive by `owner`, views of one copy of all bytes where it is null.
TensorFile read_pth(std::span<const std::byte> bytes, const std::string& name, std::shared_ptr<const void> owner = nullptr);

}  // namespace headrace
