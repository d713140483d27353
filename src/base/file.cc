// Files by POSIX calls, which say more than streams do. A write goes to a temporary file in the target's own folder, is brought to
// the disk and then renamed over the target, so another program sees the old file or the whole new one.
#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

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
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};   // a FIFO would wait for its writer
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
void make_folder(const std::string& path) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at < path.size() && path[at] != '/') continue;
    const std::string part = path.substr(0, at);
    const int fault = ::mkdir(part.c_str(), 0755) == 0 ? 0 : errno;      // before another call sets it
    expect(!fault || is_folder(part), path, ": cannot make the folder: ", std::strerror(fault));
  }
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

// Where `path` leads: a link stays, and what it names is written.
std::string resolved(std::string path) {
  const std::string given = path;
  for (int links = 0; links < 40; ++links) {
    char target[4096];
    const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
    if (n < 0) return path;
    const std::string to(target, static_cast<size_t>(n));
    path = to.starts_with('/') ? to : path.substr(0, path.rfind('/') + 1) + to;
  }
  fail(given, ": cannot write: ", std::strerror(ELOOP));
}

// The temporary file beside the one to be written, open. Its own mode is that of the file that it will replace, else what
// the umask leaves. It goes with the writer unless it was renamed, also when a signal that nobody catches ends the program.
class Temporary {
 public:
  explicit Temporary(const std::string& path) : path_(path) {
    struct stat st;
    const bool there = ::stat(path.c_str(), &st) == 0;
    expect(!there || !S_ISDIR(st.st_mode), path, ": cannot write: it is a folder");
    expect(!there || S_ISREG(st.st_mode), path, ": cannot write: not a regular file");
    target_ = resolved(path);
    static std::atomic<unsigned> number{0};
    for (int tries = 0; file_.fd < 0 && tries < 1000; ++tries) {
      name_ = text(target_, ".tmp-", ::getpid(), "-", number++);
      file_.fd = ::open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, there ? 0600 : 0666);
      if (file_.fd < 0 && errno != EEXIST) break;
    }
    expect(file_.fd >= 0, path, ": cannot write: ", std::strerror(errno));
    const char* none = nullptr;
    guarded_ = left_behind.compare_exchange_strong(none, name_.c_str());
    if (guarded_)
      for (size_t i = 0; i < std::size(deadly); ++i) {
        ::sigaction(deadly[i], nullptr, &before_[i]);
        if (before_[i].sa_handler != SIG_DFL) continue;      // the program asks for it itself
        struct sigaction a = {};
        a.sa_handler = deadly[i] == SIGXFSZ ? SIG_IGN : leave;
        ::sigaction(deadly[i], &a, nullptr);
      }
    if (there) ::fchmod(file_.fd, st.st_mode & 07777);
  }
  ~Temporary() {
    if (!renamed_) ::unlink(name_.c_str());
    if (!guarded_) return;
    for (size_t i = 0; i < std::size(deadly); ++i)
      if (before_[i].sa_handler == SIG_DFL) ::sigaction(deadly[i], &before_[i], nullptr);
    left_behind = nullptr;
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  void write(const void* data, size_t bytes) {
    const char* p = static_cast<const char*>(data);
    while (bytes > 0) {
      ssize_t n = ::write(file_.fd, p, bytes);
      if (n < 0 && errno == EINTR) continue;
      expect(n > 0, path_, ": cannot write: ", std::strerror(errno));
      p += n;
      bytes -= static_cast<size_t>(n);
    }
  }
  // On the disk under its own name: the file first, then the folder that names it.
  void keep() {
    expect(::fsync(file_.fd) == 0, path_, ": fsync: ", std::strerror(errno));
    expect(::rename(name_.c_str(), target_.c_str()) == 0, path_, ": rename: ", std::strerror(errno));
    renamed_ = true;
    const size_t slash = target_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : target_.substr(0, slash + 1);
    const Descriptor f{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (f.fd >= 0) ::fsync(f.fd);                  // some file systems cannot; the file itself is safe
  }

 private:
  // Beyond the limit of file sizes a write fails, and so with a message, where SIGXFSZ is ignored.
  static constexpr int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXFSZ};
  static inline std::atomic<const char*> left_behind{nullptr};   // of one writer at a time; a second one goes unguarded
  static void leave(int signal) {
    if (const char* name = left_behind) ::unlink(name);
    struct sigaction a = {};
    a.sa_handler = SIG_DFL;
    ::sigaction(signal, &a, nullptr);
    ::raise(signal);                               // delivered on return, as if it had not been caught
  }

  std::string path_, target_, name_;
  Descriptor file_;
  struct sigaction before_[std::size(deadly)] = {};
  bool guarded_ = false, renamed_ = false;
};
}  // namespace

HeldFolder::HeldFolder(const std::string& path) : folder_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  expect(folder_ >= 0, path, ": cannot open the folder: ", std::strerror(errno));
  if (::flock(folder_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(folder_);
  fail(path, ": another run is in this folder");
}
HeldFolder::~HeldFolder() { ::close(folder_); }

HeldFile::HeldFile(const std::string& path) {
  for (;;) {
    Descriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
    expect(file.fd >= 0, path, ": cannot open to append: ", std::strerror(errno));
    int held = 0;
    while ((held = ::flock(file.fd, LOCK_EX)) != 0 && errno == EINTR) {}
    struct stat mine, named;
    const bool known = ::fstat(file.fd, &mine) == 0 && ::stat(path.c_str(), &named) == 0;
    const bool replaced = !known || mine.st_dev != named.st_dev || mine.st_ino != named.st_ino;
    if (held == 0 && replaced) continue;           // whoever held it before wrote another one in its place
    file_ = std::exchange(file.fd, -1);
    return;
  }
}
HeldFile::~HeldFile() { ::close(file_); }

void check_writable(const std::string& path) { const Temporary file(path); }

void write_atomic(const std::string& path, const std::function<void(const Sink&)>& write) {
  Temporary file(path);
  write([&](const void* data, size_t bytes) { file.write(data, bytes); });
  file.keep();
}

}  // namespace headrace
