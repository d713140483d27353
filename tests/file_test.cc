// Files: what a write leaves of what was there, and what is no file to read or write.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "error_of.h"
#include "io/gguf.h"

namespace headrace {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "headrace-file-" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  static void write(const std::string& path, const std::string& bytes) {
    write_atomic(path, [&](const Sink& sink) { sink(bytes.data(), bytes.size()); });
  }
  static mode_t mode(const std::string& path) {
    struct stat st = {};
    EXPECT_EQ(::stat(path.c_str(), &st), 0);
    return st.st_mode & 07777;
  }
  long entries() const { return std::distance(std::filesystem::directory_iterator(folder_), {}); }
  std::string folder_;
};

TEST_F(Files, KeepTheModeThatTheyHadAndNewOnesObeyTheUmask) {
  write(at("a"), "1");
  ASSERT_EQ(::chmod(at("a").c_str(), 0600), 0);
  write(at("a"), "2");
  EXPECT_EQ(mode(at("a")), 0600u);
  EXPECT_EQ(read_text(at("a")), "2");
  const mode_t before = ::umask(027);
  write(at("b"), "1");
  ::umask(before);
  EXPECT_EQ(mode(at("b")), 0640u);
}

TEST_F(Files, ThroughALinkTheTargetIsWritten) {
  std::filesystem::create_directories(at("there"));
  write(at("there/file"), "old");
  std::filesystem::create_symlink("there/file", at("link"));
  std::filesystem::create_symlink("link", at("second"));
  std::filesystem::create_symlink("there/new", at("dangling"));
  check_writable(at("second"));
  write(at("second"), "new");
  write(at("dangling"), "made");
  EXPECT_TRUE(std::filesystem::is_symlink(at("second")) && std::filesystem::is_symlink(at("link")) && std::filesystem::is_symlink(at("dangling")));
  EXPECT_EQ(read_text(at("there/file")), "new");
  EXPECT_EQ(read_text(at("there/new")), "made");
  std::filesystem::create_symlink("round", at("round"));
  EXPECT_NE(error_of([&] { write(at("round"), "x"); }), "");
}

TEST_F(Files, WhatIsNoFileIsNotReplacedByOne) {
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("fifo", at("link"));
  for (const std::string& place : {at("fifo"), at("link"), std::string("/dev/null")}) {
    EXPECT_EQ(error_of([&] { check_writable(place); }), place + ": cannot write: not a regular file");
    EXPECT_EQ(error_of([&] { write(place, "x"); }), place + ": cannot write: not a regular file");
  }
  EXPECT_TRUE(std::filesystem::is_fifo(at("fifo")));
  EXPECT_EQ(entries(), 2);
}

TEST_F(Files, AFolderThatCannotBeMadeSaysWhy) {
  write(at("plain"), "x");
  for (const std::string path : {"plain", "plain/in"})
    EXPECT_EQ(error_of([&] { make_folder(at(path)); }), at(path) + ": cannot make the folder: File exists");
}

TEST_F(Files, APipeIsRefusedAndNotWaitedFor) {
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  ::alarm(20);                                     // instead of waiting for a writer for ever
  EXPECT_EQ(error_of([&] { MappedFile f(at("fifo")); }), at("fifo") + ": not a regular file");
  EXPECT_EQ(error_of([&] { (void)is_gguf(at("fifo")); }), at("fifo") + ": not a regular file");
  ::alarm(0);
  EXPECT_FALSE(is_gguf(at("nothing")));
  EXPECT_FALSE(is_gguf(folder_));
}

TEST_F(Files, AnInterruptedWriteLeavesNothingBehind) {
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit no_core{};
      ::setrlimit(RLIMIT_CORE, &no_core);
      ::signal(number, SIG_DFL);
      write_atomic(at("a"), [&](const Sink& sink) {
        sink("half", 4);
        ::raise(number);
      });
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number) << status;
    EXPECT_EQ(entries(), 0) << number;
  }
  // A program that asks for the signal itself goes on, and one that fails leaves nothing either.
  static volatile sig_atomic_t seen = 0;
  const auto before = ::signal(SIGINT, [](int) { seen = seen + 1; });
  write_atomic(at("a"), [](const Sink& sink) { ::raise(SIGINT), sink("all", 3); });
  ::signal(SIGINT, before);
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(read_text(at("a")), "all");
  EXPECT_EQ(error_of([&] { write_atomic(at("b"), [](const Sink&) { fail("no"); }); }), "no");
  EXPECT_EQ(entries(), 1);
}

TEST_F(Files, BeyondTheLimitOfFileSizesAWriteFailsByNameAndLeavesNothing) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit small{.rlim_cur = 1024, .rlim_max = 1024};
    ::setrlimit(RLIMIT_FSIZE, &small);
    ::signal(SIGXFSZ, SIG_DFL);
    const std::string message = error_of([&] { write(at("a"), std::string(5000, 'x')); });
    ::_exit(message == at("a") + ": cannot write: File too large" ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(entries(), 0);
}

}  // namespace
}  // namespace headrace
