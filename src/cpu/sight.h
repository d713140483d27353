// What queries see of pages of keys, a word of 64 bits for each query and page.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "ops/kernels/attention.h"

namespace headrace::cpu {

constexpr uint64_t whole_page = ~uint64_t{0};

class PageSight {
 public:
  PageSight(const AttentionArgs& a, int sequence)
      : a_(a), p_(a.pattern ? *a.pattern : window_alone()), first_row_(a.sequences.offsets[sequence]), first_key_(a.first_key_row(sequence)),
        length_(a.keys[sequence].length), past_(a.first_query(sequence)) {
    if (p_.kind == Pattern::Kind::listed)
      for (int s = 0; s < sequence; ++s) lists_ += (a.sequences.offsets[s + 1] - a.sequences.offsets[s] + p_.query_block - 1) / p_.query_block;
    if (p_.global.empty()) return;
    global_.assign(static_cast<size_t>((length_ + page_tokens - 1) / page_tokens), 0);
    for (int64_t j = 0; j < length_; ++j)
      if (p_.global[static_cast<size_t>(first_key_ + j)]) global_[static_cast<size_t>(j / page_tokens)] |= uint64_t{1} << (j % page_tokens);
  }

  int64_t past() const { return past_; }
  // The keys of a page that query t of the sequence sees by a head: bit b is key 64 page + b.
  uint64_t of(int head, int64_t t, int64_t page) const {
    using Kind = Pattern::Kind;
    const int64_t i = past_ + t, B = p_.block, first = page * page_tokens, end = std::min(length_, first + page_tokens);
    const auto [low, high] = range_of(i);
    const uint64_t seen = bits(page, low, high);
    uint64_t w = 0;
    switch (p_.kind) {
      case Kind::window: w = seen; break;
      case Kind::merged: w = bits(page, i - B + 1, i + B) & seen; [[fallthrough]];
      case Kind::strided:
        for (int64_t j = first + ((i - first) % B + B) % B; j < end; j += B) w |= uint64_t{1} << (j - first);
        w &= seen;
        break;
      case Kind::fixed:
        w = bits(page, i / B * B, i / B * B + B);
        for (int64_t b = first / B; b * B < end; ++b) w |= bits(page, (b + 1) * B - p_.extra, (b + 1) * B);
        w &= seen;
        break;
      case Kind::first: w = seen | bits(page, 0, std::min(p_.extra, limit(i))); break;
      case Kind::behind: w = bits(page, 0, i - B + 1) & seen; break;
      case Kind::chunks: w = bits(page, (i / B - p_.extra) * B, (i / B + 1) * B) & seen; break;
      case Kind::pooled: w = bits(page, 0, std::min(length_, (i + 1) / B)); break;
      case Kind::listed: {
        const auto [from, to] = list(head, t);
        for (const int32_t* b = std::lower_bound(from, to, first / B); b != to && *b * B < end; ++b) w |= bits(page, *b * B, (*b + 1) * B);
        w &= bits(page, 0, limit(i));
        break;
      }
      case Kind::sorted: w = of_sorted(i, page); break;
    }
    if (!global_.empty()) {
      const bool all = (global_[static_cast<size_t>(i / page_tokens)] >> (i % page_tokens)) & 1;
      w |= (all ? whole_page : global_[static_cast<size_t>(page)]) & bits(page, 0, limit(i));
    }
    return w;
  }
  // The pages that any of the queries [t, t + n) may see by any of the heads [h, h + heads), in order.
  void pages(int h, int heads, int64_t t, int64_t n, std::vector<int64_t>& all) const {
    using Kind = Pattern::Kind;
    all.clear();
    const int64_t count = (length_ + page_tokens - 1) / page_tokens;
    int64_t low = range_of(past_ + t).low, high = range_of(past_ + t + n - 1).high;
    const int64_t B = p_.block;
    if (p_.kind == Kind::chunks) low = std::max(low, ((past_ + t) / B - p_.extra) * B), high = std::min(high, ((past_ + t + n - 1) / B + 1) * B);
    if (p_.kind == Kind::behind) high = std::min(high, past_ + t + n - B);
    if (p_.kind == Kind::pooled) low = 0, high = std::min(length_, (past_ + t + n) / B);
    if (p_.kind == Kind::sorted) low = std::max<int64_t>(0, (t / B - 1) * B), high = std::min(length_, ((t + n - 1) / B + 1) * B);
    const bool marks = p_.kind == Kind::listed || p_.kind == Kind::sorted || p_.kind == Kind::first || !global_.empty();
    if (!marks) {
      for (int64_t p = low / page_tokens; p * page_tokens < high; ++p) all.push_back(p);
      return;
    }
    std::vector<char> seen(static_cast<size_t>(count));
    auto mark = [&](int64_t from, int64_t to) {
      for (int64_t p = std::max<int64_t>(0, from) / page_tokens; p < count && p * page_tokens < to; ++p) seen[static_cast<size_t>(p)] = 1;
    };
    if (p_.kind == Kind::listed) {
      for (int g = h; g < h + heads; ++g)
        for (int64_t i = t; i < t + n; i += p_.query_block - i % p_.query_block) {
          const auto [from, to] = list(g, i);
          for (const int32_t* b = from; b != to; ++b) mark(*b * B, (*b + 1) * B);
        }
    } else {
      mark(low, high);
    }
    if (p_.kind == Kind::first) mark(0, std::min(p_.extra, limit(past_ + t + n - 1)));
    if (p_.kind == Kind::sorted && t < B) mark((length_ - 1) / B * B, length_);
    for (size_t p = 0; p < global_.size(); ++p)
      if (global_[p]) seen[p] = 1;
    for (int64_t i = past_ + t; !global_.empty() && i < past_ + t + n; ++i)
      if ((global_[static_cast<size_t>(i / page_tokens)] >> (i % page_tokens)) & 1) mark(0, length_);
    for (int64_t p = 0; p < count; ++p)
      if (seen[static_cast<size_t>(p)]) all.push_back(p);
  }

 private:
  struct Range { int64_t low, high; };
  struct List { const int32_t *from, *to; };
  static const Pattern& window_alone() {
    static const Pattern p;
    return p;
  }
  Range range_of(int64_t i) const {
    return {a_.window_left > 0 ? std::max<int64_t>(0, i - a_.window_left + 1) : 0,
            a_.window_right < 0 ? length_ : std::min(length_, i + a_.window_right + 1)};
  }
  int64_t limit(int64_t i) const { return a_.window_right == 0 ? std::min(length_, i + 1) : length_; }   // where the window does not count
  static uint64_t bits(int64_t page, int64_t low, int64_t high) {   // places of the page in [low, high)
    const int64_t first = page * page_tokens;
    const int64_t from = std::clamp<int64_t>(low - first, 0, page_tokens), to = std::clamp<int64_t>(high - first, 0, page_tokens);
    return from >= to ? 0 : (whole_page >> (page_tokens - to)) & (whole_page << from);
  }
  List list(int head, int64_t t) const {
    const size_t l = static_cast<size_t>((lists_ + t / p_.query_block) * p_.list_heads + head / (a_.heads / p_.list_heads));
    return {p_.blocks.data() + p_.begin[l], p_.blocks.data() + p_.begin[l + 1]};
  }
  uint64_t of_sorted(int64_t i, int64_t page) const {
    const int64_t B = p_.block, chunk = i / B, before = chunk > 0 ? chunk - 1 : (length_ - 1) / B;
    const int32_t* at = p_.positions.data() + first_row_;
    auto others = [&](int64_t from, int64_t to, uint64_t& own) {     // of the page, and itself
      uint64_t w = 0;
      for (int64_t j = std::max(from, page * page_tokens); j < std::min({to, length_, (page + 1) * page_tokens}); ++j) {
        const uint64_t bit = uint64_t{1} << (j % page_tokens);
        if (at[j] == at[i]) own |= bit;
        else if (a_.window_right != 0 || at[j] < at[i]) w |= bit;
      }
      return w;
    };
    uint64_t own = 0, w = others(chunk * B, chunk * B + B, own);
    w |= others(before * B, before * B + B, own);
    if (w || !own) return w;
    auto any = [&](int64_t from) {                                   // something else, on any page
      for (int64_t j = from; j < std::min(from + B, length_); ++j)
        if (at[j] != at[i] && (a_.window_right != 0 || at[j] < at[i])) return true;
      return false;
    };
    return any(chunk * B) || any(before * B) ? 0 : own;
  }

  const AttentionArgs& a_;
  const Pattern& p_;
  int64_t first_row_, first_key_, length_, past_, lists_ = 0;
  std::vector<uint64_t> global_;
};

}  // namespace headrace::cpu
