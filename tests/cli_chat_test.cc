// The chat from outside: what a terminal shows, and what is kept of a conversation however it ends.
#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli.h"
#include "io/safetensors.h"
#include "run/state_file.h"
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

// Of a state: the tokens it has seen.
std::vector<int64_t> history_of(const std::string& state) {
  const Tensor t = SafetensorsFile(state).tensor("history");
  return {t.data<int64_t>(), t.data<int64_t>() + t.count()};
}

TEST_F(Cli, AChatGoesOnFromAStateThatHoldsNoTurns) {
  ASSERT_EQ(run("state save stories260K -p 'Once upon a time' --out s").code, 0);
  const std::vector<int64_t> begin = history_of(at("s"));
  for (int turn = 0; turn < 2; ++turn) {
    const Ran r = run("run --chat --temp 0 -n 5 --json --state s", "there was\n");
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_GE(number(parse_json(r.out, "turn"), "reused_tokens"), static_cast<double>(begin.size()));
    const std::vector<int64_t> now = history_of(at("s"));
    ASSERT_GT(now.size(), begin.size());
    EXPECT_TRUE(std::equal(begin.begin(), begin.end(), now.begin()));
    EXPECT_EQ(std::ranges::count(now, 1), 1) << "a sequence begins once";
    EXPECT_EQ(turns_of(at("s")), turn + 1);
  }
  // What is said is what a completion of the same state says.
  for (const char* name : {"t", "u"}) ASSERT_EQ(run(std::string("state save stories260K -p 'Once upon a time' --out ") + name).code, 0);
  EXPECT_EQ(run("run --chat --temp 0 -n 5 --state t", "there was\n").out, run("run -p 'there was' --temp 0 -n 5 --state u").out + "\n");
}

TEST_F(Cli, ATurnThatIsTakenBackLeavesWhatTheChatBeganWith) {
  ASSERT_EQ(run("state save stories260K -p 'Once upon a time' --out s").code, 0);
  const std::vector<int64_t> begin = history_of(at("s"));
  Terminal t(folder_, {"run", "stories260K", "--temp", "0", "-n", "5", "--state", "s"});
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("there was\r");
  ASSERT_TRUE(t.shows("> ")) << t.rest();
  t.type("/undo\r");
  ASSERT_TRUE(t.shows("taken back")) << t.rest();
  t.type("/quit\r");
  EXPECT_EQ(t.ends(), 0);
  EXPECT_EQ(history_of(at("s")), begin);
}

TEST_F(Cli, ACompletionOnTheStateOfAChatBelongsToItsLastTurn) {
  ASSERT_EQ(run("run --chat --temp 0 -n 5 --state s", "Once upon a time\n").code, 0);
  const std::string more = run("run -p ' and' --temp 0 -n 4 --state s").out;
  const auto notes = SafetensorsFile(at("s")).metadata();
  const Value turns = parse_json(notes.at("chat"), "s");
  ASSERT_EQ(turns.get<Array>()->size(), 2u);
  EXPECT_TRUE(turns.get<Array>()->at(1).get<Array>()->at(1).get<std::string>()->ends_with(" and" + more)) << notes.at("chat");
  EXPECT_TRUE(notes.at("text").ends_with(" and" + more)) << notes.at("text");
  const double known = number(json("state info s --json"), "tokens");
  const Ran next = run("run --chat --temp 0 -n 5 --json --state s", "The end\n");
  EXPECT_EQ(number(parse_json(next.out, "next"), "reused_tokens"), known);
  EXPECT_EQ(turns_of(at("s")), 2);
}

TEST_F(Cli, ATextGrowsToItsContextAndNoFurther) {
  const Value j = json("run -p 'Once upon a time' -n 50 --temp 0 --context 12 --json");
  EXPECT_EQ(string(j, "reason"), "context");
  EXPECT_EQ(number(j, "prompt_tokens") + static_cast<double>(j.find("tokens")->get<Array>()->size()), 12);
  EXPECT_EQ(string(json("run -p 'Once upon a time' -n 5 --temp 0 --context 12 --json"), "reason"), "length");
  one_line(run("run -p 'Once upon a time' --context 3"), 1, "a prompt that is longer");
  const Ran talk = run("run --chat -n 50 --temp 0 --context 12 --json", "Once upon a time\n");
  EXPECT_EQ(string(parse_json(talk.out, "turn"), "reason"), "context");
  EXPECT_EQ(run("run --chat -n 50 --temp 0 --context 12", "Once upon a time\nMore\n").code, 1);
  tokens("in", {1, 2, 3});
  one_line(run("run --tokens in -n 10 --out o --context 12"), 1, "rows that would be longer");
  EXPECT_EQ(run("run --tokens in -n 9 --out o --context 12").code, 0);
}

TEST_F(Cli, EqualRowsOfOneSeedAreContinuedEachInItsOwnWay) {
  tokens("one", {1, 403, 407}), tokens("three", {1, 403, 407, 1, 403, 407, 1, 403, 407}, 3);
  auto generated = [&](const char* in) {
    EXPECT_EQ(run(std::string("run --tokens ") + in + " -n 12 --seed 5 --temp 1 --out o").code, 0);
    const Tensor t = SafetensorsFile(at("o")).tensor("generated");
    return std::vector<int64_t>(t.data<int64_t>(), t.data<int64_t>() + t.count());
  };
  const auto one = generated("one"), three = generated("three");
  const std::vector<int64_t> first(three.begin(), three.begin() + 12), second(three.begin() + 12, three.begin() + 24),
      third(three.begin() + 24, three.end());
  EXPECT_EQ(first, one);
  EXPECT_NE(first, second);
  EXPECT_NE(second, third);
  EXPECT_NE(first, third);
  EXPECT_EQ(generated("three"), three);
}

TEST_F(Cli, AStateIsRolledBackToItsMarkBitForBit) {
  for (const std::string model : {"stories260K", "rwkv7-tiny"}) {
    ASSERT_EQ(run("state save " + model + " -p 'Once upon a time' --out s").code, 0);
    one_line(run("state rollback s begin"), 1, "no mark yet");
    ASSERT_EQ(run("state mark s begin").code, 0);
    const std::string begin = read_text(at("s")), first = run("run " + model + " -p ' there' -n 8 --temp 0 --state s").out;
    ASSERT_EQ(run("state mark s later").code, 0);
    const std::string later = read_text(at("s"));
    const Value info = json("state info s --json");
    const Array& marks = *info.find("marks")->get<Array>();
    ASSERT_EQ(marks.size(), 2u);
    EXPECT_EQ(string(marks[0], "name"), "begin");
    EXPECT_EQ(string(marks[1], "name"), "later");
    EXPECT_EQ(number(marks[1], "tokens"), number(info, "tokens"));
    ASSERT_EQ(run("state rollback s begin").code, 0);
    EXPECT_EQ(read_text(at("s")), begin) << model;
    EXPECT_EQ(run("run " + model + " -p ' there' -n 8 --temp 0 --state s").out, first) << model;
    EXPECT_EQ(run("state diff s s.later.mark").code, 0) << model;
    std::filesystem::remove(at("s"));                  // lost: its marks are not
    ASSERT_EQ(run("state rollback s later").code, 0);
    EXPECT_EQ(read_text(at("s")), later) << model;
    for (const char* file : {"s", "s.begin.mark", "s.later.mark"}) std::filesystem::remove(at(file));
  }
}

TEST_F(Cli, AMarkHasAPlainNameOfItsOwnAndBelongsToItsModel) {
  ASSERT_EQ(run("state save stories260K -p Once --out s").code, 0);
  ASSERT_EQ(run("state mark s begin").code, 0);
  const std::string kept = read_text(at("s.begin.mark"));
  const Ran twice = run("state mark s begin");
  one_line(twice, 1, "a mark of this name");
  EXPECT_NE(twice.err.find("s.begin.mark: there is a mark of this name"), std::string::npos) << twice.err;
  for (const char* name : {"../x", "a.b", "''"}) one_line(run(std::string("state mark s ") + name), 1, name);
  const Ran none = run("state rollback s end");
  one_line(none, 1, "no such mark");
  EXPECT_NE(none.err.find("there are: begin"), std::string::npos) << none.err;
  ASSERT_EQ(run("state save rwkv7-tiny -p Once --out s").code, 0);
  const Ran other = run("state rollback s begin");
  one_line(other, 1, "another model's");
  EXPECT_NE(other.err.find("a state of rwkv7-tiny"), std::string::npos) << other.err;
  EXPECT_EQ(read_text(at("s.begin.mark")), kept);
}

TEST_F(Cli, StatesDifferWhereTheirTokensDo) {
  ASSERT_EQ(run("state save stories260K -p Once --out s").code, 0);
  SavedState s = read_state(at("s"));
  save_state(at("without"), s.state, s.model);
  s.history.back() ^= 1;
  save_state(at("other"), s.state, s.model, s.history);
  const Ran other = run("state diff s other"), without = run("state diff s without --json");
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.out.find(text("their tokens differ from number ", s.history.size() - 1, " on\n")), std::string::npos) << other.out;
  EXPECT_EQ(without.code, 1);
  EXPECT_NE(without.out.find(R"("history":{"differs_from":null,"equal":false})"), std::string::npos) << without.out;
  EXPECT_EQ(run("state diff s s").code, 0);
}

}  // namespace
}  // namespace headrace
