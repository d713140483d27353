// Sums of log gates between a key and a query, from the sums that each page holds (ops/kernels/attention.h).
#pragma once
#include <vector>

#include "ops/kernels/attention.h"

namespace headrace::cpu {

class GateSums {
 public:
  explicit GateSums(const AttentionArgs& a) : a_(a), at_(int64_t{a.kv_heads} * page_tokens * (a.key + a.value)) {
    if (!a.gates) return;
    for (int s = 0; s < a.sequences.count(); ++s) {
      pages_.push_back((a.keys[s].length + page_tokens - 1) / page_tokens);
      first_.push_back(before_.size());
      for (int h = 0; h < a.heads; ++h) {
        double sum = 0;
        for (int64_t p = 0; p < pages_.back(); ++p) {
          before_.push_back(sum);
          if (const float* sums = on_page(s, h, p)) sum += sums[page_tokens - 1];
        }
      }
    }
  }
  const float* on_page(int sequence, int head, int64_t page) const {
    const float* p = a_.keys[sequence].pages[page];
    return p ? p + at_ + int64_t{head} * page_tokens : nullptr;
  }
  // From the page's beginning up to token i; less what on_page says of key j, it is the sum of those after j.
  float between(int sequence, int head, int64_t page, int64_t i) const {
    const size_t row = first_[static_cast<size_t>(sequence)] + static_cast<size_t>(head * pages_[static_cast<size_t>(sequence)]);
    const int64_t own = i / page_tokens;
    return static_cast<float>(before_[row + static_cast<size_t>(own)] - before_[row + static_cast<size_t>(page)] +
                              on_page(sequence, head, own)[i % page_tokens]);
  }

 private:
  const AttentionArgs& a_;
  int64_t at_;
  std::vector<int64_t> pages_;           // by sequence
  std::vector<size_t> first_;
  std::vector<double> before_;           // [sequence][head][page]: of the pages before
};

}  // namespace headrace::cpu
