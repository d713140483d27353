// libedit behind one function: Ctrl-C as a key, since its own handling would go on reading; history in the user's state folder.
#include "cli/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <filesystem>

#include "cli/interrupt.h"

#ifdef __SANITIZE_ADDRESS__
// libedit never frees the names that EL_ADDFN copies.
extern "C" const char* __lsan_default_suppressions() { return "leak:wcsdup"; }
#endif

namespace headrace::cli {

struct LineEditor::Parts {
  EditLine* edit = nullptr;
  History* history = nullptr;
  std::string prompt, file;
  bool cleared = false, leave = false, asked = false;      // asked: the last key was a first ^C at an empty prompt
};

namespace {

std::string history_file() {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  if ((!state || !*state) && (!home || !*home)) return "";
  const std::filesystem::path folder = state && *state ? std::filesystem::path(state) / "headrace"
      : std::filesystem::path(home) / ".local/state/headrace";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? "" : folder / "history";
}

// One line at the end of the file, so that chats side by side keep each other's.
void append(const std::string& file, const std::string& line) {
  const int opened = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);   // what was said is nobody else's
  std::FILE* f = opened < 0 ? nullptr : ::fdopen(opened, "a");
  if (!f) return;
  std::fseek(f, 0, SEEK_END);                      // an empty file gets its heading
  History* one = history_init();
  HistEvent event;
  history(one, &event, H_SETSIZE, 1);
  history(one, &event, H_ENTER, line.c_str());
  history(one, &event, H_SAVE_FP, f);
  history_end(one);
  std::fclose(f);
}

// A file of more than a megabyte begins anew with the lines that were kept.
void shorten(const std::string& file, History* kept) {
  std::error_code error;
  if (const auto size = std::filesystem::file_size(file, error); error || size < (1u << 20)) return;
  const std::string shorter = file + "." + std::to_string(::getpid());
  HistEvent event;
  if (history(kept, &event, H_SAVE, shorter.c_str()) >= 0) std::filesystem::rename(shorter, file, error);
}

char* prompt_of(EditLine* e) {
  void* data = nullptr;
  el_get(e, EL_CLIENTDATA, &data);
  return static_cast<LineEditor::Parts*>(data)->prompt.data();
}
// A character; SIGINT becomes the key ^C (libedit itself would go on reading).
int read_character(EditLine*, wchar_t* c) {
  std::mbstate_t state{};
  for (;;) {
    if (!wait_for_input(STDIN_FILENO)) {
      if (ending()) return 0;
      clear_interrupt();
      *c = L'\003';
      return 1;
    }
    char byte;
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return static_cast<int>(n);
    const size_t used = std::mbrtowc(c, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;         // more bytes of this character follow
    if (used == static_cast<size_t>(-1)) *c = L'?', state = {};
    return 1;
  }
}
unsigned char on_interrupt(EditLine* e, wint_t) {
  void* data = nullptr;
  el_get(e, EL_CLIENTDATA, &data);
  auto& p = *static_cast<LineEditor::Parts*>(data);
  const LineInfo* line = el_line(e);
  const bool empty = line->lastchar == line->buffer;
  p.leave = empty && p.asked;
  p.cleared = !p.leave;
  p.asked = empty;
  std::fputs(empty && !p.leave ? "^C (once more to leave; Ctrl-D does too)\r\n" : "^C\r\n", stdout);
  std::fflush(stdout);
  return CC_NEWLINE;
}

}  // namespace

LineEditor::LineEditor(std::string prompt) : parts_(std::make_unique<Parts>()) {
  std::setlocale(LC_CTYPE, "");
  Parts& p = *parts_;
  p.prompt = std::move(prompt);
  p.file = history_file();
  p.edit = el_init("headrace", stdin, stdout, stderr);
  p.history = history_init();
  HistEvent event;
  history(p.history, &event, H_SETSIZE, 1000);
  history(p.history, &event, H_SETUNIQUE, 1);
  if (!p.file.empty()) history(p.history, &event, H_LOAD, p.file.c_str()), shorten(p.file, p.history);
  el_set(p.edit, EL_CLIENTDATA, &p);
  el_set(p.edit, EL_PROMPT_ESC, prompt_of, '\1');
  el_set(p.edit, EL_EDITOR, "emacs");
  el_set(p.edit, EL_HIST, history, p.history);
  el_set(p.edit, EL_GETCFN, read_character);
  el_set(p.edit, EL_ADDFN, "leave-line", "clear the line; at an empty one, twice leaves", on_interrupt);
  el_set(p.edit, EL_BIND, "^C", "leave-line", nullptr);
  el_set(p.edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
}
LineEditor::~LineEditor() {
  Parts& p = *parts_;
  history_end(p.history);
  el_end(p.edit);
}

std::optional<std::string> LineEditor::line() {
  Parts& p = *parts_;
  for (;;) {
    p.cleared = p.leave = false;
    clear_interrupt();
    int n = 0;
    const char* s = el_gets(p.edit, &n);
    if (ending() || p.leave || ((!s || n <= 0) && !p.cleared)) return std::nullopt;
    if (p.cleared) continue;
    p.asked = false;
    std::string line(s, static_cast<size_t>(n));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    if (line.empty()) return line;
    HistEvent event;
    history(p.history, &event, H_ENTER, line.c_str());
    if (!p.file.empty()) append(p.file, line);
    return line;
  }
}

}  // namespace headrace::cli
