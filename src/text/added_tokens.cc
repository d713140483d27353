// Two tries: of tokens that are found before a text is normalised, and of those after; conditions on the neighbours are checked per match.
#include "text/added_tokens.h"

#include "base/error.h"
#include "text/unicode.h"

namespace headrace {
namespace {

// The character that ends right before `at`.
Character character_before(std::string_view text, size_t at) {
  size_t begin = at;
  do --begin;
  while (begin > 0 && at - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80);
  return {character_at(text.substr(0, at), begin).code, static_cast<uint32_t>(at - begin)};
}

}  // namespace

void AddedTokens::finish(const std::function<std::string(const std::string&)>& normalize) {
  std::vector<std::string> texts(tokens.size());
  std::vector<Trie::Entry> before, after;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const AddedToken& t = tokens[i];
    texts[i] = t.normalized ? normalize(t.content) : t.content;
    (t.normalized ? after : before).push_back({texts[i], static_cast<int>(i)});
  }
  before_ = Trie(std::move(before));
  after_ = Trie(std::move(after));
}

AddedTokens::Match AddedTokens::match(const Trie& trie, std::string_view text, size_t at, size_t done,
                                      bool parse_special) const {
  Match best;
  trie.each(text, at, [&](size_t length, int index) {
    const AddedToken& t = tokens[index];
    if (t.special && !parse_special) return;
    const size_t end = at + length;
    if (t.single_word && ((at > 0 && is_word(character_before(text, at).code)) ||
                          (end < text.size() && is_word(character_at(text, end).code))))
      return;
    best = {&t, at, end};
  });
  if (!best.token) return best;
  if (best.token->lstrip) {
    while (best.begin > done) {
      Character c = character_before(text, best.begin);
      if (!is_whitespace(c.code) || best.begin - c.bytes < done) break;
      best.begin -= c.bytes;
    }
  }
  if (best.token->rstrip) {
    while (best.end < text.size()) {
      Character c = character_at(text, best.end);
      if (!is_whitespace(c.code)) break;
      best.end += c.bytes;
    }
  }
  return best;
}

}  // namespace headrace
