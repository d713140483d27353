// The chat from outside: what a terminal shows, and what is kept of a conversation however it ends.
#include "cli.h"
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

}  // namespace
}  // namespace headrace
