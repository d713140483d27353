// The program from outside: what may be left out, what is refused, and the chat on a terminal.
#include <filesystem>

#include "base/file.h"
#include "cli.h"
#include "terminal.h"

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
