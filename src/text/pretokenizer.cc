// The steps of cutting: each finds its matches in a piece, and one of five behaviours says to which side a match goes.
#include "text/pretokenizer.h"

#include "base/error.h"
#include "text/unicode.h"
#include "text/vocab.h"

namespace headrace {
namespace {

struct Range {
  uint32_t begin, end;
  bool match;
};

// Calls range(begin, end, is_match) over the whole piece, in order.
template <class F>
void find_matches(const PretokenizerStep& step, std::string_view piece, F range) {
  size_t at = 0;
  const auto hit = [&](size_t begin, size_t end) {
    if (begin > at) range(at, begin, false);
    if (end > begin) range(begin, end, true);
    at = end;
  };
  const auto by_character = [&](auto wanted) {
    for (size_t i = 0; i < piece.size();) {
      Character c = character_at(piece, i);
      if (wanted(c.code)) hit(i, i + c.bytes);
      i += c.bytes;
    }
  };
  switch (step.kind) {
    case PretokenizerStep::regex: {
      size_t begin = 0, end = 0;
      for (size_t from = 0; from <= piece.size() && step.pattern->find(piece, from, begin, end);) {
        hit(begin, end);
        from = end > begin ? end : end + (end < piece.size() ? character_at(piece, end).bytes : 1);
      }
      break;
    }
    case PretokenizerStep::literal:
      for (size_t i; !step.text.empty() && (i = piece.find(step.text, at)) != piece.npos;) hit(i, i + step.text.size());
      break;
    case PretokenizerStep::digits:
      by_character(is_numeric);
      break;
    case PretokenizerStep::punctuation:
      by_character(is_punctuation);
      break;
    case PretokenizerStep::whitespace:
      by_character(is_whitespace);
      break;
    default:
      break;
  }
  if (at < piece.size()) range(at, piece.size(), false);
}

void split_piece(const PretokenizerStep& step, std::string_view piece, Pieces& out) {
  const Behaviour how = step.behaviour;
  const auto emit = [&](size_t begin, size_t end) {
    out.text.append(piece, begin, end - begin);
    out.ends.push_back(static_cast<uint32_t>(out.text.size()));
  };
  if (how == Behaviour::isolated) {
    find_matches(step, piece, [&](size_t begin, size_t end, bool) { emit(begin, end); });
    return;
  }
  if (how == Behaviour::removed) {
    find_matches(step, piece, [&](size_t begin, size_t end, bool match) {
      if (match == step.invert) emit(begin, end);
    });
    return;
  }
  std::vector<Range> ranges;
  find_matches(step, piece, [&](size_t begin, size_t end, bool match) {
    ranges.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), match != step.invert});
  });
  std::vector<Range> joined;
  for (size_t k = 0; k < ranges.size(); ++k) {
    const Range& r = ranges[k];
    const bool previous = k > 0 && ranges[k - 1].match;
    bool join = false;  // with the piece before
    if (how == Behaviour::contiguous) join = k > 0 && previous == r.match;
    if (how == Behaviour::merged_with_previous) join = k > 0 && r.match && !previous;
    if (how == Behaviour::merged_with_next) join = k > 0 && previous && !r.match;
    if (join) {
      joined.back().end = r.end;
    } else {
      joined.push_back(r);
    }
  }
  for (const Range& r : joined) emit(r.begin, r.end);
}

void metaspace(const PretokenizerStep& step, std::string_view piece, bool at_start, Pieces& out) {
  std::string text;
  for (char c : piece) {
    if (c == ' ') {
      text += step.text;
    } else {
      text += c;
    }
  }
  const bool wanted = step.prepend == PretokenizerStep::always || (step.prepend == PretokenizerStep::first && at_start);
  if (wanted && !text.starts_with(step.text)) text = step.text + text;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = step.split ? text.find(step.text, begin + 1) : text.npos;
    if (end == text.npos) end = text.size();
    out.text.append(text, begin, end - begin);
    out.ends.push_back(static_cast<uint32_t>(out.text.size()));
    begin = end;
  }
}

}  // namespace

Pieces cut(const Pretokenizer& steps, std::string text, bool at_start) {
  Pieces pieces;
  pieces.text = std::move(text);
  if (!pieces.text.empty()) pieces.ends.push_back(static_cast<uint32_t>(pieces.text.size()));
  bool letters = false;
  for (size_t k = 0; k < steps.size(); ++k) {
    const PretokenizerStep& step = steps[k];
    if (step.kind == PretokenizerStep::byte_letters && (letters || k + 1 == steps.size())) continue;
    Pieces next;
    next.text.reserve(pieces.text.size() + 16);
    next.ends.reserve(step.kind == PretokenizerStep::regex ? pieces.ends.size() + pieces.text.size() / 4
                                                           : pieces.ends.size());
    bool start = at_start;
    pieces.each([&](std::string_view piece) {
      expect(next.text.size() < (size_t{1} << 31), "tokenizer: a text of more than 2 GiB");
      if (step.kind == PretokenizerStep::metaspace) {
        metaspace(step, piece, start, next);
      } else if (step.kind == PretokenizerStep::byte_letters || step.kind == PretokenizerStep::space_in_front) {
        if (step.kind == PretokenizerStep::byte_letters) {
          for (char c : piece) append_byte_letter(next.text, static_cast<uint8_t>(c));
          letters = true;
        } else {
          if (piece.front() != ' ') next.text += ' ';
          next.text += piece;
        }
        next.ends.push_back(static_cast<uint32_t>(next.text.size()));
      } else {
        split_piece(step, piece, next);
      }
      start = false;
    });
    pieces = std::move(next);
  }
  if (!letters) return pieces;
  Pieces bytes;
  pieces.each([&](std::string_view piece) {
    from_byte_letters(piece, bytes.text);
    if (bytes.ends.empty() ? bytes.text.empty() : bytes.text.size() == bytes.ends.back()) return;
    bytes.ends.push_back(static_cast<uint32_t>(bytes.text.size()));
  });
  return bytes;
}

}  // namespace headrace
