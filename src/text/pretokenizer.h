// Cuts a normalised text into pieces that are encoded one by one. The steps are Hugging Face's.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace headrace {

// What happens to the matches of a split: isolated = a piece of their own; merged = joined with a neighbour.
enum class Behaviour { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct PretokenizerStep {
  enum Kind { regex, literal, digits, punctuation, whitespace, metaspace, byte_letters, space_in_front } kind;
  Behaviour behaviour = Behaviour::isolated;
  bool invert = false;           // regex, literal: the matches are what lies between
  std::optional<Regex> pattern;  // regex
  std::string text;              // literal: what to find; metaspace: the visible space
  bool individual = false;       // digits
  enum Prepend {
    always,
    first,
    never
  } prepend = always;  // metaspace: a space in front of each piece, of the first, of none
  bool split = true;   // metaspace: each visible space starts a piece
};
using Pretokenizer = std::vector<PretokenizerStep>;

// Pieces in one text: piece i is text[end[i - 1], end[i]).
struct Pieces {
  std::string text;
  std::vector<uint32_t> ends;
  template <class F>
  void each(F f) const {
    uint32_t begin = 0;
    for (uint32_t end : ends) {
      f(std::string_view(text).substr(begin, end - begin));
      begin = end;
    }
  }
};

// `at_start`: nothing comes before this text. byte_letters as the last step is a mark for the loader and does nothing
// here (token texts are kept as bytes); before other steps it spells the text in GPT-2's letters for them.
Pieces cut(const Pretokenizer& steps, std::string text, bool at_start);

}  // namespace headrace
