// The program on a terminal of its own, in a folder: keys are typed, what is shown is waited for.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace headrace {

class Terminal {
 public:
  explicit Terminal(const std::string& folder, std::vector<std::string> words = {"run", "stories260K", "--temp", "0", "-n", "5"}) {
    const winsize size{.ws_row = 24, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
    child_ = ::forkpty(&end_, nullptr, nullptr, &size);
    if (child_ != 0) return;
    ::setenv("TERM", "xterm", 1);
    ::setenv("XDG_STATE_HOME", folder.c_str(), 1);
    if (::chdir(folder.c_str()) != 0) ::_exit(3);
    std::vector<char*> argv{const_cast<char*>("headrace")};
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    ::execv(HEADRACE_BINARY, argv.data());
    ::_exit(3);
  }
  ~Terminal() { ::close(end_); }
  void type(const std::string& keys) { EXPECT_EQ(::write(end_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size())); }
  void signal(int number) { EXPECT_EQ(::kill(child_, number), 0); }
  // Shown since the last call up to the text; false where the program ends, or is silent for a minute, before that.
  bool shows(const std::string& text) {
    for (;;) {
      if (const size_t found = shown_.find(text); found != std::string::npos) return shown_.erase(0, found + text.size()), true;
      pollfd p{.fd = end_, .events = POLLIN, .revents = 0};
      char bytes[4096];
      if (::poll(&p, 1, 60000) <= 0) return ::kill(child_, SIGKILL), false;
      const ssize_t n = ::read(end_, bytes, sizeof bytes);
      if (n <= 0) return false;
      shown_.append(bytes, static_cast<size_t>(n));
    }
  }
  int ends() {                             // its exit code, or 128 and the signal
    EXPECT_FALSE(shows("\1no program says this\1")) << shown_;
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& rest() const { return shown_; }

 private:
  int end_ = -1;
  pid_t child_;
  std::string shown_;
};

}  // namespace headrace
