// headrace tokenizer train: a byte-level BPE tokenizer from texts.
#include <fmt/core.h>

#include <filesystem>

#include "base/compress.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "text/bpe_train.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::vector<std::string> texts;
  std::string out = "tokenizer.json", separator = "<|endoftext|>";
  int64_t vocab = 4096;
};

int act(const Options& o) {
  check_output(o.out, {});
  std::vector<std::string> files;
  for (const std::string& path : o.texts) {
    expect(!same_file(path, o.out), o.out, ": would replace one of the texts");
    files.push_back(read_packed(path, size_t{1} << 36));
  }
  std::vector<std::string_view> parts;                   // what is between separators
  for (const std::string& f : files)
    for (size_t begin = 0; begin < f.size();) {
      const size_t end = o.separator.empty() ? f.npos : f.find(o.separator, begin);
      parts.push_back(std::string_view(f).substr(begin, end == f.npos ? end : end - begin));
      begin = end == f.npos ? f.size() : end + o.separator.size();
    }
  Progress progress("tokenizer", static_cast<double>(o.vocab), "tokens");
  const Merges merges = train_bpe(parts, static_cast<int>(o.vocab), [&](int done) { progress.at(done); });
  progress.end();
  const std::string json = tokenizer_json(merges), config = tokenizer_config_json();
  write_atomic(o.out, [&](const Sink& sink) { sink(json.data(), json.size()); });
  size_t bytes = 0, tokens = 0;
  const Tokenizer t = Tokenizer::from_tokenizer_json(json, o.out);
  for (std::string_view p : parts)
    if (bytes < size_t{1} << 20) bytes += p.size(), tokens += t.encode(p, {.add_special = false, .parse_special = false}).size();
  const double each = static_cast<double>(bytes) / static_cast<double>(std::max<size_t>(1, tokens));
  if (o.common.json) print_json(Object{{"out", o.out}, {"tokens", int64_t{t.size()}}, {"bytes_per_token", each}});
  else fmt::print("{}: {} tokens, {:.2f} bytes a token\n", o.out, t.size(), each);
  return 0;
}

}  // namespace

void add_tokenizer(Command& root) {
  Command t = root.verb("tokenizer", "make tokenizers");
  t.about("A vocabulary of a text's own makes small models better: less of them is an embedding.");
  t.example("headrace tokenizer train --text stories.txt --vocab 1024", "writes tokenizer.json");
  auto o = std::make_shared<Options>();
  Command c = t.verb("train", "learn a byte-level BPE vocabulary from texts, as tokenizer.json");
  c.option("--text", o->texts, "FILE", "a text, or .zst; may be given often");
  c.option("--vocab", o->vocab, "N", "tokens: the bytes, <|endoftext|>, and joins").range("--vocab", 257, 1 << 20);
  c.option("--separator", o->separator, "TEXT", "between documents; no token crosses it");
  c.option("-o,--out", o->out, "FILE", "tokenizer.json");
  c.required("--text");
  o->common.add_json(c);
  c.example("headrace tokenizer train --text stories.txt --vocab 1024 -o tokenizer.json", "opens in Hugging Face's tokenizers too");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
