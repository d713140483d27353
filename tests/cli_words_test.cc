// The program from outside: what may be left out, what is refused, and the chat on a terminal.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "cli.h"
#include "io/safetensors.h"

namespace headrace {
namespace {

TEST_F(Cli, WithoutAModelTheOneThatShipsIsTaken) {
  tokens("in", {1, 2, 3});
  ASSERT_EQ(run("logits stories260K --tokens in --out a").code, 0);
  EXPECT_EQ(run("logits --tokens in --out b").code, 0);
  EXPECT_TRUE(read_text(at("a")) == read_text(at("b")));
  EXPECT_EQ(run("tokenize -p 'Once upon'").out, "1 403 407\n");
  EXPECT_EQ(run("state save -p Once --out s").code, 0);
  EXPECT_EQ(string(json("state info s --json"), "model"), "stories260K");
}

TEST_F(Cli, AFileOfAFolderIsToldToBeOne) {
  std::filesystem::copy(fixtures + "models/llama", at("m"));
  const Ran r = run("info m/model.safetensors");
  one_line(r, 1, "a file of a folder");
  EXPECT_NE(r.err.find("give the folder: m\n"), std::string::npos) << r.err;
  std::filesystem::remove(at("m/config.json"));
  EXPECT_NE(run("info m/model.safetensors").err.find("must be RWKV by its official names"), std::string::npos);
}

// The program on a terminal of its own.
class Terminal {
 public:
  explicit Terminal(const std::string& folder) {
    child_ = ::forkpty(&end_, nullptr, nullptr, nullptr);
    if (child_ != 0) return;
    ::setenv("TERM", "xterm", 1);
    ::setenv("XDG_STATE_HOME", folder.c_str(), 1);
    if (::chdir(folder.c_str()) != 0) ::_exit(3);
    ::execl(HEADRACE_BINARY, "headrace", "run", "stories260K", "--temp", "0", "-n", "5", nullptr);
    ::_exit(3);
  }
  ~Terminal() { ::close(end_); }
  void type(const std::string& keys) { EXPECT_EQ(::write(end_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size())); }
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
  int ends() {
    EXPECT_FALSE(shows("\1no program says this\1")) << shown_;
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
    return status;
  }
  const std::string& rest() const { return shown_; }

 private:
  int end_ = -1;
  pid_t child_;
  std::string shown_;
};

TEST_F(Cli, OnATerminalTheFirstInterruptAtAnEmptyPromptTellsAndTheSecondLeaves) {
  Terminal t(folder_);
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("\3");
  ASSERT_TRUE(t.shows("once more to leave")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("/undo\r");                               // anything between them, and the next one is a first one again
  ASSERT_TRUE(t.shows("nothing to take back")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("\3");
  ASSERT_TRUE(t.shows("once more to leave")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("\3");
  EXPECT_EQ(t.ends(), 0);
}

TEST_F(Cli, OnATerminalCommandsActAndErrorsDoNotEndTheChat) {
  Terminal t(folder_);
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("/nonsense\r");
  ASSERT_TRUE(t.shows("is no command")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("/save /no/such/folder/s\r");
  ASSERT_TRUE(t.shows("nothing was said yet")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("Once upon a time\r");
  ASSERT_TRUE(t.shows("there")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("/save s\r");
  ASSERT_TRUE(t.shows("saved to s")) << t.rest();
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("/quit\r");
  EXPECT_EQ(t.ends(), 0);
  EXPECT_EQ(run("state info s").code, 0);
}

}  // namespace
}  // namespace headrace
