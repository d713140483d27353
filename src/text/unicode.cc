// UTF-8 by Unicode's table of well-formed bytes (no overlong form, no surrogate); utf8proc for properties and normal forms.
#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/error.h"

namespace headrace {

Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> uint32_t { return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : 0; };
  const uint32_t a = byte(0);
  if (a < 0x80) return {static_cast<int32_t>(a), 1};
  if (a < 0xC2 || a > 0xF4) return {-1, 1};
  const uint32_t b = byte(1);
  const uint32_t low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80, high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
  if (b < low || b > high) return {-1, 1};
  if (a < 0xE0) return {static_cast<int32_t>((a & 0x1F) << 6 | (b & 0x3F)), 2};
  const uint32_t c = byte(2);
  if ((c & 0xC0) != 0x80) return {-1, 2};
  if (a < 0xF0) return {static_cast<int32_t>((a & 0x0F) << 12 | (b & 0x3F) << 6 | (c & 0x3F)), 3};
  const uint32_t d = byte(3);
  if ((d & 0xC0) != 0x80) return {-1, 3};
  return {static_cast<int32_t>((a & 0x07) << 18 | (b & 0x3F) << 12 | (c & 0x3F) << 6 | (d & 0x3F)), 4};
}

void append_utf8(std::string& out, int32_t code) {
  if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    out += replacement_character;
  } else if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

bool is_ascii(std::string_view text) {
  uint8_t all = 0;
  for (char c : text) all |= static_cast<uint8_t>(c);
  return all < 0x80;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    Character c = character_at(text, i);
    if (c.code < 0) return false;
    i += c.bytes;
  }
  return true;
}

std::string replace_broken(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    Character c = character_at(text, i);
    if (c.code < 0) {
      out += replacement_character;
    } else {
      out.append(text, i, c.bytes);
    }
    i += c.bytes;
  }
  return out;
}

size_t incomplete_tail(std::string_view text) {
  for (size_t n = 1; n <= 3 && n <= text.size(); ++n) {
    const size_t at = text.size() - n;
    const uint8_t lead = static_cast<uint8_t>(text[at]);
    if (lead < 0x80) return 0;
    if (lead < 0xC0) continue;
    const size_t whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    Character c = character_at(text, at);
    return c.code < 0 && lead >= 0xC2 && lead <= 0xF4 && n < whole && c.bytes == n ? n : 0;
  }
  return 0;
}

bool is_whitespace(int32_t c) {
  if (c < 0x80) return c == 0x20 || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(int32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  auto k = utf8proc_category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(int32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  auto k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool is_word(int32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  auto k = utf8proc_category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_ME) || k == UTF8PROC_CATEGORY_ND ||
         k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D ||
         // Symbols that are Alphabetic: letters in circles and squares.
         (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

bool is_mark(int32_t c) {
  if (c < 0x80) return false;
  auto k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
}

bool is_letter(int32_t c) {
  auto k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool is_printable(int32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  auto k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_SO;
}

void append_lower(std::string& out, int32_t c) {
  if (c == 0x130) {
    out += "i\xCC\x87";  // the one character whose lower case is two
  } else {
    append_utf8(out, c < 0x80 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : utf8proc_tolower(c));
  }
}

void append_upper(std::string& out, int32_t c) {
  if (c == 0xDF) {
    out += "SS";
  } else {
    append_utf8(out, c < 0x80 ? (c >= 'a' && c <= 'z' ? c - 32 : c) : utf8proc_toupper(c));
  }
}

std::string lower(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    Character c = character_at(text, i);
    append_lower(out, c.code);
    i += c.bytes;
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    Character c = character_at(text, i);
    append_upper(out, c.code);
    i += c.bytes;
  }
  return out;
}

// utf8proc_map orders combining marks by insertion, which is quadratic on a long run of them; here each run is sorted.
std::string normalize(std::string_view text, Form form) {
  if (is_ascii(text)) return std::string(text);
  const bool compat = form == Form::nfkc || form == Form::nfkd, compose = form == Form::nfc || form == Form::nfkc;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compat ? UTF8PROC_COMPAT : 0));
  std::vector<int32_t> codes;
  codes.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    Character c = character_at(text, i);
    i += c.bytes;
    if (c.code < 0x80) {
      codes.push_back(c.code < 0 ? 0xFFFD : c.code);
      continue;
    }
    int32_t parts[32];
    int boundary = 0;
    auto n = utf8proc_decompose_char(c.code, parts, 32, options, &boundary);
    if (n < 0 || n > 32) {
      codes.push_back(c.code);
    } else {
      codes.insert(codes.end(), parts, parts + n);
    }
  }
  const auto combining = [](int32_t c) { return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class; };
  for (size_t i = 0; i < codes.size();) {
    if (!combining(codes[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < codes.size() && combining(codes[end])) ++end;
    if (end - i > 1)
      std::stable_sort(codes.begin() + i, codes.begin() + end,
                       [&](int32_t a, int32_t b) { return combining(a) < combining(b); });
    i = end;
  }
  size_t n = codes.size();
  if (compose)
    n = static_cast<size_t>(utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(n), options));
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < n; ++i) append_utf8(out, codes[i]);
  return out;
}

size_t grapheme_at(std::string_view text, size_t at) {
  Character c = character_at(text, at);
  size_t end = at + c.bytes;
  utf8proc_int32_t state = 0;
  while (end < text.size()) {
    Character next = character_at(text, end);
    if (c.code < 0 || next.code < 0 || utf8proc_grapheme_break_stateful(c.code, next.code, &state)) break;
    c = next;
    end += next.bytes;
  }
  return end - at;
}

}  // namespace headrace
