// Regular expressions of tokenizers: PCRE2 with JIT, bent to the rules of Oniguruma's Ruby syntax, which Hugging Face
// uses: $ and ^ are line anchors, \s is White_Space, \d and \p{..} are Unicode.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace headrace {

class Regex {
 public:
  explicit Regex(std::string_view pattern);  // throws Error with the place of the mistake
  // The first match at or after `from` in valid UTF-8; false when there is none. A pattern that backtracks without end
  // throws Error.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;
  const std::string& pattern() const;  // as it was given

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace headrace
