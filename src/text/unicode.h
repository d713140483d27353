// UTF-8 and the few Unicode properties that tokenizers ask for, over utf8proc (Unicode 14 in Debian 12: characters
// added later count as unassigned).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace headrace {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

// The character at text[at...]: its code point and length in bytes. Broken UTF-8 gives code point -1 and the length of
// the longest prefix of a character there (at least 1), the unit that Unicode, Python and Rust replace by one U+FFFD.
struct Character {
  int32_t code;
  uint32_t bytes;
};
Character character_at(std::string_view text, size_t at);
void append_utf8(std::string& out, int32_t code);

bool is_utf8(std::string_view text);
bool is_ascii(std::string_view text);
std::string replace_broken(std::string_view text);  // every broken unit becomes U+FFFD, as decode(errors="replace")
// Bytes at the end that may still become a character when more bytes come: 0 to 3.
size_t incomplete_tail(std::string_view text);

bool is_whitespace(int32_t code);   // White_Space
bool is_numeric(int32_t code);      // Nd, Nl, No
bool is_punctuation(int32_t code);  // P*, and all ASCII punctuation
bool is_word(int32_t code);         // \w: Alphabetic, marks, digits, connectors, joiners
bool is_mark(int32_t code);         // M*
bool is_letter(int32_t code);       // L*
bool is_printable(int32_t code);    // as Python's repr() understands it: all but C*, Zl, Zp, and Zs other than a space
void append_lower(std::string& out, int32_t code);
void append_upper(std::string& out, int32_t code);
std::string lower(std::string_view text);
std::string upper(std::string_view text);

enum class Form { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view valid_utf8, Form form);
size_t grapheme_at(std::string_view valid_utf8, size_t at);  // bytes of the grapheme cluster that starts there

}  // namespace headrace
