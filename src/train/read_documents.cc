// Text, JSON lines and token files become documents of tokens; documents of text are encoded side by side.
#include <algorithm>

#include "base/compress.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "io/safetensors.h"
#include "train/data.h"

namespace headrace {
namespace {

// Documents of a text end with a line that is the separator; the line ends before and after it are not text.
std::vector<std::string_view> split(std::string_view text, const std::string& separator) {
  std::vector<std::string_view> all;
  const auto add = [&](std::string_view d) {
    while (!d.empty() && (d.back() == '\n' || d.back() == '\r')) d.remove_suffix(1);
    while (!d.empty() && (d.front() == '\n' || d.front() == '\r')) d.remove_prefix(1);
    if (!d.empty()) all.push_back(d);
  };
  if (separator.empty()) return text.empty() ? all : std::vector{text};
  size_t begin = 0;
  for (size_t at = 0; (at = text.find(separator, at)) != text.npos;) {
    const size_t end = at + separator.size();
    const bool line = (at == 0 || text[at - 1] == '\n') && (end == text.size() || text[end] == '\n' || text[end] == '\r');
    if (line) add(text.substr(begin, at - begin)), begin = end;
    at = end;
  }
  if (begin == 0) return text.empty() ? all : std::vector{text};      // one document, as it is
  add(text.substr(begin));
  return all;
}

std::vector<std::string> fields(std::string_view text, const std::string& field, const std::string& path) {
  std::vector<std::string> all;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1, ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const Value v = parse_json(line, headrace::text(path, ":", number));
    const Value* found = v.find(field);
    const std::string* s = found ? found->get<std::string>() : nullptr;
    expect(s, path, ":", number, ": wanted an object with the text \"", field, "\", found ", quoted(line).substr(0, 60));
    all.push_back(*s);
  }
  return all;
}

template <class Text>
void encode(const std::vector<Text>& texts, const Tokenizer& tokenizer, int32_t end, Documents& out) {
  std::vector<std::vector<int>> ids(texts.size());
  parallel(std::ssize(texts), 1, [&](int64_t from, int64_t to, int) {
    for (int64_t i = from; i < to; ++i) {
      ids[static_cast<size_t>(i)] = tokenizer.encode(texts[static_cast<size_t>(i)], {.parse_special = false, .keep_broken_bytes = true});
      std::vector<int>& d = ids[static_cast<size_t>(i)];
      if (end >= 0 && (d.empty() || d.back() != end)) d.push_back(end);
    }
  });
  for (size_t i = 0; i < texts.size(); ++i) {
    if (ids[i].size() < 2) continue;                                    // nothing to predict
    out.bytes += std::ssize(texts[i]);
    out.tokens.insert(out.tokens.end(), ids[i].begin(), ids[i].end());
    out.begins.push_back(std::ssize(out.tokens));
  }
}

int64_t integer(const Tensor& t, int64_t i) {
  switch (t.dtype()) {
    case DType::i64: return t.data<int64_t>()[i];
    case DType::i32: return t.data<int32_t>()[i];
    case DType::i16: return t.data<uint16_t>()[i];                       // vocabularies up to 65536; the file's bits
    default: return t.data<uint8_t>()[i];
  }
}
void token_file(const SafetensorsFile& file, const std::string& path, int32_t vocab, Documents& out) {
  const auto integers = [&](const char* name) {
    const Tensor t = file.tensor(name).contiguous_or_copy();
    expect(t.dtype() == DType::i64 || t.dtype() == DType::i32 || t.dtype() == DType::i16 || t.dtype() == DType::u8, path, ": ", name,
           ": wanted integers, found ", t.dtype());
    return t;
  };
  const Tensor ids = integers("input_ids");
  expect(ids.rank() == 1 || ids.rank() == 2, path, ": input_ids: wanted [N] or [documents, N], found ", ids.shape());
  out.tokens.resize(static_cast<size_t>(ids.count()));
  for (int64_t i = 0; i < ids.count(); ++i) {
    const int64_t id = integer(ids, i);
    expect(id >= 0 && id < vocab, path, ": input_ids: token ", i, " is ", id, ", outside the vocabulary of ", vocab);
    out.tokens[static_cast<size_t>(i)] = static_cast<int32_t>(id);
  }
  const auto names = file.names();
  if (std::find(names.begin(), names.end(), "offsets") == names.end()) {
    const int64_t rows = ids.rank() == 2 ? ids.dim(0) : 1;
    for (int64_t r = 1; r <= rows; ++r) out.begins.push_back(r * (ids.count() / std::max<int64_t>(rows, 1)));
    return;
  }
  const Tensor offsets = integers("offsets");
  for (int64_t i = 0; i < offsets.count(); ++i) {
    const int64_t at = integer(offsets, i);
    expect(at >= out.begins.back() && at <= ids.count() && (i > 0 || at == 0), path, ": offsets: ", at, " after ", out.begins.back(),
           ", of ", ids.count(), " tokens");
    if (at > out.begins.back()) out.begins.push_back(at);
  }
  if (ids.count() > out.begins.back()) out.begins.push_back(ids.count());   // beginnings alone: the last document ends with the tokens
}

}  // namespace

Documents documents_of(std::string_view bytes, const std::string& path, const DataFile& file, const DataPart& options, const Tokenizer& tokenizer,
                       int32_t end) {
  Documents out{.path = path, .weight = file.weight};
  const std::string bare = path.ends_with(".zst") ? path.substr(0, path.size() - 4) : path;
  if (bare.ends_with(".safetensors"))
    token_file(SafetensorsFile(std::as_bytes(std::span(bytes)), path), path, tokenizer.size(), out);
  else if (bare.ends_with(".jsonl") || bare.ends_with(".json"))
    encode(fields(bytes, file.field.empty() ? options.field : file.field, path), tokenizer, end, out);
  else
    encode(split(bytes, options.separator), tokenizer, end, out);
  // A document of one token or none asks for nothing.
  expect(out.count() > 0 && std::ssize(out.tokens) > out.count(), path, ": no document of two tokens or more");
  return out;
}

Documents read_documents(const std::string& path, const DataFile& file, const DataPart& options, const Tokenizer& tokenizer, int32_t end) {
  expect(file_exists(path), path, ": no such file");
  if (path.ends_with(".safetensors")) {
    const MappedFile mapped(path);
    return documents_of({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()}, path, file, options, tokenizer, end);
  }
  expect(!path.ends_with(".safetensors.zst"), path, ": token files are not compressed");
  return documents_of(read_packed(path, size_t{1} << 36), path, file, options, tokenizer, end);
}

}  // namespace headrace
