// The lexer of chat templates, with jinja2's rules for white space under trim_blocks and lstrip_blocks:
//   {%- and -%} take all white space on their side; {%+ keeps what lstrip_blocks would take
//   the first newline after %} and #} goes; blanks between the start of a line and {% or {# go
//   one newline at the very end goes
#include <algorithm>

#include "text/jinja_syntax.h"
#include "text/unicode.h"

namespace headrace::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) || static_cast<uint8_t>(c) >= 0x80;
}

struct Lexer {
  std::string source;
  size_t at = 0;
  int line = 1;
  bool line_starting = true;  // the last tag took a newline along
  std::vector<Token> out;

  [[noreturn]] void error(std::string_view what) const { fail(line, ": ", what); }
  bool sees(std::string_view s) const { return std::string_view(source).substr(at, s.size()) == s; }
  void advance(size_t to) {
    line += static_cast<int>(
        std::count(source.begin() + static_cast<ptrdiff_t>(at), source.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at = to;
  }
  void skip_space() {
    size_t to = at;
    while (to < source.size()) {
      const Character c = character_at(source, to);
      if (!is_space(c.code)) break;
      to += c.bytes;
    }
    advance(to);
  }
  void add(Token::Kind kind, std::string value, int on) { out.push_back({kind, std::move(value), on}); }

  // Data from `at` up to the tag at `tag`, less the white space that the tag takes.
  void data(size_t tag, char sign, bool lstrip) {
    std::string_view text = std::string_view(source).substr(at, tag - at);
    if (sign == '-') {
      text = strip(text, nullptr, false, true);
    } else if (sign != '+' && lstrip) {
      const size_t newline = text.rfind('\n');
      const size_t begin = newline == text.npos ? 0 : newline + 1;
      if ((begin > 0 || line_starting) && strip(text.substr(begin), nullptr, false, true).empty())
        text = text.substr(0, begin);
    }
    if (!text.empty()) add(Token::data, std::string(text), line);
    advance(tag);
  }

  // After the end of a tag: `-` takes all white space, else one newline goes.
  void after_tag(size_t end, char sign, bool trim) {
    advance(end);
    if (sign == '-') {
      skip_space();
    } else if (trim && sign != '+' && sees("\n")) {
      advance(at + 1);
    }
    line_starting = at > 0 && source[at - 1] == '\n';
  }

  char sign_at(size_t i) const { return i < source.size() && (source[i] == '-' || source[i] == '+') ? source[i] : ' '; }

  void comment() {
    const size_t end = source.find("#}", at + 2);
    if (end == source.npos) error("a comment without its end");
    const char sign = end > at + 2 ? sign_at(end - 1) : ' ';
    after_tag(end + 2, sign, true);
  }

  // {% raw %} ... {% endraw %}; false when the block at `at` is none.
  bool raw() {
    const auto tag = [&](size_t from, std::string_view word, char& first, char& last, size_t& end) {
      size_t i = from + 2;
      first = sign_at(i);
      if (first != ' ') ++i;
      const auto blank = [&] {
        while (i < source.size() && is_space(static_cast<uint8_t>(source[i]))) ++i;
      };
      blank();
      if (std::string_view(source).substr(i, word.size()) != word) return false;
      i += word.size();
      blank();
      last = sign_at(i);
      if (last != ' ') ++i;
      end = i + 2;
      return std::string_view(source).substr(i, 2) == "%}";
    };
    char first = ' ', last = ' ';
    size_t end = 0;
    if (!tag(at, "raw", first, last, end) || last == '+') return false;
    after_tag(end, last, false);
    for (size_t close = at; (close = source.find("{%", close)) != source.npos; close += 2) {
      if (!tag(close, "endraw", first, last, end)) continue;
      data(close, first, true);
      after_tag(end, last, true);
      return true;
    }
    error("a raw block without its end");
  }

  void run(std::string_view given) {
    for (size_t i = 0; i < given.size(); ++i) {  // all newlines become \n
      if (given[i] == '\r') {
        source += '\n';
        if (i + 1 < given.size() && given[i + 1] == '\n') ++i;
      } else {
        source += given[i];
      }
    }
    if (source.ends_with('\n')) source.pop_back();
    while (at < source.size()) {
      size_t tag = at;
      while ((tag = source.find('{', tag)) != source.npos && tag + 1 < source.size() &&
             std::string_view("%{#").find(source[tag + 1]) == std::string_view::npos)
        ++tag;
      if (tag == source.npos || tag + 1 >= source.size()) {
        add(Token::data, source.substr(at), line);
        break;
      }
      const char kind = source[tag + 1];
      data(tag, sign_at(tag + 2), kind != '{');
      if (kind == '#') {
        comment();
      } else if (kind == '{' || !raw()) {
        inside(kind == '{');
      }
    }
    add(Token::end, "", line);
  }

  void inside(bool output) {
    const char* close = output ? "}}" : "%}";
    add(output ? Token::output_begin : Token::block_begin, "", line);
    advance(at + 2);
    if (sign_at(at) != ' ') advance(at + 1);
    std::string open;  // brackets not closed yet
    while (true) {
      skip_space();
      if (at >= source.size()) error(text("expected ", close));
      const char c = source[at];
      const bool signed_end =
          (c == '-' || (c == '+' && !output)) && std::string_view(source).substr(at + 1, 2) == close;
      if (open.empty() && (signed_end || sees(close))) {
        add(output ? Token::output_end : Token::block_end, "", line);
        after_tag(at + (signed_end ? 3 : 2), signed_end ? c : ' ', !output);
        return;
      }
      if (is_digit(c)) {
        number();
      } else if (is_name(c)) {
        size_t end = at;
        while (end < source.size() && is_name(source[end])) ++end;
        add(Token::name, source.substr(at, end - at), line);
        at = end;
      } else if (c == '\'' || c == '"') {
        quoted();
      } else {
        symbol(open);
      }
    }
  }

  void symbol(std::string& open) {
    for (std::string_view two : {"//", "**", "==", "!=", ">=", "<="})
      if (sees(two)) {
        add(Token::symbol, std::string(two), line);
        at += 2;
        return;
      }
    const char c = source[at];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos)
      error(text("unexpected character '", c, "'"));
    if (c == '(' || c == '[' || c == '{') {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) error(text("unexpected '", c, "'"));
      open.pop_back();
    }
    add(Token::symbol, std::string(1, c), line);
    ++at;
  }

  void number() {
    std::string value;
    size_t i = at;
    const auto digits = [&] {
      while (i < source.size() &&
             (is_digit(source[i]) || (source[i] == '_' && i + 1 < source.size() && is_digit(source[i + 1])))) {
        if (source[i] != '_') value += source[i];
        ++i;
      }
    };
    digits();
    bool real = false;
    const bool after_dot = at > 0 && source[at - 1] == '.';  // a.0.1 is two subscripts
    if (!after_dot && i + 1 < source.size() && source[i] == '.' && is_digit(source[i + 1])) {
      real = true;
      value += source[i++];
      digits();
    }
    if (!after_dot && i + 1 < source.size() && (source[i] == 'e' || source[i] == 'E')) {
      const size_t sign = source[i + 1] == '-' || source[i + 1] == '+' ? 1 : 0;
      if (i + 1 + sign < source.size() && is_digit(source[i + 1 + sign])) {
        real = true;
        value.append(source, i, 1 + sign);
        i += 1 + sign;
        digits();
      }
    }
    if (i < source.size() && is_name(source[i])) error("a name that begins with a digit");
    add(real ? Token::real : Token::integer, std::move(value), line);
    at = i;
  }

  // Python's escapes.
  void quoted() {
    const char quote = source[at];
    const int begin = line;
    std::string value;
    size_t i = at + 1;
    const auto code = [&](size_t digits, int base) {
      int32_t v = 0;
      size_t n = 0;
      for (; n < digits && i < source.size(); ++n, ++i) {
        const char c = source[i];
        const int d = is_digit(c)            ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : 99;
        if (d >= base) break;
        v = static_cast<int32_t>(static_cast<uint32_t>(v) * static_cast<uint32_t>(base) + static_cast<uint32_t>(d));
      }
      if (base == 16 && n < digits) error("a short escape in a text");
      if (v < 0 || v > 0x10FFFF) error("no such character");
      append_utf8(value, v);
    };
    for (; i < source.size() && source[i] != quote;) {
      if (source[i] != '\\') {
        value += source[i++];
        continue;
      }
      if (++i >= source.size()) break;
      const char c = source[i++];
      const size_t known = std::string_view("abfnrtv\\'\"").find(c);
      if (known != std::string_view::npos) {
        value += "\a\b\f\n\r\t\v\\'\""[known];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        code(c == 'x' ? 2 : c == 'u' ? 4 : 8, 16);
      } else if (c >= '0' && c <= '7') {
        --i;
        code(3, 8);
      } else if (c != '\n') {
        value += '\\';
        value += c;
      }
    }
    if (i >= source.size()) error("a text without its end");
    advance(i + 1);
    add(Token::text, std::move(value), begin);
  }
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  Lexer lexer;
  lexer.run(source);
  return std::move(lexer.out);
}

}  // namespace headrace::jinja
