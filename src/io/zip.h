// ZIP archives whose members are stored without compression, as torch.save makes them: names and where the bytes lie.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace {

struct ZipMember {
  std::string_view name;                           // views of the archive's bytes
  std::span<const std::byte> data;
};

// In the order of the central directory; ZIP64 too. Throws Error for anything that is compressed, encrypted, split over
// several files, or does not lie inside the archive. Check sums are not compared: that would read every weight.
std::vector<ZipMember> zip_members(std::span<const std::byte> archive, const std::string& file);

}  // namespace headrace
