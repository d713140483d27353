// The chat from outside: what a terminal shows, and what is kept of a conversation however it ends.
#include <algorithm>

#include "base/file.h"
#include "cli.h"
#include "io/safetensors.h"
#include "terminal.h"

namespace headrace {
namespace {

TEST_F(Cli, OnATerminalTheBarOfReadingGoesBeforeTheAnswerComes) {
  std::string text;                                // half a second of reading, so that there is a bar
  while (text.size() < 40000) text += "Once upon a time there was a little girl. ";
  Terminal t(folder_, {"run", "rwkv7-tiny", "--chat", "--threads", "1", "--temp", "0", "-n", "8", "-p", text});
  EXPECT_EQ(t.ends(), 0);
  const size_t cleared = t.rest().rfind("\r\033[K");
  if (cleared == std::string::npos) GTEST_SKIP() << "read before a bar was due";
  EXPECT_GE(t.rest().size() - cleared, 4u + 8) << t.rest().substr(cleared);       // the answer follows, eight bytes of it
}

TEST_F(Cli, ChatsSideBySideKeepEachOthersLines) {
  {
    Terminal a(folder_), b(folder_);
    for (Terminal* t : {&a, &b}) ASSERT_TRUE(t->shows("> ")) << t->rest();
    a.type("/undo first\r");
    ASSERT_TRUE(a.shows("nothing to take back")) << a.rest();
    b.type("/undo second\r");
    ASSERT_TRUE(b.shows("nothing to take back")) << b.rest();
    for (Terminal* t : {&b, &a}) {
      t->type("/quit\r");
      EXPECT_EQ(t->ends(), 0);
    }
  }
  const std::string lines = read_text(at("headrace/history"));
  EXPECT_EQ(lines, "_HiStOrY_V2_\n/undo\\040first\n/undo\\040second\n/quit\n/quit\n");
  Terminal next(folder_);
  ASSERT_TRUE(next.shows("> ")) << next.rest();
  next.type("\x10\x10");                           // the line before the last
  EXPECT_TRUE(next.shows("/undo second")) << next.rest();
  next.type("\x15\4");
  EXPECT_EQ(next.ends(), 0);
}

// How many turns of the user a state holds.
int64_t turns_of(const std::string& state) {
  const auto notes = SafetensorsFile(state).metadata();
  return std::ranges::count(*parse_json(notes.at("chat"), state).get<Array>(), "user",
                            [](const Value& turn) { return *turn.get<Array>()->at(0).get<std::string>(); });
}

TEST_F(Cli, AnErrorInAPipedChatKeepsTheTurnsBeforeIt) {
  std::string long_line;
  for (int i = 0; i < 600; ++i) long_line += "Once upon ";   // the model was made for 512 tokens
  const Ran r = run("run --chat --temp 0 -n 5 --state s", "Once upon a time\nThe end\n" + long_line + "\nNever\n");
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("the conversation has"), std::string::npos) << r.err;
  EXPECT_EQ(turns_of(at("s")), 2);
  const Ran more = run("run --chat --temp 0 -n 5 --json --state s", "More\n");
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_GT(number(parse_json(more.out, "more"), "reused_tokens"), 10);    // as it was: not read again
  EXPECT_EQ(turns_of(at("s")), 3);
}

TEST_F(Cli, AChatThatIsToldToEndSavesItsStateAndSaysSo) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    Terminal t(folder_, {"run", "stories260K", "--temp", "0", "-n", "5", "--state", "s"});
    ASSERT_TRUE(t.shows("> ")) << t.rest();
    t.type("Once upon a time\r");
    ASSERT_TRUE(t.shows("there")) << t.rest();
    ASSERT_TRUE(t.shows("> ")) << t.rest();
    t.signal(signal);
    ASSERT_TRUE(t.shows(signal == SIGTERM ? "ended by SIGTERM; the conversation is in s\r\n" : "ended by SIGHUP; the conversation is in s\r\n"))
        << t.rest();
    EXPECT_EQ(t.ends(), 128 + signal);
    EXPECT_EQ(turns_of(at("s")), signal == SIGTERM ? 1 : 2);
  }
}

TEST_F(Cli, APipedChatThatIsToldToEndWhileItWaitsSavesItsState) {
  int in[2], out[2];
  ASSERT_EQ(::pipe(in), 0);
  ASSERT_EQ(::pipe(out), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(in[0], 0), ::dup2(out[1], 1);
    for (int end : {in[0], in[1], out[0], out[1]}) ::close(end);
    if (::chdir(folder_.c_str()) != 0) ::_exit(3);
    ::execl(HEADRACE_BINARY, "headrace", "run", "--chat", "--temp", "0", "-n", "5", "--json", "--state", "s", nullptr);
    ::_exit(3);
  }
  ::close(in[0]), ::close(out[1]);
  EXPECT_EQ(::write(in[1], "Once upon a time\nThe", 20), 20);
  for (char c = 0; c != '\n' && ::read(out[0], &c, 1) == 1;) {}
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(in[1]), ::close(out[0]);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  EXPECT_EQ(turns_of(at("s")), 1);                 // half a line is none
}

}  // namespace
}  // namespace headrace
