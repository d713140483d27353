// zstd by its streaming interface: the output is counted as it grows, whatever size the data says that it has.
#include "base/compress.h"

#include <zstd.h>

#include <memory>

#include "base/error.h"
#include "base/file.h"

namespace headrace {

std::string decompress_zstd(std::string_view data, std::string_view name, size_t limit) {
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
  std::string out;
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  size_t left = 1;
  while (in.pos < in.size || left != 0) {
    const size_t before = out.size();
    out.resize(before + ZSTD_DStreamOutSize());
    ZSTD_outBuffer to{out.data() + before, out.size() - before, 0};
    const size_t read = in.pos;
    left = ZSTD_decompressStream(stream.get(), &to, &in);
    expect(!ZSTD_isError(left), name, ": zstd: ", ZSTD_getErrorName(left));
    out.resize(before + to.pos);
    expect(out.size() <= limit, name, ": unpacks to more than ", limit, " bytes");
    expect(left == 0 || to.pos > 0 || in.pos > read, name, ": zstd: truncated");
  }
  return out;
}

std::string read_packed(const std::string& path, size_t limit) {
  MappedFile file(path);
  const std::string_view data(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (path.ends_with(".zst")) return decompress_zstd(data, path, limit);
  expect(data.size() <= limit, path, ": ", data.size(), " bytes, at most ", limit, " are read");
  return std::string(data);
}

}  // namespace headrace
