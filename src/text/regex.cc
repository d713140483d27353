// Tokenizers' patterns rewritten for PCRE2, where its classes differ from Oniguruma's; compiled once, with JIT.
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string>

#include "base/error.h"

namespace headrace {
namespace {

// PCRE2's \s also holds U+180E, which is no White_Space.
constexpr const char* space =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr const char* not_space =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{"
    "10ffff}";

// PCRE2's \w knows neither marks nor letters in circles.
constexpr const char* word =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";

std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      char e = pattern[++i];
      if (e == 's' || e == 'S') {
        if (!in_class) out += '[';
        out += e == 's' ? space : not_space;
        if (!in_class) out += ']';
      } else if (e == 'w' || (e == 'W' && !in_class)) {
        if (!in_class) out += e == 'w' ? "[" : "[^";
        out += word;
        if (!in_class) out += ']';
      } else {
        out += '\\';
        out += e;
      }
      continue;
    }
    if (c == '[') {
      // Oniguruma nests classes; none of the published tokenizers does, and PCRE2 takes an inner [ literally.
      if (!in_class) {
        in_class = true;
        out += c;
        if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
        if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
        continue;
      }
      size_t close = pattern.substr(i, 2) == "[:" ? pattern.find(":]", i + 2) : pattern.npos;
      if (close != pattern.npos) {
        out += pattern.substr(i, close + 2 - i);
        i = close + 1;
        continue;
      }
    } else if (c == ']') {
      in_class = false;
    }
    out += c;
  }
  return out;
}

struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(32, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(64 << 10, 16 << 20, nullptr);
  Scratch() {
    if (context && stack) pcre2_jit_stack_assign(context, nullptr, stack);
    if (context) {
      pcre2_set_match_limit(context, 50'000'000);
      pcre2_set_heap_limit(context, 256 << 10);  // KiB
    }
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  std::string pattern;
  ~Compiled() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern) {
  auto made = std::make_shared<Compiled>();
  made->pattern = pattern;
  expect(pattern.size() < 65536, "regular expression: ", pattern.size(), " bytes, at most 65535");
  std::string source = translate(pattern);
  int error = 0;
  size_t where = 0;
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  made->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &where, context);
  pcre2_compile_context_free(context);
  if (!made->code) {
    PCRE2_UCHAR message[200];
    pcre2_get_error_message(error, message, sizeof message);
    fail("regular expression ", quoted(pattern), ": ", reinterpret_cast<const char*>(message), " near byte ", where);
  }
  pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE);  // without JIT the same matches, slower
  compiled_ = std::move(made);
}

const std::string& Regex::pattern() const { return compiled_->pattern; }

bool Regex::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  static thread_local Scratch scratch;
  expect(scratch.data && scratch.context, "regular expression: out of memory");
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int n = pcre2_match(compiled_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
  if (n == PCRE2_ERROR_JIT_STACKLIMIT)
    n = pcre2_match(compiled_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch.data,
                    scratch.context);
  if (n == PCRE2_ERROR_NOMATCH) return false;
  if (n < 0) {
    PCRE2_UCHAR message[200];
    pcre2_get_error_message(n, message, sizeof message);
    fail("regular expression ", quoted(compiled_->pattern), ": ", reinterpret_cast<const char*>(message));
  }
  const size_t* offsets = pcre2_get_ovector_pointer(scratch.data);
  begin = offsets[0];
  end = offsets[1];
  if (begin > end) fail("regular expression ", quoted(compiled_->pattern), ": a match that ends before it begins");
  return true;
}

}  // namespace headrace
