// What to say of a word that is not known: those that are, and the one of them that is written most alike, if any is.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace headrace {

// Single letters added, left out, changed, or swapped with the next one, to make b of a; each letter is edited once (optimal string alignment).
size_t edits(std::string_view a, std::string_view b);
// The first of those with the fewest edits, at most two and at most one for two letters of the word; empty: none is as near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);
std::string listed(const std::vector<std::string>& words);   // "attn, mla"
// "did you mean attn? ", to stand before what is known; empty where nothing is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace headrace
