// zstd, one call each way.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace headrace {

// Throws Error for broken data, and before more than `limit` bytes are made.
std::string decompress_zstd(std::string_view data, std::string_view name, size_t limit = size_t{1} << 30);
// The whole file, decompressed when its name ends in .zst.
std::string read_packed(const std::string& path, size_t limit = size_t{1} << 30);

}  // namespace headrace
