// headrace tokenize: texts to ids and back, one text an input, a line, or what ends in a zero byte; no weights are opened.
#include <fmt/core.h>

#include <iostream>
#include <iterator>
#include <sstream>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "run/open_tokenizer.h"

namespace headrace::cli {
namespace {

struct Options {
  std::string model, prompt, each = "all";
  bool with_prompt = false, decode = false, pieces = false, plain = false, json = false, count = false;
};

std::vector<int> ids_of(const std::string& line) {
  std::istringstream words(line);
  std::vector<int> ids;
  for (std::string word; words >> word;) {
    size_t end = 0;
    int id = -1;
    try {
      id = std::stoi(word, &end);
    } catch (const std::exception&) {}
    expect(end == word.size() && id >= 0, "tokenize --decode: expected token ids, found ", word);
    ids.push_back(id);
  }
  return ids;
}

void one(const Tokenizer& t, const Options& o, const std::string& in) {
  const std::vector<int> ids = o.decode ? ids_of(in) : t.encode(in, {.add_special = !o.plain, .parse_special = !o.plain});
  if (o.json) {
    Array numbers, pieces;
    for (int id : ids) {
      numbers.push_back(id);
      if (o.pieces) pieces.push_back(t.decode(std::span(&id, 1)));
    }
    Object out{{"tokens", numbers}};
    if (o.count) out = Object{{"count", static_cast<int64_t>(ids.size())}};
    if (o.pieces) out["pieces"] = pieces;
    if (o.decode) out["text"] = t.decode(ids, {.skip_special = o.plain});
    print_json(out);
  } else if (o.decode) {
    const std::string text = t.decode(ids, {.skip_special = o.plain});
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fputc(o.each == "null" ? '\0' : '\n', stdout);
  } else if (o.count) {
    fmt::print("{}\n", ids.size());
  } else if (o.pieces) {
    for (int id : ids) fmt::print("{}\t{}\n", id, to_json(t.decode(std::span(&id, 1))));
  } else {
    std::string line;
    for (int id : ids) line += text(line.empty() ? "" : " ", id);
    fmt::print("{}\n", line);
  }
}

int act(const Options& o) {
  const std::string path = model_path(o.model);
  const Tokenizer t = open_tokenizer(path, assets_folder());
  if (o.with_prompt) {
    one(t, o, o.prompt);
  } else if (o.each == "all") {
    one(t, o, std::string(std::istreambuf_iterator<char>(std::cin), {}));
  } else {
    for (std::string text; std::getline(std::cin, text, o.each == "null" ? '\0' : '\n');) one(t, o, text);
  }
  return 0;
}

}  // namespace

void add_tokenize(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("tokenize", "turn text into tokens, or tokens into text");
  c.about("Prints the token ids of the text, which is read from stdin unless -p gives it. Weights are not read.");
  c.argument("MODEL", o->model, "a model, or a tokenizer's own file: tokenizer.json, .model, RWKV's .txt, llama2.c's .bin", false);
  c.option("-p,--prompt", o->prompt, "TEXT", "the text");
  c.choice("--each", o->each, {"all", "line", "null"}, "what one text is: all of the input, a line, or what ends in a zero byte");
  c.flag("--decode", o->decode, "read ids, print their text");
  c.flag("--pieces", o->pieces, "one token a line: id, tab, its text as JSON");
  c.flag("--count", o->count, "only the number of tokens, with --json as count");
  c.flag("--plain", o->plain, "no begin and end tokens, and control tokens in the text are ordinary text");
  c.flag("--json", o->json, "print a JSON object for each text");
  c.example("headrace tokenize MODEL -p 'Once upon a time'", "its token ids");
  c.example("headrace tokenize MODEL --count < book.txt", "how many tokens a file has");
  c.action([o, c]() mutable {
    o->with_prompt = c.given("--prompt");
    return act(*o);
  });
}

}  // namespace headrace::cli
