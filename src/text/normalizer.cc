// The steps of normalisation, among them SentencePiece's compiled character map, a double-array trie that is read as it lies in the file.
#include "text/normalizer.h"

#include <cstring>

#include "base/error.h"

namespace headrace {

CharMap::CharMap(std::string_view blob) {
  if (blob.empty()) return;
  uint32_t bytes = 0;
  expect(blob.size() >= 4, "precompiled character map: ", blob.size(), " bytes");
  std::memcpy(&bytes, blob.data(), 4);
  expect(bytes % 4 == 0 && bytes >= 4 && bytes <= blob.size() - 4, "precompiled character map: trie of ", bytes,
         " bytes in ", blob.size());
  units_.resize(bytes / 4);
  std::memcpy(units_.data(), blob.data() + 4, bytes);
  replacements_ = blob.substr(4 + bytes);
}

// A unit: bit 8 says that a value hangs below; the low byte and bit 31 are the label; the rest is where the children
// are.
template <class Visit>
void CharMap::each(std::string_view text, size_t at, Visit visit) const {
  if (units_.empty()) return;
  const auto offset = [](uint32_t u) { return (u >> 10) << ((u & (1u << 9)) >> 6); };
  size_t node = offset(units_[0]);
  for (size_t i = 0; at + i < text.size(); ++i) {
    const uint8_t c = static_cast<uint8_t>(text[at + i]);
    node ^= c;
    if (node >= units_.size() || (units_[node] & 0x800000FFu) != c) return;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!(unit >> 8 & 1) || node >= units_.size()) continue;
    const size_t value = units_[node] & 0x7FFFFFFFu;
    if (value >= replacements_.size()) continue;
    if (!visit(Match{i + 1, std::string_view(replacements_).substr(value, std::strlen(replacements_.c_str() + value))}))
      return;
  }
}

CharMap::Match CharMap::longest(std::string_view text, size_t at) const {
  Match best;
  each(text, at, [&](Match m) { return best = m, true; });
  return best;
}

CharMap::Match CharMap::shortest(std::string_view text, size_t at) const {
  Match first;
  each(text, at, [&](Match m) { return first = m, false; });
  return first;
}

namespace {

constexpr std::string_view lower_block = "\xE2\x96\x81";  // U+2581, SentencePiece's visible space

std::string replace_all(const NormalizerStep& step, const std::string& text) {
  std::string out;
  size_t at = 0;
  if (!step.regex) {
    if (step.pattern.empty()) return text;
    for (size_t hit; (hit = text.find(step.pattern, at)) != text.npos; at = hit + step.pattern.size()) {
      out.append(text, at, hit - at);
      out += step.content;
      expect(out.size() <= (size_t{1} << 30), "normalizer: Replace makes more than 1 GiB");
    }
  } else {
    size_t begin = 0, end = 0;
    for (size_t from = 0; from <= text.size() && step.regex->find(text, from, begin, end);) {
      out.append(text, at, begin - at);
      out += step.content;
      at = end;
      from = end > begin ? end : end + (end < text.size() ? character_at(text, end).bytes : 1);
      expect(out.size() <= (size_t{1} << 30), "normalizer: Replace makes more than 1 GiB");
    }
  }
  return out.append(text, at);
}

std::string strip(const NormalizerStep& step, const std::string& text) {
  size_t begin = 0, end = 0, kept = 0;
  bool seen = false;
  for (size_t i = 0; i < text.size();) {
    Character c = character_at(text, i);
    if (!is_whitespace(c.code)) {
      if (!seen) begin = i;
      seen = true;
      kept = i + c.bytes;
    }
    i += c.bytes;
  }
  if (!seen) return "";
  end = step.right ? kept : text.size();
  if (!step.left) begin = 0;
  return text.substr(begin, end - begin);
}

// Hugging Face maps a whole grapheme of up to five bytes, else each character, by the shortest entry it starts with.
std::string precompiled(const CharMap& map, const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t grapheme = grapheme_at(text, i);
    const std::string_view whole = std::string_view(text).substr(i, grapheme);
    if (grapheme < 6) {
      if (auto m = map.shortest(whole, 0); m.bytes) {
        out += m.replacement;
        i += grapheme;
        continue;
      }
    }
    for (size_t j = 0; j < grapheme;) {
      const size_t bytes = character_at(whole, j).bytes;
      auto m = map.shortest(whole.substr(j, bytes), 0);
      out += m.bytes ? m.replacement : whole.substr(j, bytes);
      j += bytes;
    }
    i += grapheme;
  }
  return out;
}

std::string sentencepiece(const NormalizerStep& step, const std::string& text) {
  std::string mapped;
  if (step.map.empty()) {
    mapped = text;
  } else {
    for (size_t i = 0; i < text.size();) {
      auto m = step.map.longest(text, i);
      const size_t bytes = m.bytes ? m.bytes : character_at(text, i).bytes;
      mapped += m.bytes ? m.replacement : std::string_view(text).substr(i, bytes);
      i += bytes;
    }
  }
  size_t begin = 0, end = mapped.size();
  if (step.collapse) {
    while (begin < end && mapped[begin] == ' ') ++begin;
    while (end > begin && mapped[end - 1] == ' ') --end;
  }
  std::string out;
  if (begin == end) return out;
  out.reserve(mapped.size() + mapped.size() / 2);
  if (step.space_in_front) out += lower_block;
  for (size_t i = begin; i < end; ++i) {
    if (mapped[i] != ' ') {
      out += mapped[i];
    } else if (!step.collapse || mapped[i - 1] != ' ') {
      out += lower_block;
    }
  }
  while (step.collapse && out.ends_with(lower_block)) out.resize(out.size() - lower_block.size());  // U+2581 in the text goes too
  return out;
}

}  // namespace

std::string normalize(const Normalizer& steps, std::string text) {
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::form:
        text = normalize(text, step.unicode);
        break;
      case NormalizerStep::lowercase:
        text = lower(text);
        break;
      case NormalizerStep::prepend:
        if (!text.empty()) text = step.content + text;
        break;
      case NormalizerStep::replace:
        text = replace_all(step, text);
        break;
      case NormalizerStep::strip:
        text = strip(step, text);
        break;
      case NormalizerStep::strip_accents: {
        std::string out;
        for (size_t i = 0; i < text.size();) {
          Character c = character_at(text, i);
          if (!is_mark(c.code)) out.append(text, i, c.bytes);
          i += c.bytes;
        }
        text = std::move(out);
        break;
      }
      case NormalizerStep::precompiled:
        text = precompiled(step.map, text);
        break;
      case NormalizerStep::sentencepiece:
        text = sentencepiece(step, text);
        break;
    }
    // Replacements come from files and may be broken; later steps rely on valid UTF-8.
    if (!is_utf8(text)) text = replace_broken(text);
  }
  return text;
}

}  // namespace headrace
