// The table of edits between all beginnings of two words, of which three rows live at a time.
#include "base/nearest.h"

#include <algorithm>
#include <numeric>

namespace headrace {

size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);   // of a's beginnings of i - 2, i - 1, i letters
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last), std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t most = 2, longest = 64;                 // a longer word is no name that somebody mistyped, and may be a file's
  if (word.size() > longest) return "";
  std::string best;
  size_t least = std::min(most, word.size() / 2) + 1;
  for (const std::string& k : known)
    if (const size_t n = edits(word, k); n < least) least = n, best = k;
  return best;
}

std::string listed(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& w : words) all += (all.empty() ? "" : ", ") + w;
  return all;
}
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string best = nearest(word, known);
  return best.empty() ? "" : "did you mean " + best + "? ";
}

}  // namespace headrace
