// Byte-pair encoding of one piece of text (Sennrich et al. 2016, arXiv 1508.07909): start from bytes or characters and
// join the best neighbouring pair, the leftmost of equals, until none is left.
//   MergeBpe  best = the earliest line of a list of merges (GPT-2, Hugging Face)
//   ScoreBpe  best = the pair whose joined text is the token of highest score (SentencePiece, Kudo 2018, arXiv
//   1808.06226)
// Both take O(n log n) for a piece of n symbols.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace headrace {

// (left id, right id) -> rank and joined id.
class MergeTable {
 public:
  struct Merge {
    int32_t rank, id;
  };
  void reserve(size_t merges);
  void set(int left, int right, Merge merge);  // the first of equal pairs wins
  const Merge* find(int left, int right) const;
  size_t size() const { return used_; }
  template <class F>
  void each(F f) const {  // f(left, right, merge), in no order
    for (const Slot& s : slots_)
      if (s.pair != ~uint64_t{0}) f(static_cast<int>(s.pair >> 32), static_cast<int>(s.pair & 0xffffffffu), s.merge);
  }

 private:
  struct Slot {
    uint64_t pair = ~uint64_t{0};
    Merge merge{};
  };
  std::vector<Slot> slots_;
  size_t used_ = 0;
};

// What becomes of a character that is no token.
struct Unknown {
  bool byte_fallback = false;    // its bytes, if all <0xXX> are tokens
  int id = -1;                   // else this token; -1: nothing
  bool fuse = false;             // one for a run of unknown characters
  std::array<int, 256> bytes{};  // ids of <0x00>...<0xFF>, -1 when missing
};

class MergeBpe {
 public:
  MergeTable merges;
  Unknown unknown;
  bool by_bytes = false;            // symbols are bytes (byte-level) or UTF-8 characters
  bool ignore_merges = false;       // a piece that is a token is that token
  std::array<int, 256> byte_ids{};  // by_bytes: id of each single byte, -1 when missing

  // After merges and the options above are set. Tokens that are `outside` the model are never found in a text.
  void finish(const Vocab& vocab, const std::vector<bool>& outside);
  void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& out) const;

 private:
  void merge_all(const Vocab& vocab, std::string_view piece, std::vector<int>& out) const;
  // Whether merging a token's text gives that token: 0 not known yet, 1 yes, 2 no. Saves the merging of frequent words;
  // several threads may find out the same thing at once.
  std::unique_ptr<std::atomic<uint8_t>[]> whole_;
  size_t tokens_ = 0;
};

class ScoreBpe {
 public:
  std::vector<float> scores;  // one a token
  std::vector<bool> joins;    // tokens that merging may produce
  std::vector<bool> unused;   // joins, but is split again in the end
  Unknown unknown;
  void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& out) const;
};

// The ids for one character that is no token.
void append_unknown(const Unknown& unknown, std::string_view character, std::vector<int>& out);

}  // namespace headrace
