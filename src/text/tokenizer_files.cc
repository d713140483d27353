// Vocabularies with a file format of their own: RWKV world, GPT-2's pair of files, llama2.c, SentencePiece, plain
// bytes.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace headrace {

using Parts = Tokenizer::Parts;

namespace {

std::shared_ptr<Parts> longest_match(const std::vector<std::pair<int, std::string>>& tokens) {
  auto p = std::make_shared<Parts>();
  p->model = Parts::longest_match;
  p->vocab.reserve(tokens.size() + 1, tokens.size() * 8);
  for (const auto& [id, bytes] : tokens) p->vocab.set(id, bytes);
  std::vector<Trie::Entry> entries;
  for (const auto& [id, bytes] : tokens) entries.push_back({p->vocab[id], id});
  p->longest = Trie(std::move(entries));
  return p;
}

// A Python literal, 'text' or b'bytes', as its bytes.
std::string python_literal(std::string_view literal, std::string_view where) {
  const bool raw = literal.starts_with('b');
  std::string_view s = literal.substr(raw ? 1 : 0);
  expect(s.size() >= 2 && (s[0] == '\'' || s[0] == '"') && s.back() == s[0], where, ": ", literal, " is no literal");
  const char quote = s[0];
  s = s.substr(1, s.size() - 2);
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      expect(s[i] != quote, where, ": a bare quote in ", literal);
      out += s[i];
      continue;
    }
    expect(++i < s.size(), where, ": ", literal, " ends in a backslash");
    int digits = 0;
    switch (s[i]) {
      case 'n':
        out += '\n';
        continue;
      case 't':
        out += '\t';
        continue;
      case 'r':
        out += '\r';
        continue;
      case '\\':
      case '\'':
      case '"':
        out += s[i];
        continue;
      case 'x':
        digits = 2;
        break;
      case 'u':
        digits = raw ? 0 : 4;
        break;
      case 'U':
        digits = raw ? 0 : 8;
        break;
      default:
        break;
    }
    expect(digits > 0 && i + digits < s.size(), where, ": unknown escape in ", literal);
    uint32_t code = 0;
    for (int k = 0; k < digits; ++k) {
      const char c = s[++i];
      const int v = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
      expect(v >= 0, where, ": bad hexadecimal digit in ", literal);
      code = code << 4 | static_cast<uint32_t>(v);
    }
    if (raw) {
      out += static_cast<char>(code);
    } else {
      expect(code <= 0x10FFFF && !(code >= 0xD800 && code < 0xE000), where, ": no such character in ", literal);
      append_utf8(out, static_cast<int32_t>(code));
    }
  }
  return out;
}

int number(std::string_view s, std::string_view where) {
  int value = 0;
  expect(!s.empty() && s.size() <= 8, where, ": ", s, " is no number");
  for (char c : s) {
    expect(c >= '0' && c <= '9', where, ": ", s, " is no number");
    value = value * 10 + (c - '0');
  }
  return value;
}

std::string_view next_line(std::string_view& text) {
  size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

Tokenizer Tokenizer::bytes() {
  std::vector<std::pair<int, std::string>> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(b, std::string(1, static_cast<char>(b)));
  auto p = longest_match(tokens);
  p->finish();
  return Tokenizer(p);
}

namespace {

std::vector<std::pair<int, std::string>> rwkv_tokens(std::string_view vocab_text, std::string_view name) {
  std::vector<std::pair<int, std::string>> tokens;
  std::vector<bool> seen;
  const int64_t end = std::min<int64_t>(max_token_id, std::count(vocab_text.begin(), vocab_text.end(), '\n') + 1 + spare_ids);
  for (int n = 1; !vocab_text.empty(); ++n) {
    const std::string_view line = next_line(vocab_text);
    if (line.empty() && vocab_text.empty()) break;
    const std::string where = text(name, ":", n);
    const size_t first = line.find(' '), last = line.rfind(' ');
    expect(first != line.npos && first < last, where, ": expected `id literal length`, got ", line.substr(0, 80));
    const int id = number(line.substr(0, first), where);
    std::string bytes = python_literal(line.substr(first + 1, last - first - 1), where);
    const int length = number(line.substr(last + 1), where);
    expect(static_cast<size_t>(length) == bytes.size(), where, ": the literal has ", bytes.size(),
           " bytes, the line says ", length);
    expect(id > 0 && id < end, where, ": id ", id, ": wanted 1 to ", end - 1);
    expect(!bytes.empty(), where, ": an empty token");
    if (static_cast<size_t>(id) >= seen.size()) seen.resize(static_cast<size_t>(id) + 1);
    expect(!seen[id], where, ": id ", id, " comes twice");
    seen[id] = true;
    tokens.emplace_back(id, std::move(bytes));
  }
  expect(!tokens.empty(), name, ": no tokens");
  return tokens;
}

}  // namespace

Tokenizer Tokenizer::from_rwkv_world(std::string_view vocab_text, std::string_view name) {
  std::shared_ptr<Parts> p;
  try {
    p = longest_match(rwkv_tokens(vocab_text, name));
  } catch (const Error& e) { fail(quoted(e.what())); }
  // Id 0 ends a text and has no bytes of its own.
  p->special.resize(static_cast<size_t>(p->vocab.size()));
  p->special[0] = true;
  p->eos = 0;
  p->finish();
  return Tokenizer(p);
}

Tokenizer Tokenizer::from_gpt2_files(std::string_view encoder_json, std::string_view merges_txt) {
  auto p = std::make_shared<Parts>();
  nlohmann::json encoder = nlohmann::json::parse(encoder_json, nullptr, false);
  expect(encoder.is_object() && !encoder.empty(), "vocab.json: expected an object of token: id");
  p->vocab.reserve(encoder.size(), encoder_json.size());
  const int64_t end = std::min<int64_t>(max_token_id, static_cast<int64_t>(encoder.size()) + spare_ids);
  for (const auto& [token, id] : encoder.items()) {
    expect(id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < end, "vocab.json: id of ",
           token);
    std::string bytes;
    if (!from_byte_letters(token, bytes)) bytes = token;
    p->vocab.set(id.get<int>(), bytes);
  }
  int rank = 0;
  for (int n = 1; !merges_txt.empty(); ++n) {
    const std::string_view line = next_line(merges_txt);
    if (line.empty() || (n == 1 && line.starts_with("#version"))) continue;
    const size_t space = line.find(' ');
    expect(space != line.npos, "merges.txt:", n, ": expected two tokens, got ", line.substr(0, 80));
    std::string left, right;
    from_byte_letters(line.substr(0, space), left);
    from_byte_letters(line.substr(space + 1), right);
    const int a = p->vocab.find(left), b = p->vocab.find(right), both = p->vocab.find(left + right);
    expect(a >= 0 && b >= 0 && both >= 0, "merges.txt:", n, ": ", line.substr(0, 80), " is not in the vocabulary");
    p->merge.merges.set(a, b, {rank++, both});
  }
  p->merge.by_bytes = true;
  p->pretokenizer = pretokenizer_by_name("gpt-2").steps;
  if (int id = p->vocab.find("<|endoftext|>"); id >= 0) {
    p->add({.content = "<|endoftext|>", .id = id, .special = true});
    p->bos = p->eos = id;
  }
  p->finish();
  return Tokenizer(p);
}

Tokenizer Tokenizer::from_llama2c(std::string_view file) {
  const auto read = [&](void* to, size_t bytes) {
    expect(file.size() >= bytes, "tokenizer.bin: ends within a token");
    std::memcpy(to, file.data(), bytes);
    file.remove_prefix(bytes);
  };
  int32_t longest = 0;
  read(&longest, 4);
  auto p = std::make_shared<Parts>();
  p->model = Parts::score_bpe;
  for (int id = 0; !file.empty(); ++id) {
    float score = 0;
    int32_t length = 0;
    read(&score, 4);
    read(&length, 4);
    expect(std::isfinite(score), "tokenizer.bin: token ", id, " has score ", score);
    expect(length >= 0 && length <= longest && static_cast<size_t>(length) <= file.size(), "tokenizer.bin: token ", id,
           " of ", length, " bytes, ", file.size(), " left, longest ", longest);
    p->vocab.set(id, file.substr(0, static_cast<size_t>(length)));
    file.remove_prefix(static_cast<size_t>(length));
    p->score.scores.push_back(score);
  }
  const int n = p->vocab.size();
  expect(n > 259, "tokenizer.bin: ", n, " tokens, at least 260 are needed");
  // Ids 0, 1, 2 are unknown, begin, end; 3 to 258 the bytes, in whatever way they are spelled.
  p->score.joins.assign(static_cast<size_t>(n), true);
  p->score.unused.assign(static_cast<size_t>(n), false);
  for (int id = 0; id < 259; ++id) p->score.joins[id] = false;
  p->score.unknown.byte_fallback = true;
  for (int b = 0; b < 256; ++b) {
    p->score.unknown.bytes[b] = 3 + b;
    p->vocab.set(3 + b, text("<0x", "0123456789ABCDEF"[b / 16], "0123456789ABCDEF"[b % 16], ">"));
  }
  p->normalizer.push_back({.kind = NormalizerStep::prepend, .content = " "});
  p->special.assign(static_cast<size_t>(n), false);
  for (int id : {0, 1, 2}) p->special[id] = true;
  p->unk = p->score.unknown.id = 0;
  p->bos = 1;
  p->eos = 2;
  p->prefix = {1};
  p->byte_names = p->strip_first_space = true;
  p->finish();
  return Tokenizer(p);
}

}  // namespace headrace
