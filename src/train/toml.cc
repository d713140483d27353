// TOML by toml++ (header only, so that nothing more is linked). Dates have no place in a recipe.
#include "train/toml.h"

#include <algorithm>

#include "base/error.h"

// What it takes for granted of a text is that text's error: a key that begins with no letter ends version 3.3.0 by an assertion.
#define TOML_ASSERT(ok) ((ok) ? static_cast<void>(0) : headrace::fail("not valid TOML"))
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace headrace {
namespace {

Value convert(const toml::node& n, const std::string& path, Toml& out, const std::string& file) {
  if (!path.empty()) out.lines[path] = static_cast<int>(n.source().begin.line);
  if (auto v = n.as_boolean()) return v->get();
  if (auto v = n.as_integer()) return v->get();
  if (auto v = n.as_floating_point()) return v->get();
  if (auto v = n.as_string()) return v->get();
  if (auto a = n.as_array()) {
    Array all;
    for (size_t i = 0; i < a->size(); ++i) all.push_back(convert((*a)[i], text(path, "[", i, "]"), out, file));
    return all;
  }
  if (auto t = n.as_table()) {
    Object all;
    for (const auto& [key, v] : *t) {
      const std::string name(key.str());
      all.emplace(name, convert(v, path.empty() ? name : path + "." + name, out, file));
    }
    return all;
  }
  fail(file, ":", static_cast<int>(n.source().begin.line), ": ", path, ": dates and times have no meaning here");
}

// Its table of spaces beyond ASCII reaches what it says cannot be reached (U+02DA in 3.3.0), so such characters stay in quotes and comments.
void check_ascii(std::string_view bytes, const std::string& file) {
  int line = 1;
  char quote = 0, before = '\n';                         // before: what stands before a place outside of quotes, but spaces
  bool comment = false, lines = false;                   // lines: in quotes of three, which may go on in the next line
  const auto three = [&](size_t i) { return bytes.substr(i, 3) == std::string(3, bytes[i]); };
  for (size_t i = bytes.starts_with("\xef\xbb\xbf") ? 3 : 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c == '\n') ++line, quote = lines ? quote : '\0', comment = false, before = '\n';
    else if (comment) continue;
    else if (quote == '"' && c == '\\') {
      expect(++i >= bytes.size() || static_cast<unsigned char>(bytes[i]) < 128, file, ":", line,
             ": not valid TOML: an escape of a character beyond ASCII");
      line += i < bytes.size() && bytes[i] == '\n';
    } else if (lines && c == quote && three(i)) {
      while (i + 1 < bytes.size() && bytes[i + 1] == quote) ++i;   // two more may be the text's own
      quote = 0, lines = false;
    } else if (quote != 0) quote = c == quote && !lines ? '\0' : quote;
    else if ((c == '"' || c == '\'') && std::string_view("\n=[,{.").find(before) != std::string_view::npos)   // else it begins no text
      quote = c, lines = before == '=' && three(i), i += lines ? 2 : 0, before = c;
    else if (c == '#') comment = true;
    else {
      expect(static_cast<unsigned char>(c) < 128, file, ":", line, ": not valid TOML: a character beyond ASCII outside of quotes");
      if (c != ' ' && c != '\t' && c != '\r') before = c;
    }
  }
}

}  // namespace

Toml parse_toml(std::string_view bytes, const std::string& file) {
  check_ascii(bytes, file);
  try {
    const toml::table table = naming(file, [&] { return toml::table(toml::parse(bytes)); });
    Toml out;
    out.root = convert(table, "", out, file);
    return out;
  } catch (const toml::parse_error& e) {
    std::string what(e.description());                   // quotes the text as it is
    std::replace_if(what.begin(), what.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    fail(file, ":", static_cast<int>(e.source().begin.line), ": ", what);
  }
}

Value toml_value(const std::string& given) {
  try {
    return *parse_toml("x = " + given, "--set").root.find("x");
  } catch (const Error&) {
    return given;
  }
}

}  // namespace headrace
