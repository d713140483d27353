// The tokens of a vocabulary: id -> bytes and bytes -> id, and a trie over bytes for longest matches.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace {

// Tokens in one arena with an open-addressing index. Ids may be set in any order; gaps are empty tokens.
class Vocab {
 public:
  void reserve(size_t tokens, size_t bytes);
  void set(int id, std::string_view piece);  // the first id of a piece wins in find()
  int size() const { return static_cast<int>(place_.size()); }
  std::string_view operator[](int id) const { return {arena_.data() + place_[id].first, place_[id].second}; }
  int find(std::string_view piece) const;  // -1 when absent

 private:
  void grow();
  std::string arena_;
  std::vector<std::pair<uint32_t, uint32_t>> place_;  // offset, length
  struct Slot {
    uint32_t hash;
    int32_t id;
  };
  std::vector<Slot> slots_;
  size_t used_ = 0;
};

class Trie {
 public:
  struct Entry {
    std::string_view key;
    int value;
  };
  Trie() = default;
  explicit Trie(std::vector<Entry> entries);  // empty keys are left out; of equal keys the first wins

  // Calls visit(length, value) for every key that starts at text[at], shortest first; returns the longest length, 0 for
  // none.
  template <class Visit>
  size_t each(std::string_view text, size_t at, Visit visit) const {
    size_t longest = 0;
    if (nodes_.empty()) return 0;
    for (uint32_t node = 0, i = 0; at + i < text.size();) {
      node = child(node, static_cast<uint8_t>(text[at + i]));
      if (!node) break;
      ++i;
      if (nodes_[node].value >= 0) {
        longest = i;
        visit(longest, nodes_[node].value);
      }
    }
    return longest;
  }
  bool starts(uint8_t byte) const { return !nodes_.empty() && root_[byte] != 0; }
  bool empty() const { return nodes_.empty(); }

 private:
  struct Node {
    uint32_t first = 0;  // children are neighbours, in the order of their labels
    uint16_t children = 0;
    int32_t value = -1;
  };
  uint32_t child(uint32_t node, uint8_t byte) const {
    if (node == 0) return root_[byte];
    uint32_t low = nodes_[node].first, high = low + nodes_[node].children;
    while (low < high) {
      uint32_t middle = (low + high) / 2;
      if (labels_[middle] < byte)
        low = middle + 1;
      else
        high = middle;
    }
    return low < nodes_[node].first + nodes_[node].children && labels_[low] == byte ? low : 0;
  }
  std::vector<Node> nodes_;
  std::vector<uint8_t> labels_;
  std::array<uint32_t, 256> root_{};
};

// GPT-2's alphabet: every byte as a printable character (bytes that print stand for themselves, the others for U+0100
// up).
void append_byte_letter(std::string& out, uint8_t byte);
// The bytes behind a token of that alphabet; false (and `out` untouched) when it has a character outside it.
bool from_byte_letters(std::string_view token, std::string& out);
int byte_of_letter(int32_t code);  // -1: not of the alphabet

// <0x0A> -> 10; -1 for anything else.
int byte_of_name(std::string_view token);

}  // namespace headrace
