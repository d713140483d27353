// The chat's commands and turns. On a terminal Ctrl-C ends an answer and an error a turn; in a pipe every line is a turn, and an error the end.
#include "cli/chat.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"

namespace headrace::cli {
namespace {

constexpr const char* help_text =
    "/help        this list\n"
    "/reset       forget everything\n"
    "/undo        take back the last turn and its answer\n"
    "/save FILE   save the conversation and the model's state\n"
    "/load FILE   go on with a saved one\n"
    "/quit        leave (as Ctrl-D, or Ctrl-C twice at an empty prompt; Ctrl-C stops an answer)\n"
    "A line that ends in \\ goes on in the next.\n";

class Chat {
 public:
  Chat(const Loaded& model, ChatOptions o)
      : o_(std::move(o)), talk_(model, template_of(model), o_.system), sampler_(o_.sample), terminal_(on_terminal(stdin) && on_terminal(stdout)) {
    o_.generate.interrupted = interrupted;
    o_.generate.context = bound(model, o_.context > 0 ? o_.context : model.model.context);
    if (!o_.json)
      o_.generate.show = [](const std::string& s) {
        fmt::print("{}", s);
        std::fflush(stdout);
      };
  }

  int run() {
    if (!o_.state.empty() && file_exists(o_.state)) talk_.load(o_.state);
    try {
      converse();
    } catch (const std::exception& e) {                // what was said before it stays said
      try {
        keep();
      } catch (const Error& also) {
        fail(e.what(), "; ", also.what());
      }
      throw;
    }
    const bool kept = keep();
    if (!ending()) return 0;
    fmt::print(stderr, "headrace: ended by {}{}\n", ending() == SIGHUP ? "SIGHUP" : "SIGTERM", kept ? "; the conversation is in " + o_.state : "");
    return 128 + ending();
  }

 private:
  void converse() {
    if (o_.only) return answer(*o_.only);
    std::optional<LineEditor> editor;
    if (terminal_) editor.emplace("> ");
    while (auto line = next(editor))
      if (!act(*line)) break;
  }
  bool keep() const {
    if (o_.state.empty() || talk_.session().state().tokens == 0) return false;
    talk_.save(o_.state);
    return true;
  }
  std::optional<std::string> piped_line() {
    for (;;) {
      if (const size_t end = held_.find('\n'); end != std::string::npos) {
        std::string line = held_.substr(0, end);
        held_.erase(0, end + 1);
        return line;
      }
      char bytes[4096];
      if (!wait_for_input(STDIN_FILENO)) return std::nullopt;
      const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (n <= 0) return held_.empty() ? std::nullopt : std::optional(std::exchange(held_, ""));
      held_.append(bytes, static_cast<size_t>(n));
    }
  }
  std::optional<std::string> next(std::optional<LineEditor>& editor) {
    std::string all;
    for (;;) {
      if (ending()) return std::nullopt;
      const std::optional<std::string> line = editor ? editor->line() : piped_line();
      if (ending()) return std::nullopt;
      if (!line) return all.empty() ? std::nullopt : std::optional(all);
      all += *line;
      if (!all.ends_with('\\')) return all;
      all.back() = '\n';
    }
  }
  // A command or a turn; false: leave. On a terminal an error is shown and the chat goes on. In a pipe every line is a turn:
  // whose text it is may not know that / begins a command.
  bool act(const std::string& line) {
    if (!terminal_) {
      if (!line.empty()) answer(line);
      return true;
    }
    const size_t space = line.find(' ');
    const std::string command = line.substr(0, space), rest = space == std::string::npos ? "" : line.substr(space + 1);
    try {
      if (command == "/quit" || command == "/exit") return false;
      if (command == "/help") fmt::print("{}", help_text);
      else if (command == "/reset") talk_.reset(), sampler_ = Sampler(o_.sample), note("forgotten");
      else if (command == "/undo") note(talk_.undo() ? "taken back" : "there is nothing to take back");
      else if (command == "/save") expect(!rest.empty(), "/save needs a file"), talk_.save(rest), note("saved to " + rest);
      else if (command == "/load") expect(!rest.empty(), "/load needs a file"), talk_.load(rest), replay();
      else if (command.starts_with("/") && command.size() > 1 && command.find('/', 1) == std::string::npos)
        fail(command, " is no command; /help lists them");
      else if (!line.empty()) answer(line);
    } catch (const Error& e) {
      fmt::print(stderr, "{}\n", e.what());
    }
    return true;
  }
  void note(const std::string& s) {
    if (terminal_) fmt::print("{}\n", dim(s));
  }
  void replay() {
    if (!terminal_) return;
    for (const Turn& t : talk_.turns()) fmt::print("{}{}\n", t.role == "user" ? "> " : "", t.content);
  }
  void answer(const std::string& line) {
    clear_interrupt();
    Clock clock;
    Generated g;
    double read = 0;
    {
      Progress progress("reading", 1, "tokens");
      g = talk_.say(line, sampler_, o_.generate,
          [&](int64_t done, int64_t all) {
            progress.of(static_cast<double>(all)), progress.at(static_cast<double>(done));
            if (done == all) progress.end();         // the answer begins on its line
          });
      read = clock.seconds() - g.seconds;
    }
    const Session::Change& c = talk_.last_change();
    if (o_.json)
      print_json(Object{{"text", g.text}, {"reason", g.reason}, {"tokens", numbers(g.tokens)}, {"reused_tokens", c.reused},
                        {"fed_tokens", c.fed}, {"why_not_more", c.why}, {"prefill_seconds", read}, {"decode_seconds", g.seconds}});
    else if (!g.text.ends_with('\n')) fmt::print("\n");
    if (g.reason == "interrupted") note("[stopped]");
    if (g.reason == "context") note(fmt::format("[{} tokens are all that it may have; /undo or /reset]", o_.generate.context));
    if (o_.stats)
      fmt::print(stderr, "{} tokens known, {} read in {:.2f} s, {} written in {:.2f} s ({:.1f}/s)\n", c.reused, c.fed, read, g.tokens.size(),
          g.seconds,
                 static_cast<double>(g.tokens.size()) / g.seconds);
    std::fflush(stdout);
    clear_interrupt();
  }

  ChatOptions o_;
  Conversation talk_;
  Sampler sampler_;
  bool terminal_;
  std::string held_;                       // of a pipe: read, and not yet a line
};

}  // namespace

int chat(const Loaded& model, ChatOptions options) {
  catch_interrupts();
  catch_endings();
  return Chat(model, std::move(options)).run();
}

}  // namespace headrace::cli
