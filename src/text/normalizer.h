// What happens to a text before it is cut: steps in order. Texts are valid UTF-8.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/unicode.h"

namespace headrace {

// SentencePiece's compiled character map: a double-array trie (Aoe 1989) from byte strings to replacements.
class CharMap {
 public:
  CharMap() = default;
  explicit CharMap(std::string_view blob);  // throws Error when the sizes do not agree
  struct Match {
    size_t bytes = 0;  // 0: none
    std::string_view replacement;
  };
  Match longest(std::string_view text, size_t at) const;
  Match shortest(std::string_view text, size_t at) const;
  bool empty() const { return units_.empty(); }

 private:
  template <class Visit>
  void each(std::string_view text, size_t at, Visit visit) const;
  std::vector<uint32_t> units_;
  std::string replacements_;  // zero-terminated
};

struct NormalizerStep {
  enum Kind { form, lowercase, prepend, replace, strip, strip_accents, precompiled, sentencepiece } kind;
  Form unicode = Form::nfc;        // form
  std::string pattern, content;    // replace: pattern -> content; prepend: content
  std::optional<Regex> regex;      // replace, instead of pattern
  bool left = true, right = true;  // strip
  CharMap map;                     // precompiled, sentencepiece
  // sentencepiece: map, then runs of spaces become one and outer ones go, then a space in front, then all spaces become
  // U+2581
  bool collapse = false, space_in_front = false;
};
using Normalizer = std::vector<NormalizerStep>;

std::string normalize(const Normalizer& steps, std::string text);

}  // namespace headrace
