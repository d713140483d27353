// Vocabularies from GGUF metadata, and SentencePiece models, which hold the same things.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace headrace {
namespace {

using Parts = Tokenizer::Parts;
enum Type : int32_t { normal = 1, unknown_type = 2, control = 3, user_defined = 4, unused = 5, byte_type = 6 };

int32_t type_of(const Vocabulary& v, size_t id) { return id < v.types.size() ? v.types[id] : normal; }

void byte_level(const Vocabulary& v, Parts& p) {
  p.model = Parts::merge_bpe;
  p.merge.by_bytes = true;
  NamedPretokenizer named = pretokenizer_by_name(v.pre);
  p.pretokenizer = std::move(named.steps);
  p.merge.ignore_merges = named.ignore_merges;
  if (named.nfc) p.normalizer.push_back({.kind = NormalizerStep::form, .unicode = Form::nfc});
  std::string bytes;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    bytes.clear();
    const int32_t type = type_of(v, id);
    const bool spelled =
        (type == normal || type == unused || type == byte_type) && from_byte_letters(v.tokens[id], bytes);
    p.vocab.set(static_cast<int>(id), spelled ? bytes : v.tokens[id]);
  }
  p.merge.merges.reserve(v.merges.size());
  int rank = 0;
  for (const std::string& merge : v.merges) {
    const size_t space = merge.find(' ', 1);
    expect(space != merge.npos && space + 1 < merge.size(), "tokenizer.ggml.merges: entry ", rank,
           ": expected two tokens");
    std::string left, right;
    if (!from_byte_letters(std::string_view(merge).substr(0, space), left)) left = merge.substr(0, space);
    if (!from_byte_letters(std::string_view(merge).substr(space + 1), right)) right = merge.substr(space + 1);
    const int a = p.vocab.find(left), b = p.vocab.find(right), both = p.vocab.find(left + right);
    if (a >= 0 && b >= 0 && both >= 0) p.merge.merges.set(a, b, {rank, both});  // others could never end in a token
    ++rank;
  }
}

void set_unknown(const Vocabulary& v, Parts& p, Unknown& unknown) {
  find_byte_tokens(p.vocab, unknown);
  unknown.byte_fallback = std::all_of(unknown.bytes.begin(), unknown.bytes.end(), [](int id) { return id >= 0; });
  unknown.id = v.unk.value_or(-1);
  if (unknown.id >= p.vocab.size()) unknown.id = -1;
  p.byte_names = true;
}

void sentencepiece(const Vocabulary& v, Parts& p, bool unigram) {
  const size_t n = v.tokens.size();
  expect(v.scores.size() == n, "tokenizer: ", n, " tokens, ", v.scores.size(), " scores");
  p.model = unigram ? Parts::unigram_model : Parts::score_bpe;
  for (size_t id = 0; id < n; ++id) {
    expect(std::isfinite(v.scores[id]), "tokenizer: token ", id, " has score ", v.scores[id]);
    p.vocab.set(static_cast<int>(id), v.tokens[id]);
  }
  if (unigram) {
    std::vector<Trie::Entry> entries;
    for (size_t id = 0; id < n; ++id)
      if (type_of(v, id) == normal) entries.push_back({p.vocab[static_cast<int>(id)], static_cast<int>(id)});
    p.unigram.trie = Trie(std::move(entries));
    p.unigram.scores.assign(v.scores.begin(), v.scores.end());
    for (size_t id = 0; id < n; ++id)
      if (type_of(v, id) != normal) p.unigram.scores[id] = NAN;  // not among those that set the unknown score
    p.unigram.unknown.fuse = true;
    p.unigram.f32_sums = v.f32_sums;
    set_unknown(v, p, p.unigram.unknown);
  } else {
    p.score.scores = v.scores;
    p.score.joins.resize(n);
    p.score.unused.resize(n);
    for (size_t id = 0; id < n; ++id) {
      const int32_t type = type_of(v, id);
      p.score.joins[id] = type == normal || type == unused || type == user_defined;
      p.score.unused[id] = type == unused;
    }
    p.score.unknown.fuse = true;
    set_unknown(v, p, p.score.unknown);
  }
  NormalizerStep step{.kind = NormalizerStep::sentencepiece, .map = CharMap(v.precompiled_charsmap)};
  step.collapse = v.remove_extra_whitespaces.value_or(unigram);
  step.space_in_front = v.add_space_prefix.value_or(true);
  p.strip_first_space = step.space_in_front;
  p.normalizer.push_back(std::move(step));
  p.shown_as.emplace_back(visible_space, " ");
}

// GGUF spells RWKV's tokens as Python's repr() of bytes does.
std::string unescape(std::string_view s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\' || i + 1 == s.size()) {
      out += s[i];
      continue;
    }
    switch (s[++i]) {
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'r':
        out += '\r';
        break;
      case 'x': {
        const std::string name = i + 2 < s.size() ? text("<0x", s.substr(i + 1, 2), ">") : "";
        const int byte = byte_of_name(name);
        if (byte < 0) fail("tokenizer: bad escape in token ", quoted(s));
        out += static_cast<char>(byte);
        i += 2;
        break;
      }
      default:
        out += s[i];
    }
  }
  return out;
}

void rwkv(const Vocabulary& v, Parts& p) {
  p.model = Parts::longest_match;
  for (size_t id = 0; id < v.tokens.size(); ++id)
    p.vocab.set(static_cast<int>(id), type_of(v, id) == control ? v.tokens[id] : unescape(v.tokens[id]));
  std::vector<Trie::Entry> entries;
  for (int id = 0; id < p.vocab.size(); ++id)
    if (type_of(v, static_cast<size_t>(id)) != control) entries.push_back({p.vocab[id], id});
  p.longest = Trie(std::move(entries));
}

}  // namespace

Tokenizer Tokenizer::from_vocabulary(const Vocabulary& v) {
  expect(!v.tokens.empty() && v.tokens.size() < static_cast<size_t>(max_token_id), "tokenizer: ", v.tokens.size(),
         " tokens");
  expect(v.types.empty() || v.types.size() == v.tokens.size(), "tokenizer: ", v.tokens.size(), " tokens, ",
         v.types.size(), " types");
  auto p = std::make_shared<Parts>();
  const int n = static_cast<int>(v.tokens.size());
  p->vocab.reserve(v.tokens.size(), v.tokens.size() * 10);
  if (v.model == "gpt2") {
    byte_level(v, *p);
  } else if (v.model == "llama" || v.model == "t5") {
    sentencepiece(v, *p, v.model == "t5");
  } else if (v.model == "rwkv") {
    rwkv(v, *p);
  } else {
    fail("tokenizer.ggml.model: ", quoted(v.model), " is not supported; gpt2, llama, t5 and rwkv are");
  }
  for (int id = 0; id < n; ++id) {
    const int32_t type = type_of(v, static_cast<size_t>(id));
    if (type == control || type == user_defined || type == unknown_type)
      p->add({.content = v.tokens[static_cast<size_t>(id)], .id = id, .special = type != user_defined});
  }
  for (auto* id : {&v.bos, &v.eos, &v.unk, &v.pad, &v.eot})
    if (*id) expect(**id < n, "tokenizer: special token ", **id, " of ", n);
  p->bos = v.bos;
  p->eos = v.eos;
  p->unk = v.unk;
  p->pad = v.pad;
  if (v.eot) p->end_of_turn.push_back(*v.eot);
  p->chat_template = v.chat_template;
  // What llama.cpp assumes when the file does not say.
  const bool bos = v.add_bos.value_or(v.model == "llama" || v.pre == "llama-bpe" || v.pre == "llama3" ||
                                      v.pre == "llama-v3" || v.pre == "tekken");
  const bool eos = v.add_eos.value_or(v.model == "t5");
  if (bos && v.bos && *v.bos >= 0) p->prefix.push_back(*v.bos);
  if (eos && v.eos && *v.eos >= 0) p->suffix.push_back(*v.eos);
  p->finish();
  return Tokenizer(p);
}

namespace {

// Protocol-buffer messages, read field by field. The .model file needs eight fields of three messages; reading them
// here instead of through libsentencepiece keeps hostile files under our checks (that library aborts on some) and gives
// one implementation of encoding for .model, tokenizer.json and GGUF.
struct Message {
  std::string_view rest;
  uint32_t field = 0, wire = 0;
  uint64_t value = 0;
  std::string_view bytes;

  uint64_t varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      expect(!rest.empty(), "sentencepiece model: truncated");
      const uint8_t b = static_cast<uint8_t>(rest[0]);
      rest.remove_prefix(1);
      v |= static_cast<uint64_t>(b & 0x7F) << shift;
      if (b < 0x80) return v;
    }
    fail("sentencepiece model: a number of more than 10 bytes");
  }
  bool next() {
    if (rest.empty()) return false;
    const uint64_t key = varint();
    field = static_cast<uint32_t>(key >> 3);
    wire = static_cast<uint32_t>(key & 7);
    if (wire == 0) {
      value = varint();
      return true;
    }
    const uint64_t n = wire == 2 ? varint() : wire == 5 ? 4 : wire == 1 ? 8 : ~uint64_t{0};
    expect(n <= rest.size(), "sentencepiece model: field ", field, " of ", n, " bytes, ", rest.size(), " left");
    bytes = rest.substr(0, n);
    rest.remove_prefix(n);
    return true;
  }
  std::string_view text() const {
    expect(wire == 2, "sentencepiece model: field ", field, ": expected bytes");
    return bytes;
  }
  int64_t number() const {
    expect(wire == 0, "sentencepiece model: field ", field, ": expected a number");
    return static_cast<int64_t>(value);
  }
};

}  // namespace

Tokenizer Tokenizer::from_sentencepiece_model(std::string_view file) {
  Vocabulary v;
  int64_t model = 1, unk = 0, bos = 1, eos = 2, pad = -1;
  v.add_space_prefix = true;
  v.remove_extra_whitespaces = true;
  for (Message m{file}; m.next();) {
    if (m.field == 1) {
      expect(v.tokens.size() < static_cast<size_t>(max_token_id), "sentencepiece model: too many pieces");
      v.tokens.emplace_back();
      v.scores.push_back(0);
      v.types.push_back(normal);
      for (Message piece{m.text()}; piece.next();) {
        if (piece.field == 1) v.tokens.back() = piece.text();
        if (piece.field == 2) {
          expect(piece.wire == 5, "sentencepiece model: score of piece ", v.tokens.size() - 1);
          std::memcpy(&v.scores.back(), piece.bytes.data(), 4);
        }
        if (piece.field == 3) v.types.back() = static_cast<int32_t>(piece.number());
      }
    } else if (m.field == 2) {
      for (Message t{m.text()}; t.next();) {
        if (t.field == 3) model = t.number();
        if (t.field == 40) unk = t.number();
        if (t.field == 41) bos = t.number();
        if (t.field == 42) eos = t.number();
        if (t.field == 43) pad = t.number();
      }
    } else if (m.field == 3) {
      for (Message t{m.text()}; t.next();) {
        if (t.field == 2) v.precompiled_charsmap = t.text();
        if (t.field == 3) v.add_space_prefix = t.number() != 0;
        if (t.field == 4) v.remove_extra_whitespaces = t.number() != 0;
      }
    }
  }
  expect(model == 1 || model == 2, "sentencepiece model: model type ", model,
         "; unigram (1) and BPE (2) are supported");
  v.model = model == 1 ? "t5" : "llama";
  v.f32_sums = true;
  const auto id = [&](int64_t n) {
    return n >= 0 && n < static_cast<int64_t>(v.tokens.size()) ? std::optional<int>(static_cast<int>(n)) : std::nullopt;
  };
  v.unk = id(unk);
  v.bos = id(bos);
  v.eos = id(eos);
  v.pad = id(pad);
  v.add_bos = v.bos.has_value();
  v.add_eos = !v.bos.has_value();  // T5 has no begin token and ends its texts
  return from_vocabulary(v);
}

}  // namespace headrace
