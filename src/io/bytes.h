// A cursor over hostile bytes: nothing is read or believed before it is known to be there.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace headrace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and read in place");

struct ByteReader {
  std::span<const std::byte> bytes;
  std::string_view file;                           // for messages
  size_t at = 0;

  size_t left() const { return bytes.size() - at; }
  std::span<const std::byte> take(uint64_t n, std::string_view what) {
    expect(n <= left(), file, ": ", what, ": wanted ", n, " bytes at offset ", at, ", found ", left());
    auto taken = bytes.subspan(at, static_cast<size_t>(n));
    at += taken.size();
    return taken;
  }
  template <class T> T read(std::string_view what) {
    T v;
    std::memcpy(&v, take(sizeof(T), what).data(), sizeof(T));
    return v;
  }
  std::string string(uint64_t n, std::string_view what) {
    auto s = take(n, what);
    return {reinterpret_cast<const char*>(s.data()), s.size()};
  }
};

// A name from a file, cut and with control bytes replaced, so that an error stays one readable line.
std::string shown(std::string_view name);

}  // namespace headrace
