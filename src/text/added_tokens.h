// Tokens that are found in the text itself, before it is cut: control tokens such as <|im_end|>, and words that were
// added to a vocabulary. The leftmost match wins, of those the longest.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace headrace {

struct AddedToken {
  std::string content;
  int id = -1;
  bool special = false;                 // a control token, only matched with parse_special
  bool single_word = false;             // not inside a word
  bool lstrip = false, rstrip = false;  // takes the white space before or after it along
  bool normalized = false;              // matched after normalisation
};

class AddedTokens {
 public:
  std::vector<AddedToken> tokens;
  void finish(const std::function<std::string(const std::string&)>& normalize);  // after `tokens` is filled

  // Calls on_text(begin, end) and on_token(id) in order.
  template <class OnText, class OnToken>
  void split(std::string_view text, bool normalized, bool parse_special, OnText on_text, OnToken on_token) const {
    const Trie& trie = normalized ? after_ : before_;
    size_t done = 0;
    if (!trie.empty()) {
      for (size_t at = 0; at < text.size();) {
        if (!trie.starts(static_cast<uint8_t>(text[at]))) {
          ++at;
          continue;
        }
        Match m = match(trie, text, at, done, parse_special);
        if (!m.token) {
          ++at;
          continue;
        }
        if (m.begin > done) on_text(done, m.begin);
        on_token(m.token->id);
        done = at = m.end;
      }
    }
    if (done < text.size()) on_text(done, text.size());
  }

 private:
  struct Match {
    const AddedToken* token = nullptr;
    size_t begin = 0, end = 0;
  };
  Match match(const Trie& trie, std::string_view text, size_t at, size_t done, bool parse_special) const;
  Trie before_, after_;
};

}  // namespace headrace
