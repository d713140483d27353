// The chat of `run`: on a terminal with line editing; with --chat in a pipe, one line a turn.
#pragma once
#include <optional>
#include <string>

#include "run/conversation.h"

namespace headrace::cli {

struct ChatOptions {
  int64_t context = 0;                   // tokens that it may grow to; 0: what the model was made for
  std::string system, state;             // state: loaded where the file exists, saved at the end
  std::optional<std::string> only;       // one turn, then leave
  SampleOptions sample;
  GenerateOptions generate;
  bool json = false, stats = false;
};
int chat(const Loaded& model, ChatOptions options);

}  // namespace headrace::cli
