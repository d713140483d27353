// headrace VERB [MODEL] [options]. Exit codes: 0 done, 1 failed (one line on stderr), 2 usage.
#include <fmt/core.h>

#include <csignal>
#include <new>

#include "base/error.h"
#include "cli/verbs.h"
#include "models/blueprint.h"
#include "text/unicode.h"

int main(int argc, char** argv) {
  using namespace headrace;
  std::signal(SIGXFSZ, SIG_IGN);             // a write beyond the limit of a file's size fails, and says so
  cli::Program program("headrace", "One engine for every way of mixing a sequence.", HEADRACE_VERSION);
  cli::Command& root = program.root;
  root.example("headrace run", "chats with the model that ships, on a terminal")
      .example("headrace run MODEL -p 'Once upon a time' -n 64", "continues a text");
  using Add = void (*)(cli::Command&);
  constexpr Add verbs[] = {
      cli::add_run,
      cli::add_logits,
      cli::add_tokenize,
      cli::add_bench,
      cli::add_check,
      cli::add_state,
      cli::add_info,
      cli::add_plan,
      cli::add_explain,
      cli::add_mixers,
      cli::add_probe,
      cli::add_doctor,
      cli::add_op,
      cli::add_quantize,
      cli::add_distill,
      cli::add_train,
      cli::add_tokenizer,
      cli::add_completion,
      cli::add_man,
  };
  for (Add add : verbs) add(root);
  std::string message, pointed;              // pointed: the place in a blueprint that is wrong
  try {
    const int code = program.run(argc, argv);
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return code;
    message = "cannot write the output";
  } catch (const BlueprintError& e) {
    message = e.what(), pointed = e.pointed();
  } catch (const std::bad_alloc&) {
    message = "out of memory; try a smaller model or context (headrace plan shows what is needed)";
  } catch (const std::exception& e) {
    message = e.what();
  }
  message = replace_broken(message);          // it may have words of a file
  for (char& c : message)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  std::fflush(stdout);
  fmt::print(stderr, "headrace: {}\n{}{}", message, pointed, pointed.empty() ? "" : "\n");
  return 1;
}
