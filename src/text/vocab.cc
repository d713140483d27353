// Tokens in one buffer under an open hash table, and the trie level by level, so that the children of a node are neighbours in memory.
#include "text/vocab.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "text/unicode.h"

namespace headrace {
namespace {

uint32_t hash_of(std::string_view s) {
  uint64_t h = 0x9E3779B97F4A7C15u ^ s.size();
  const char* p = s.data();
  size_t n = s.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    h = (h ^ word) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
  }
  uint64_t word = 0;
  std::memcpy(&word, p, n);
  h = (h ^ word) * 0xD6E8FEB86659FD93u;
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93u;
  return static_cast<uint32_t>(h >> 32);
}

struct Letters {
  int32_t letter[256];
  int16_t byte[324];
  Letters() {
    std::fill(std::begin(byte), std::end(byte), int16_t{-1});
    int next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174);
      letter[b] = prints ? b : next++;
      byte[letter[b]] = static_cast<int16_t>(b);
    }
  }
};
const Letters& letters() {
  static const Letters table;
  return table;
}

}  // namespace

void Vocab::reserve(size_t tokens, size_t bytes) {
  place_.reserve(tokens);
  arena_.reserve(bytes);
  size_t n = 16;
  while (n < tokens * 2) n *= 2;
  if (n > slots_.size()) {
    slots_.assign(n, {0, -1});
    used_ = 0;
    for (int id = 0; id < size(); ++id)
      if (place_[id].second) set(id, std::string((*this)[id]));
  }
}

void Vocab::grow() {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(std::max<size_t>(16, old.size() * 2), {0, -1});
  for (const Slot& s : old) {
    if (s.id < 0) continue;
    size_t i = s.hash & (slots_.size() - 1);
    while (slots_[i].id >= 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = s;
  }
}

void Vocab::set(int id, std::string_view piece) {
  expect(arena_.size() + piece.size() < (size_t{1} << 31), "vocabulary: more than 2 GiB of tokens");
  if (id >= size()) place_.resize(static_cast<size_t>(id) + 1, {0, 0});
  place_[id] = {static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(piece.size())};
  arena_ += piece;
  if (used_ * 2 >= slots_.size()) grow();
  const uint32_t h = hash_of(piece);
  size_t i = h & (slots_.size() - 1);
  for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].hash == h && (*this)[slots_[i].id] == piece) return;
  slots_[i] = {h, id};
  ++used_;
}

int Vocab::find(std::string_view piece) const {
  if (slots_.empty()) return -1;
  const uint32_t h = hash_of(piece);
  for (size_t i = h & (slots_.size() - 1); slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].hash == h && (*this)[slots_[i].id] == piece) return slots_[i].id;
  return -1;
}

// Level by level, so that the children of a node are neighbours.
Trie::Trie(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& e) { return e.key.empty(); });
  for (const Entry& e : entries)  // matching walks from every place of a text, so length is time
    expect(e.key.size() <= 1024, "vocabulary: token ", e.value, " has ", e.key.size(), " bytes, at most 1024");
  if (entries.empty()) return;
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  struct Range {
    uint32_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, static_cast<uint32_t>(entries.size()), 0}};
  nodes_.push_back({});
  labels_.push_back(0);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    if (begin < end && entries[begin].key.size() == depth) {
      if (node) nodes_[node].value = entries[begin].value;
      while (begin < end && entries[begin].key.size() == depth) ++begin;
    }
    nodes_[node].first = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char label = entries[begin].key[depth];
      uint32_t stop = begin;
      while (stop < end && entries[stop].key[depth] == label) ++stop;
      if (node == 0) root_[static_cast<uint8_t>(label)] = static_cast<uint32_t>(nodes_.size());
      ++nodes_[node].children;
      nodes_.push_back({});
      labels_.push_back(static_cast<uint8_t>(label));
      ranges.push_back({begin, stop, depth + 1});
      begin = stop;
    }
  }
}

void append_byte_letter(std::string& out, uint8_t byte) { append_utf8(out, letters().letter[byte]); }

int byte_of_letter(int32_t code) { return code >= 0 && code < 324 ? letters().byte[code] : -1; }

bool from_byte_letters(std::string_view token, std::string& out) {
  const size_t before = out.size();
  for (size_t i = 0; i < token.size();) {
    Character c = character_at(token, i);
    int byte = byte_of_letter(c.code);
    if (byte < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(byte);
    i += c.bytes;
  }
  return true;
}

int byte_of_name(std::string_view t) {
  if (t.size() != 6 || t.substr(0, 3) != "<0x" || t[5] != '>') return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
  };
  int high = digit(t[3]), low = digit(t[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace headrace
