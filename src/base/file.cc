#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace headrace {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  expect(file.fd >= 0, path, ": cannot open: ", std::strerror(errno));
  struct stat st;
  expect(::fstat(file.fd, &st) == 0 && S_ISREG(st.st_mode), path, ": not a regular file");
  size_ = static_cast<size_t>(st.st_size);
  if (size_ == 0) {
    static const std::byte none{};
    data_ = std::shared_ptr<const std::byte>(&none, [](const std::byte*) {});
    return;
  }
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  expect(p != MAP_FAILED, path, ": cannot map: ", std::strerror(errno));
  data_ = std::shared_ptr<const std::byte>(static_cast<const std::byte*>(p),
                                           [n = size_](const std::byte* q) { ::munmap(const_cast<std::byte*>(q), n); });
}

void release_pages(const void* data, size_t bytes) {
  const size_t page = 4096;
  size_t first = (reinterpret_cast<size_t>(data) + page - 1) / page * page;
  size_t last = (reinterpret_cast<size_t>(data) + bytes) / page * page;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

bool file_exists(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0;
}

bool is_folder(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string read_text(const std::string& path, size_t limit) {
  MappedFile f(path);
  expect(f.bytes().size() <= limit, path, ": ", f.bytes().size(), " bytes, at most ", limit, " are read");
  return {reinterpret_cast<const char*>(f.bytes().data()), f.bytes().size()};
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat s, t;
  return ::stat(a.c_str(), &s) == 0 && ::stat(b.c_str(), &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

namespace {
// The temporary file beside `path`, open; its name in `temporary`.
int open_beside(const std::string& path, std::string& temporary) {
  expect(!is_folder(path), path, ": cannot write: it is a folder");
  temporary = path + ".tmp-XXXXXX";
  const int fd = ::mkstemp(temporary.data());
  expect(fd >= 0, path, ": cannot write: ", std::strerror(errno));
  return fd;
}
}  // namespace

void check_writable(const std::string& path) {
  std::string temporary;
  const Descriptor file{open_beside(path, temporary)};
  ::unlink(temporary.c_str());
}

void write_atomic(const std::string& path, const std::function<void(const Sink&)>& write) {
  std::string temporary;
  Descriptor file{open_beside(path, temporary)};
  ::fchmod(file.fd, 0644);
  try {
    write([&](const void* data, size_t bytes) {
      const char* p = static_cast<const char*>(data);
      while (bytes > 0) {
        ssize_t n = ::write(file.fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        expect(n > 0, path, ": cannot write: ", std::strerror(errno));
        p += n;
        bytes -= static_cast<size_t>(n);
      }
    });
    expect(::fsync(file.fd) == 0, path, ": fsync: ", std::strerror(errno));
    expect(::rename(temporary.c_str(), path.c_str()) == 0, path, ": rename: ", std::strerror(errno));
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace headrace
