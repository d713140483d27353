// The program from outside: nothing that was there, typed or shown is lost.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "cli.h"
#include "io/gguf.h"
#include "io/safetensors.h"

namespace headrace {
namespace {

// How far the process has read its standard input.
int64_t read_of_input(pid_t process) {
  std::ifstream info("/proc/" + std::to_string(process) + "/fdinfo/0");
  std::string key;
  int64_t position = -1;
  info >> key >> position;
  return position;
}
// True once the process asks for SIGINT itself. Before it reads its input it also does so for a moment, while it tries whether
// the state can be written.
bool catches_interrupts(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("SigCgt:")) return std::strtoull(line.c_str() + 7, nullptr, 16) >> (SIGINT - 1) & 1;
  return false;
}

TEST_F(Cli, AnInterruptWhileThePromptIsReadLeavesTheSavedState) {
  ASSERT_EQ(run("state save stories260K -p Once --out s").code, 0);
  const std::string old = read_text(at("s"));
  std::string words;
  for (int i = 0; i < 8000; ++i) words += "Once upon ";
  write("long", words);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!std::freopen(at("long").c_str(), "r", stdin) || !std::freopen(at("out").c_str(), "w", stdout)
        || !std::freopen(at("err").c_str(), "w", stderr)) ::_exit(3);
    ::execl(HEADRACE_BINARY, "headrace", "run", "stories260K", "--state", at("s").c_str(), "-n", "3", nullptr);
    ::_exit(3);
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto reads_the_prompt = [&] { return read_of_input(child) == static_cast<int64_t>(words.size()) && catches_interrupts(child); };
  while (!reads_the_prompt() && std::chrono::steady_clock::now() - begin < std::chrono::seconds(60)) {}
  ::kill(child, SIGINT);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
  EXPECT_EQ(read_text(at("out")), "");
  EXPECT_NE(read_text(at("err")).find("headrace: interrupted"), std::string::npos) << read_text(at("err"));
  EXPECT_TRUE(read_text(at("s")) == old);
}

TEST_F(Cli, AStateSavedAtAStopStringHasSeenAllThatWasSaid) {
  const Value j = json("run -p 'Once upon a time' -n 20 --temp 0 --stop girl --state s --json");
  EXPECT_EQ(string(j, "reason"), "stop");
  EXPECT_EQ(number(json("state info s --json"), "tokens"), number(j, "prompt_tokens") + static_cast<double>(j.find("tokens")->get<Array>()->size()));
}

TEST_F(Cli, BytesThatAreNoTextDoNotLoseTheChat) {
  const Ran r = run("run stories260K --chat --temp 0 -n 5 --state s --system 'Be \xe9'", "Hello \xff\nMore\n");
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(run("state info s").code, 0);
  EXPECT_EQ(run("run stories260K --chat --temp 0 -n 5 --state s", "And \xc3\n").code, 0);
}

TEST_F(Cli, AFolderWhoseNameIsNoTextIsAModelLikeAnother) {
  const std::string name = "mod\xe9le";
  std::filesystem::copy(HEADRACE_ROOT "/assets/stories260K", at(name));
  EXPECT_EQ(run("state save " + name + " -p Once --out s").code, 0) << run("state save " + name + " -p Once --out s").err;
  EXPECT_EQ(run("state load " + name + " s").code, 0);
  EXPECT_EQ(run("check --tokens 20 " + name).code, 0);
}

// A model with few learned positions (128), and words for it.
class LearnedPositions : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    std::filesystem::copy(fixtures + "models/gpt2", at("g"));
    std::string vocabulary;
    for (int i = 0; i < 64; ++i) vocabulary += (i ? ", \"w" : "\"w") + std::to_string(i) + "\": " + std::to_string(i);
    write("g/tokenizer.json", R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
      "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "unk_token": "w0", "vocab": {)" + vocabulary + "}}}");
  }
};

TEST_F(LearnedPositions, EndACompletionWithAReasonAndKeepWhatWasSaid) {
  const Value j = json("run g -p 'w5 w6 w7' -n 200 --temp 0 --json --state s");
  EXPECT_EQ(string(j, "reason"), "context");
  EXPECT_EQ(j.find("tokens")->get<Array>()->size(), 125u);
  EXPECT_EQ(number(json("state info s --json"), "tokens"), 128);
  EXPECT_EQ(run("state load g s").code, 0);
  const Ran r = run("run g -p 'w5 w6 w7' -n 200 --temp 0");
  EXPECT_EQ(r.code, 0);
  EXPECT_NE(r.out, "");
  EXPECT_NE(r.err.find("128 learned positions"), std::string::npos) << r.err;
  EXPECT_EQ(string(json("run g -p 'w5 w6 w7' -n 125 --temp 0 --json"), "reason"), "length");
}

TEST_F(LearnedPositions, AreCountedBeforeRowsOfTokensAreContinued) {
  tokens("in", std::vector<int64_t>(100, 5));
  EXPECT_EQ(run("run g --tokens in -n 29 --temp 0 --out o").code, 0);      // the last token is not read
  std::filesystem::remove(at("o"));
  const Ran r = run("run g --tokens in -n 30 --temp 0 --out o");
  one_line(r, 1, "one too many");
  EXPECT_NE(r.err.find("100 tokens and 30 more: the model has 128 learned positions"), std::string::npos) << r.err;
}

TEST_F(LearnedPositions, BoundTheLengthsThatAreMeasured) {
  const Ran r = run("bench g --prompt 512 --gen 128 --reps 1 --json");
  ASSERT_EQ(r.code, 0) << r.err;
  const Value j = parse_json(r.out, "bench");
  EXPECT_EQ(number(j, "prompt"), 102);
  EXPECT_EQ(number(j, "gen"), 26);
  EXPECT_EQ(r.err, "g: 128 learned positions: measured with --prompt 102 --gen 26\n");
  EXPECT_EQ(number(json("bench g --prompt 100 --gen 28 --reps 1 --json"), "gen"), 28);
}

TEST_F(Cli, NoFileOfAnInputFolderIsWrittenOver) {
  std::filesystem::copy(fixtures + "models/llama_tied_sharded", at("m"));
  std::filesystem::create_directories(at("m/more"));
  for (const char* name : {"m/merges.txt", "m/chat_template.jinja", "m/more/notes"}) write(name, "kept");
  tokens("in", {1, 2, 3});
  for (const char* over : {"m/merges.txt", "m/chat_template.jinja", "m/more/notes", "./m/../m/merges.txt"})
    for (const char* verb : {"quantize m ", "logits m --tokens in --out ", "run m --tokens in -n 1 --out "}) {
      const Ran r = run(std::string(verb) + over);
      one_line(r, 1, verb + std::string(over));
      EXPECT_NE(r.err.find("give the output another name"), std::string::npos) << r.err;
    }
  EXPECT_EQ(read_text(at("m/merges.txt")), "kept");
  EXPECT_EQ(run("logits m --tokens in --out m/new").code, 0) << "a new file may lie there";
  std::filesystem::copy(HEADRACE_ROOT "/assets/stories260K", at("t"));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(run("run t -p Once -n 2 --state t/s").code, 0) << "a state is continued wherever it lies";
}

TEST_F(Cli, NoPartOfASplitInputIsWrittenOver) {
  const GgufFile whole(fixtures + "gguf/llama.gguf");
  const std::string parts[] = {at("m-00001-of-00002.gguf"), at("m-00002-of-00002.gguf")};
  for (int i = 0; i < 2; ++i) {
    GgufMetadata m(parts[i]);
    if (i == 0)
      for (const auto& [key, value] : whole.metadata().all()) m.add(key, value);
    m.add("split.no", static_cast<uint32_t>(i));
    m.add("split.count", uint32_t{2});
    m.add("split.tensors.count", static_cast<int32_t>(whole.tensors().size()));
    const auto& all = whole.tensors().tensors();
    write_gguf(parts[i], m, std::span(all).subspan(i ? 1 : 0, i ? all.size() - 1 : 1));
  }
  ASSERT_EQ(run("info m-00001-of-00002.gguf").code, 0);
  for (const std::string& part : parts) {
    const Ran r = run("quantize m-00001-of-00002.gguf " + part);
    one_line(r, 1, part);
    EXPECT_NE(r.err.find("give the output another name"), std::string::npos) << r.err;
  }
}

}  // namespace
}  // namespace headrace
