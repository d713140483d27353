// Arguments bound to a signature, and the three ways to format: '%s' % x, '{}'.format(x), and padding.
#include <algorithm>

#include "text/jinja_calls.h"
#include "text/unicode.h"

namespace headrace::jinja {

std::vector<std::optional<Value>> Arguments::bind(std::string_view who,
                                                  std::initializer_list<std::string_view> names) const {
  expect(positional.size() <= names.size(), who, ": at most ", names.size(), " arguments, found ", positional.size());
  std::vector<std::optional<Value>> out(names.size());
  for (size_t i = 0; i < positional.size(); ++i) out[i] = positional[i];
  for (const auto& [name, value] : named) {
    const auto at = std::find(names.begin(), names.end(), name);
    expect(at != names.end(), who, ": no argument is called ", name);
    std::optional<Value>& place = out[static_cast<size_t>(at - names.begin())];
    expect(!place, who, ": argument ", name, " is given twice");
    place = value;
  }
  return out;
}

std::string pad(std::string text, int64_t width, std::string_view fill, int side,
                Budget& budget) {  // side: -1 left of the text
  expect(width <= 100'000, "a width of ", width, " characters");
  const int64_t missing = width - static_cast<int64_t>(characters(text).size());
  if (missing <= 0) return text;
  const int64_t left = side < 0 ? missing : side > 0 ? 0 : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  budget.make(out.size());
  return out;
}

// {} {0} {name}, without format specifications.
std::string brace_format(const std::string& format, const Arguments& arguments, Budget& budget) {
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if (c != '{' && c != '}') {
      out += c;
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == c) {
      out += format[i++];
      continue;
    }
    const size_t end = format.find('}', i);
    expect(c == '{' && end != format.npos, "format: a single '", c, "'");
    const std::string name = format.substr(i + 1, end - i - 1);
    const Value* value = nullptr;
    const bool digits = std::all_of(name.begin(), name.end(), [](char d) { return d >= '0' && d <= '9'; });
    if (digits) {
      const size_t at = name.empty() ? next++ : name.size() < 6 ? static_cast<size_t>(std::stoi(name)) : ~size_t{0};
      if (at < arguments.positional.size()) value = &arguments.positional[at];
    } else {
      for (const auto& [given, v] : arguments.named)
        if (given == name) value = &v;
    }
    expect(value, "format: nothing for {", name, "}");
    out += to_text(*value, budget);
    i = end;
  }
  return out;
}

namespace {

size_t byte_of_character(const std::string& text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += character_at(text, at).bytes;
  return at;
}

}  // namespace

std::string percent_format(std::string_view format, const Values& values, Budget& budget) {
  std::string out;
  size_t next = 0;
  const auto take = [&]() -> const Value& {
    expect(next < values.size(), "%: not enough values");
    return values[next++];
  };
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string spec = "%";
    while (++i < format.size() && std::string_view("-+ #0123456789.").find(format[i]) != std::string_view::npos)
      spec += format[i];
    expect(i < format.size() && spec.size() < 12, "%: an incomplete conversion");
    const char kind = format[i];
    if (kind == '%') {
      out += '%';
      continue;
    }
    const size_t dot = spec.find('.');
    const size_t digits = std::min(spec.find_first_of("123456789"), dot);
    const int width = digits < spec.size() && spec[digits] != '.' ? std::atoi(spec.c_str() + digits) : 0;
    const int precision = dot == spec.npos ? -1 : std::atoi(spec.c_str() + dot + 1);
    expect(width <= 1000 && precision <= 100, "%: a width or precision of more than 1000 or 100");
    char buffer[1500];
    if (kind == 's' || kind == 'r') {
      const Value& value = take();
      std::string piece = kind == 's' ? to_text(value, budget) : to_repr(value, budget);
      if (precision >= 0) piece.resize(byte_of_character(piece, precision));
      out += pad(std::move(piece), width, " ", spec.find('-') == spec.npos ? -1 : 1, budget);
    } else if (kind == 'd' || kind == 'i' || kind == 'x' || kind == 'X' || kind == 'o') {
      const Value& value = take();
      const int64_t n = value.real() && std::abs(as_double(value)) < 9e18 ? static_cast<int64_t>(as_double(value))
                                                                          : as_int(value, "%");
      expect(n >= 0 || kind == 'd' || kind == 'i', "%: a negative number in hexadecimal or octal");
      std::snprintf(buffer, sizeof buffer, (spec + "l" + kind).c_str(), static_cast<long>(n));
      out += buffer;
    } else {
      expect(kind == 'f' || kind == 'e' || kind == 'g' || kind == 'F' || kind == 'E' || kind == 'G', "%: conversion ",
             kind, " is not supported");
      const Value& value = take();
      if (value.undefined()) fail_undefined(value);
      expect(value.number(), "%: expected a number, found ", type_name(value));
      std::snprintf(buffer, sizeof buffer, (spec + kind).c_str(), as_double(value));
      out += buffer;
    }
    budget.make(16);
  }
  expect(next == values.size() || (values.size() == 1 && values[0].dict()), "%: not all values are used");
  return out;
}

}  // namespace headrace::jinja
