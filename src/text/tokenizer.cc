// Encoding: added tokens cut the text, then what lies between is normalised, cut into pieces and encoded; bytes that are no UTF-8
// are replaced or kept as asked. Decoding the same way back, by tokens whole or as a stream.
#include "text/tokenizer.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace headrace {

using Parts = Tokenizer::Parts;

void find_byte_tokens(const Vocab& vocab, Unknown& unknown) {
  unknown.bytes.fill(-1);
  for (int id = 0; id < vocab.size(); ++id)
    if (int byte = byte_of_name(vocab[id]); byte >= 0 && unknown.bytes[byte] < 0) unknown.bytes[byte] = id;
}

void Parts::add(AddedToken token) {
  if (token.id < 0 || token.id >= max_token_id) fail("added token ", quoted(token.content), ": id ", token.id);
  const bool known = token.id < vocab.size() && vocab[token.id] == token.content;
  if (!known) vocab.set(token.id, token.content);
  const size_t n = static_cast<size_t>(vocab.size());
  special.resize(n);
  verbatim.resize(n);
  outside.resize(n);
  special[token.id] = token.special;
  verbatim[token.id] = true;
  if (!known) outside[token.id] = true;
  if (!token.content.empty()) added.tokens.push_back(std::move(token));
}

void Parts::finish() {
  const size_t n = static_cast<size_t>(vocab.size());
  special.resize(n);
  verbatim.resize(n);
  outside.resize(n);
  if (model == merge_bpe) merge.finish(vocab, outside);
  if (model == unigram_model) unigram.finish();
  added.finish([this](const std::string& text) { return normalize(normalizer, replace_broken(text)); });
  for (auto* id : {&bos, &eos, &unk, &pad})
    if (*id && (**id < 0 || **id >= vocab.size())) id->reset();
  const auto end = [&](int id) {
    if (std::find(end_of_turn.begin(), end_of_turn.end(), id) == end_of_turn.end()) end_of_turn.push_back(id);
  };
  std::erase_if(end_of_turn, [&](int id) { return id < 0 || id >= vocab.size(); });
  if (eos) end(*eos);
  for (const char* name : {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
                           "<EOT>", "<|eom_id|>", "<|return|>", "<|call|>",
                           "<\xEF\xBD\x9C"
                           "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
                           "<|END_OF_TURN_TOKEN|>", "<|eot|>", "<turn|>"}) {
    int id = vocab.find(name);
    if (id >= 0 && (special[id] || verbatim[id])) end(id);
  }
}

namespace {

void encode_piece(const Parts& p, std::string_view piece, std::vector<int>& out) {
  switch (p.model) {
    case Parts::merge_bpe:
      p.merge.encode(p.vocab, piece, out);
      break;
    case Parts::score_bpe:
      p.score.encode(p.vocab, piece, out);
      break;
    case Parts::unigram_model:
      p.unigram.encode(piece, out);
      break;
    case Parts::word_level: {
      int id = p.vocab.find(piece);
      if (id < 0 || p.outside[id]) id = p.unknown.id;
      if (id >= 0) out.push_back(id);
      break;
    }
    case Parts::longest_match:
      for (size_t at = 0; at < piece.size();) {
        int best = -1;
        size_t bytes = p.longest.each(piece, at, [&](size_t, int id) { best = id; });
        if (best >= 0) out.push_back(best);
        at += std::max<size_t>(bytes, 1);
      }
      break;
  }
}

void encode_valid(const Parts& p, std::string_view text, bool at_start, bool parse_special, std::vector<int>& out) {
  const auto on_token = [&](int id) { out.push_back(id); };
  p.added.split(
      text, false, parse_special,
      [&](size_t begin, size_t end) {
        const std::string normal = normalize(p.normalizer, std::string(text.substr(begin, end - begin)));
        p.added.split(
            normal, true, parse_special,
            [&](size_t first, size_t last) {
              Pieces pieces =
                  cut(p.pretokenizer, normal.substr(first, last - first), at_start && begin == 0 && first == 0);
              pieces.each([&](std::string_view piece) { encode_piece(p, piece, out); });
            },
            on_token);
      },
      on_token);
}

// The token of a byte that is not part of a character; -1 when the vocabulary has none.
int byte_token(const Parts& p, uint8_t byte) {
  if (p.model == Parts::merge_bpe)
    return p.merge.by_bytes ? p.merge.byte_ids[byte] : p.merge.unknown.byte_fallback ? p.merge.unknown.bytes[byte] : -1;
  if (p.model == Parts::score_bpe && p.score.unknown.byte_fallback) return p.score.unknown.bytes[byte];
  if (p.model == Parts::unigram_model && p.unigram.unknown.byte_fallback) return p.unigram.unknown.bytes[byte];
  return -1;
}

std::string shown(const Parts& p, int id) {
  const std::string_view token = p.vocab[id];
  if (p.verbatim[id]) return std::string(token);
  if (p.byte_names)
    if (int byte = byte_of_name(token); byte >= 0) return std::string(1, static_cast<char>(byte));
  std::string out(token);
  for (const auto& [from, to] : p.shown_as) {
    std::string replaced;
    size_t at = 0;
    for (size_t hit; !from.empty() && (hit = out.find(from, at)) != out.npos; at = hit + from.size()) {
      replaced.append(out, at, hit - at) += to;
      expect(replaced.size() < (size_t{1} << 24), "token ", id, ": decoder Replace makes more than 16 MiB");
    }
    if (at > 0) out = replaced.append(out, at);
  }
  return out;
}

}  // namespace

std::vector<int> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const Parts& p = *parts_;
  std::vector<int> out;
  out.reserve(text.size() / 3 + 8);
  if (options.add_special) out = p.prefix;
  if (p.model == Parts::longest_match) {
    p.added.split(
        text, false, options.parse_special,
        [&](size_t begin, size_t end) { encode_piece(p, text.substr(begin, end - begin), out); },
        [&](int id) { out.push_back(id); });
  } else if (is_utf8(text)) {
    encode_valid(p, text, true, options.parse_special, out);
  } else if (!options.keep_broken_bytes) {
    encode_valid(p, replace_broken(text), true, options.parse_special, out);
  } else {
    std::string run;
    bool at_start = true;
    const auto finish_run = [&] {
      if (!run.empty()) encode_valid(p, run, at_start, options.parse_special, out);
      at_start &= run.empty();
      run.clear();
    };
    for (size_t i = 0; i < text.size();) {
      const Character c = character_at(text, i);
      const std::string_view unit = text.substr(i, c.bytes);
      i += c.bytes;
      if (c.code >= 0) {
        run += unit;
        continue;
      }
      if (std::any_of(unit.begin(), unit.end(), [&](char b) { return byte_token(p, static_cast<uint8_t>(b)) < 0; })) {
        run += replacement_character;
        continue;
      }
      finish_run();
      at_start = false;
      for (char b : unit) out.push_back(byte_token(p, static_cast<uint8_t>(b)));
    }
    finish_run();
  }
  if (options.add_special) out.insert(out.end(), p.suffix.begin(), p.suffix.end());
  return out;
}

std::string Tokenizer::decode(std::span<const int> ids, DecodeOptions options) const {
  const Parts& p = *parts_;
  std::string out;
  bool first = true;
  for (int id : ids) {
    if (id < 0 || id >= size()) fail("decode: token ", id, ", the vocabulary has ", size());
    if (options.skip_special && p.special[id]) continue;
    std::string piece = shown(p, id);
    if (first && p.strip_first_space && !p.verbatim[id] && piece.starts_with(' ')) piece.erase(0, 1);
    if (!first && p.join_with_spaces) out += ' ';
    if (!p.special[id]) first = false;
    if (p.join_with_spaces) first = false;
    out += piece;
  }
  return options.keep_broken_bytes || is_utf8(out) ? out : replace_broken(out);
}

std::string Tokenizer::piece(int id) const {
  if (id < 0 || id >= size()) fail("piece: token ", id, ", the vocabulary has ", size());
  return shown(*parts_, id);
}

std::optional<int> Tokenizer::find(std::string_view piece) const {
  const Parts& p = *parts_;
  int id = p.vocab.find(piece);
  if (id < 0 && !p.shown_as.empty()) {
    std::string stored;
    for (char c : piece) {
      if (c == ' ')
        stored += visible_space;
      else
        stored += c;
    }
    id = p.vocab.find(stored);
  }
  if (id < 0 && piece.size() == 1) id = byte_token(p, static_cast<uint8_t>(piece[0]));
  return id < 0 ? std::nullopt : std::optional<int>(id);
}

int Tokenizer::size() const { return parts_->vocab.size(); }
bool Tokenizer::is_special(int id) const { return id >= 0 && id < size() && parts_->special[id]; }
std::optional<int> Tokenizer::bos() const { return parts_->bos; }
std::optional<int> Tokenizer::eos() const { return parts_->eos; }
std::optional<int> Tokenizer::unk() const { return parts_->unk; }
std::optional<int> Tokenizer::pad() const { return parts_->pad; }
std::span<const int> Tokenizer::end_of_turn() const { return parts_->end_of_turn; }
Tokenizer Tokenizer::with_ends(std::span<const int64_t> more) && {
  assert(parts_.use_count() == 1);
  auto parts = std::const_pointer_cast<Parts>(std::move(parts_));   // made as Parts, and still nobody else's
  std::vector<int>& ends = parts->end_of_turn;
  for (int64_t id : more)
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(static_cast<int>(id));
  return Tokenizer(std::move(parts));
}
const std::string& Tokenizer::chat_template() const { return parts_->chat_template; }
bool Tokenizer::strips_first_space() const { return parts_->strip_first_space; }

std::string StreamDecoder::next(int id) {
  const Parts& p = tokenizer_.parts();
  std::string piece = tokenizer_.piece(id);
  if (options_.skip_special && p.special[id]) return "";
  if (at_start_ && p.strip_first_space && !p.verbatim[id] && piece.starts_with(' ')) piece.erase(0, 1);
  if (!at_start_ && p.join_with_spaces) held_ += ' ';
  if (!p.special[id] || p.join_with_spaces) at_start_ = false;
  held_ += piece;
  if (options_.keep_broken_bytes) return std::exchange(held_, {});
  const size_t whole = held_.size() - incomplete_tail(held_);
  std::string out = replace_broken(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
  return out;
}

std::string StreamDecoder::flush() {
  at_start_ = true;
  return replace_broken(std::exchange(held_, {}));
}

}  // namespace headrace
