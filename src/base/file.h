// Files: read-only mappings and atomic writes.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace headrace {

// A whole file, mapped read-only. Copies share the mapping.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);   // throws Error when the file cannot be opened or mapped
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }
  const std::string& path() const { return path_; }
  std::shared_ptr<const std::byte> share() const { return data_; }   // keeps the mapping alive
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::shared_ptr<const std::byte> data_;
  size_t size_ = 0;
  std::string path_;
};

// Tells the kernel that these mapped pages will not be read again soon, so that they leave the resident set.
void release_pages(const void* data, size_t bytes);

bool file_exists(const std::string& path);
bool is_folder(const std::string& path);
void make_folder(const std::string& path);        // and those it is in; one that is there stays
std::string read_text(const std::string& path, size_t limit = size_t{1} << 30);   // throws Error over the limit

// Writes through a temporary file beside `path`, fsync, rename: a killed process never leaves half an output. The mode of a
// file that is replaced stays, a link is followed, and what is no regular file (a folder, a pipe, a device) is refused.
// `write` is called with a sink that takes bytes in order.
using Sink = std::function<void(const void* data, size_t bytes)>;
void write_atomic(const std::string& path, const std::function<void(const Sink&)>& write);
void check_writable(const std::string& path);     // throws the Error that write_atomic would begin with; leaves nothing behind
// While it lives no other process holds the folder; throws Error where one does. A file system without locks (flock) holds nothing.
class HeldFolder {
 public:
  explicit HeldFolder(const std::string& path);
  ~HeldFolder();
  HeldFolder(const HeldFolder&) = delete;
  HeldFolder& operator=(const HeldFolder&) = delete;
 private:
  int folder_;
};
// A file open to read and to append, made where there is none; while it lives no other holds it, of this process or another: waits for those
// that do. It is the file by that name then, also where the one before was replaced meanwhile. A file system without locks holds nothing.
class HeldFile {
 public:
  explicit HeldFile(const std::string& path);     // throws Error when the file cannot be opened
  ~HeldFile();
  HeldFile(const HeldFile&) = delete;
  HeldFile& operator=(const HeldFile&) = delete;
  int descriptor() const { return file_; }
 private:
  int file_ = -1;
};
bool same_file(const std::string& a, const std::string& b);   // both exist, and are one by device and inode

}  // namespace headrace
