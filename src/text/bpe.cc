// Merging: short pieces by scanning for the best pair again, long ones by a heap over a linked list, which is what keeps a million
// bytes without a space from taking their square (Sennrich et al. 2016, 1508.07909; rules: bpe.h).
#include "text/bpe.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "text/unicode.h"

namespace headrace {
namespace {

uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xFF51AFD7ED558CCDu;
  x ^= x >> 33;
  return x;
}
uint64_t pair_of(int left, int right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

constexpr int short_piece = 48;  // up to here a scan for the best pair beats a heap

struct Symbol {
  int id, previous, next;  // id -1: joined into its left neighbour
};

}  // namespace

void MergeTable::reserve(size_t merges) {
  size_t n = 16;
  while (n < merges * 2) n *= 2;
  slots_.assign(n, {});
  used_ = 0;
}

void MergeTable::set(int left, int right, Merge merge) {
  if (used_ * 2 >= slots_.size()) {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(std::max<size_t>(16, old.size() * 2), {});
    used_ = 0;
    for (const Slot& s : old)
      if (s.pair != ~uint64_t{0}) set(static_cast<int>(s.pair >> 32), static_cast<int>(s.pair), s.merge);
  }
  const uint64_t pair = pair_of(left, right);
  size_t i = mix(pair) & (slots_.size() - 1);
  for (; slots_[i].pair != ~uint64_t{0}; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].pair == pair) return;
  slots_[i] = {pair, merge};
  ++used_;
}

const MergeTable::Merge* MergeTable::find(int left, int right) const {
  if (slots_.empty()) return nullptr;
  const uint64_t pair = pair_of(left, right);
  for (size_t i = mix(pair) & (slots_.size() - 1); slots_[i].pair != ~uint64_t{0}; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].pair == pair) return &slots_[i].merge;
  return nullptr;
}

void append_unknown(const Unknown& unknown, std::string_view character, std::vector<int>& out) {
  if (unknown.byte_fallback && std::all_of(character.begin(), character.end(),
                                           [&](char c) { return unknown.bytes[static_cast<uint8_t>(c)] >= 0; })) {
    for (char c : character) out.push_back(unknown.bytes[static_cast<uint8_t>(c)]);
  } else if (unknown.id >= 0) {
    out.push_back(unknown.id);
  }
}

void MergeBpe::finish(const Vocab& vocab, const std::vector<bool>& outside) {
  tokens_ = static_cast<size_t>(vocab.size());
  whole_ = std::make_unique<std::atomic<uint8_t>[]>(tokens_);
  for (size_t id = 0; id < tokens_; ++id) whole_[id] = outside[id] ? 2 : 0;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    const int id = vocab.find({&byte, 1});
    byte_ids[b] = id >= 0 && outside[id] ? -1 : id;
  }
}

void MergeBpe::encode(const Vocab& vocab, std::string_view piece, std::vector<int>& out) const {
  int id = piece.size() <= 256 ? vocab.find(piece) : -1;
  if (id >= 0) {
    std::atomic<uint8_t>& known = whole_[id];
    uint8_t state = known.load(std::memory_order_relaxed);
    if (state == 1 || (ignore_merges && state != 2)) {
      out.push_back(id);
      return;
    }
    if (state == 0) {
      const size_t before = out.size();
      merge_all(vocab, piece, out);
      known.store(out.size() == before + 1 && out[before] == id ? 1 : 2, std::memory_order_relaxed);
      return;
    }
  } else if (ignore_merges && piece.size() > 256 && (id = vocab.find(piece)) >= 0 && whole_[id] != 2) {
    out.push_back(id);
    return;
  }
  merge_all(vocab, piece, out);
}

void MergeBpe::merge_all(const Vocab& vocab, std::string_view piece, std::vector<int>& out) const {
  static thread_local std::vector<Symbol> symbols;
  static thread_local std::vector<int> ids;
  ids.clear();
  if (by_bytes) {
    for (char c : piece) {
      int id = byte_ids[static_cast<uint8_t>(c)];
      if (id >= 0) {
        ids.push_back(id);
      } else if (unknown.id >= 0 && !(unknown.fuse && !ids.empty() && ids.back() == unknown.id)) {
        ids.push_back(unknown.id);
      }
    }
  } else {
    for (size_t i = 0; i < piece.size();) {
      const std::string_view character = piece.substr(i, character_at(piece, i).bytes);
      int id = vocab.find(character);
      if (id >= 0 && whole_[id] != 2) {
        ids.push_back(id);
      } else {
        const bool was_unknown = !ids.empty() && ids.back() == unknown.id;
        append_unknown(unknown, character, ids);
        if (unknown.fuse && was_unknown && ids.size() > 1 && ids.back() == unknown.id) ids.pop_back();
      }
      i += character.size();
    }
  }
  const int n = static_cast<int>(ids.size());
  if (n <= short_piece) {
    // ranks[i]: the merge of ids[i] and ids[i + 1]; found once, then only the neighbours of a merge change.
    MergeTable::Merge found[short_piece];
    constexpr int32_t none = INT32_MAX;
    const auto look = [&](int i, int count) {
      const MergeTable::Merge* m = i + 1 < count ? merges.find(ids[i], ids[i + 1]) : nullptr;
      found[i] = m ? *m : MergeTable::Merge{none, -1};
    };
    int count = n;
    for (int i = 0; i < count; ++i) look(i, count);
    while (count > 1) {
      int best = 0;
      for (int i = 1; i + 1 < count; ++i)
        if (found[i].rank < found[best].rank) best = i;
      if (found[best].rank == none) break;
      ids[best] = found[best].id;
      --count;
      for (int i = best + 1; i < count; ++i) {
        ids[i] = ids[i + 1];
        found[i] = found[i + 1];
      }
      if (best > 0) look(best - 1, count);
      look(best, count);
    }
    out.insert(out.end(), ids.begin(), ids.begin() + count);
    return;
  }
  symbols.resize(ids.size());
  for (int i = 0; i < n; ++i) symbols[i] = {ids[i], i - 1, i + 1 < n ? i + 1 : -1};
  struct Candidate {
    int32_t rank, at, id;
    bool operator<(const Candidate& o) const {
      return rank != o.rank ? rank > o.rank : at > o.at;
    }  // the top is the best
  };
  std::vector<Candidate> heap;
  const auto offer = [&](int at) {
    int next = symbols[at].next;
    if (next < 0) return;
    if (const auto* m = merges.find(symbols[at].id, symbols[next].id)) {
      heap.push_back({m->rank, at, m->id});
      std::push_heap(heap.begin(), heap.end());
    }
  };
  for (int i = 0; i < n; ++i) {
    if (symbols[i].next < 0) continue;
    if (const auto* m = merges.find(symbols[i].id, symbols[i + 1].id)) heap.push_back({m->rank, i, m->id});
  }
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate c = heap.back();
    heap.pop_back();
    Symbol& left = symbols[c.at];
    if (left.id < 0 || left.next < 0) continue;
    const auto* m = merges.find(left.id, symbols[left.next].id);
    if (!m || m->id != c.id || m->rank != c.rank) continue;  // one of the two has changed since
    Symbol& right = symbols[left.next];
    left.id = c.id;
    left.next = right.next;
    if (right.next >= 0) symbols[right.next].previous = c.at;
    right.id = -1;
    if (left.previous >= 0) offer(left.previous);
    offer(c.at);
  }
  for (const Symbol& s : symbols)
    if (s.id >= 0) out.push_back(s.id);
}

void ScoreBpe::encode(const Vocab& vocab, std::string_view piece, std::vector<int>& out) const {
  struct Span {
    uint32_t begin, bytes;
    int previous, next;
  };
  std::vector<Span> spans;
  for (size_t i = 0; i < piece.size();) {
    const uint32_t bytes = character_at(piece, i).bytes;
    const int at = static_cast<int>(spans.size());
    spans.push_back({static_cast<uint32_t>(i), bytes, at - 1, at + 1});
    i += bytes;
  }
  if (spans.empty()) return;
  spans.back().next = -1;
  struct Candidate {
    float score;
    int at;
    uint32_t bytes;
    bool operator<(const Candidate& o) const { return score != o.score ? score < o.score : at > o.at; }
  };
  std::priority_queue<Candidate> queue;
  std::unordered_map<std::string_view, uint32_t> halves;  // joined unused token -> bytes of its left half
  const auto offer = [&](int at) {
    if (at < 0 || spans[at].next < 0) return;
    const uint32_t bytes = spans[at].bytes + spans[spans[at].next].bytes;
    const std::string_view joined = piece.substr(spans[at].begin, bytes);
    int id = vocab.find(joined);
    if (id < 0 || !joins[id]) return;
    queue.push({scores[id], at, bytes});
    if (unused[id]) halves.emplace(joined, spans[at].bytes);
  };
  for (int i = 0; i + 1 < static_cast<int>(spans.size()); ++i) offer(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Span& left = spans[c.at];
    if (left.bytes == 0 || left.next < 0 || left.bytes + spans[left.next].bytes != c.bytes) continue;
    Span& right = spans[left.next];
    left.bytes = c.bytes;
    left.next = right.next;
    right.bytes = 0;
    if (left.next >= 0) spans[left.next].previous = c.at;
    offer(left.previous);
    offer(c.at);
  }
  std::vector<std::string_view> stack;
  bool after_unknown = false;
  for (int at = 0; at >= 0; at = spans[at].next) {
    stack.push_back(piece.substr(spans[at].begin, spans[at].bytes));
    while (!stack.empty()) {
      const std::string_view part = stack.back();
      stack.pop_back();
      int id = vocab.find(part);
      if (id >= 0 && joins[id] && !unused[id]) {
        out.push_back(id);
        after_unknown = false;
        continue;
      }
      auto half = halves.find(part);
      if (half != halves.end()) {
        stack.push_back(part.substr(half->second));
        stack.push_back(part.substr(0, half->second));
        continue;
      }
      const size_t before = out.size();
      append_unknown(unknown, part, out);
      const bool is_unknown = out.size() == before + 1 && out.back() == unknown.id;
      if (is_unknown && after_unknown && unknown.fuse) out.pop_back();
      after_unknown = is_unknown;
    }
  }
}

}  // namespace headrace
