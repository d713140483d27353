// Members by the central directory, whose end is searched from the back, with the sizes of ZIP64; a local header has only to agree.
#include "io/zip.h"

#include <algorithm>
#include <cstdint>

#include "io/bytes.h"

namespace headrace {
namespace {

constexpr uint32_t member_magic = 0x04034b50, directory_magic = 0x02014b50, end_magic = 0x06054b50;
constexpr uint32_t end64_magic = 0x06064b50, locator_magic = 0x07064b50;
constexpr size_t end_bytes = 22, locator_bytes = 20, least_entry = 46, longest_comment = 65535;
constexpr uint32_t in_zip64 = 0xffffffff;          // the number is in the ZIP64 record

struct Directory {
  uint64_t entries, bytes, at;
};

ByteReader reader_at(std::span<const std::byte> archive, uint64_t at, const std::string& file, const char* what) {
  expect(at <= archive.size(), file, ": ", what, ": wanted at offset ", at, ", found ", archive.size(), " bytes");
  return {archive, file, static_cast<size_t>(at)};
}
void expect_magic(ByteReader& r, uint32_t wanted, const char* what) {
  const size_t at = r.at;
  expect(r.read<uint32_t>(what) == wanted, r.file, ": ", what, ": its mark is not at offset ", at);
}

// The end record is the last one, but for a comment whose length it gives.
size_t find_end(std::span<const std::byte> archive, const std::string& file) {
  expect(archive.size() >= end_bytes, file, ": wanted a ZIP archive, found ", archive.size(), " bytes");
  const size_t last = archive.size() - end_bytes, first = last - std::min(last, longest_comment);
  for (size_t at = last;; --at) {
    ByteReader r{archive, file, at};
    if (r.read<uint32_t>("end") == end_magic) {
      r.at = at + 20;
      if (r.read<uint16_t>("end") == last - at) return at;
    }
    if (at == first) fail(file, ": wanted a ZIP archive, found no end record (is the file cut off?)");
  }
}

Directory find_directory(std::span<const std::byte> archive, const std::string& file) {
  const size_t end = find_end(archive, file);
  ByteReader r{archive, file, end + 4};
  const auto disk = r.read<uint16_t>("disk"), first_disk = r.read<uint16_t>("disk"), here = r.read<uint16_t>("entries");
  Directory d{};
  d.entries = r.read<uint16_t>("entries"), d.bytes = r.read<uint32_t>("size of the directory"), d.at = r.read<uint32_t>("directory");
  expect(disk == 0 && first_disk == 0 && here == d.entries, file, ": a ZIP archive in several files is not supported");
  if (d.entries == 0xffff || d.bytes == in_zip64 || d.at == in_zip64) {
    expect(end >= locator_bytes, file, ": wanted a ZIP64 locator before offset ", end);
    ByteReader locator{archive, file, end - locator_bytes};
    expect_magic(locator, locator_magic, "ZIP64 locator");
    locator.read<uint32_t>("disk");
    ByteReader end64 = reader_at(archive, locator.read<uint64_t>("ZIP64 end"), file, "ZIP64 end");
    expect_magic(end64, end64_magic, "ZIP64 end");
    end64.take(28, "ZIP64 end");                   // its size, versions, disks, entries on this disk
    d.entries = end64.read<uint64_t>("entries"), d.bytes = end64.read<uint64_t>("size of the directory"), d.at = end64.read<uint64_t>("directory");
  }
  expect(d.at <= end && d.bytes <= end - d.at, file, ": wanted a directory of ", d.bytes, " bytes at offset ", d.at, ", found ", end,
      " bytes before the end record");
  expect(d.entries <= d.bytes / least_entry, file, ": wanted ", d.entries, " members, found a directory of ", d.bytes, " bytes");
  return d;
}

}  // namespace

std::vector<ZipMember> zip_members(std::span<const std::byte> archive, const std::string& file) {
  const Directory d = find_directory(archive, file);
  auto before = archive.first(static_cast<size_t>(d.at));
  ByteReader r{archive.first(static_cast<size_t>(d.at + d.bytes)), file, static_cast<size_t>(d.at)};
  std::vector<ZipMember> members;
  members.reserve(static_cast<size_t>(d.entries));
  for (uint64_t i = 0; i < d.entries; ++i) {
    const std::string ordinal = text("member ", i);
    expect_magic(r, directory_magic, ordinal.c_str());
    r.take(4, ordinal);                            // versions
    const auto flags = r.read<uint16_t>(ordinal), method = r.read<uint16_t>(ordinal);
    r.take(8, ordinal);                            // time, check sum
    uint64_t packed = r.read<uint32_t>(ordinal), size = r.read<uint32_t>(ordinal);
    const auto name_bytes = r.read<uint16_t>(ordinal), extra_bytes = r.read<uint16_t>(ordinal), comment_bytes = r.read<uint16_t>(ordinal);
    r.take(8, ordinal);                            // disk, attributes
    uint64_t at = r.read<uint32_t>(ordinal);
    auto name_data = r.take(name_bytes, ordinal);
    const std::string_view name(reinterpret_cast<const char*>(name_data.data()), name_data.size());
    const std::string where = text("member ", shown(name));
    ByteReader extras{r.take(extra_bytes, where), file};
    r.take(comment_bytes, where);
    while (extras.left() >= 4) {
      const auto kind = extras.read<uint16_t>(where), bytes = extras.read<uint16_t>(where);
      ByteReader extra{extras.take(bytes, where), file};
      if (kind != 1) continue;
      for (uint64_t* number : {&size, &packed, &at})
        if (*number == in_zip64) *number = extra.read<uint64_t>(where);
    }
    expect((flags & 1) == 0, file, ": ", where, " is encrypted");
    expect(method == 0 && packed == size, file, ": ", where, " is compressed (method ", method, "); only stored members are read");
    ByteReader local = reader_at(before, at, file, where.c_str());
    expect_magic(local, member_magic, where.c_str());
    local.take(22, where);
    const auto local_name = local.read<uint16_t>(where), local_extra = local.read<uint16_t>(where);
    expect(local.string(local_name, where) == name, file, ": ", where, " has another name at offset ", at);
    local.take(local_extra, where);
    members.push_back({name, local.take(size, where)});
  }
  return members;
}

}  // namespace headrace
