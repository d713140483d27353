// Chat templates: messages -> the text that a model was trained to continue.
//
//   ChatTemplate chat(tokenizer.chat_template());
//   std::string prompt = chat.render(messages, {.bos = "<s>", .add_generation_prompt = true}).text;
//
// A template is a program in the Jinja language that comes with a checkpoint, so it is as hostile as any file: steps,
// depth and memory are bounded, it reads nothing but what is given here, and what goes wrong is an Error that names
// the line. The language is what transformers gives to templates: jinja2's statements, expressions, filters and tests
// under trim_blocks and lstrip_blocks with break and continue, generation blocks, raise_exception and strftime_now;
// without inheritance, imports and recursive loops. | safe does nothing: in jinja2 it would HTML-escape what is added to it.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace {

class Tokenizer;

struct Message {
  std::string role, content;
  std::string fields;  // more of the message as a JSON object: tool_calls, name, or content in parts; it wins
};

struct ChatOptions {
  std::string bos, eos;  // texts of these tokens
  bool add_generation_prompt = false;
  std::string tools;           // a JSON array of function schemas, or nothing
  std::string variables;       // a JSON object of further variables: {"enable_thinking": false}
  std::optional<int64_t> now;  // seconds since 1970 for strftime_now; the local time when not given
  int64_t max_steps = 20'000'000, max_bytes = int64_t{256} << 20;  // of work and of text made, for inputs up to 8 MiB
};

struct RenderedChat {
  std::string text;
  std::vector<std::pair<size_t, size_t>> answers;  // byte ranges that {% generation %} marks
};

// Cheap to copy; any number of threads may render with it.
class ChatTemplate {
 public:
  explicit ChatTemplate(std::string_view source, std::string name = "chat template");  // throws Error with the line
  RenderedChat render(std::span<const Message> messages, const ChatOptions& options = {}) const;

  struct Parsed;

 private:
  std::shared_ptr<const Parsed> parsed_;
};

// The tokenizer's own template; else the one that goes with its turn tokens (<|im_start|>, <start_of_turn>,
// <|start_header_id|>); empty when neither is there.
std::string chat_template_of(const Tokenizer& tokenizer);

}  // namespace headrace
