// Rows of some arrays that will be needed, fetched a few at a time between other work: all at once they would keep its own loads waiting.
// A head's rows lie a model's width apart, which no prefetcher of a processor follows.
#pragma once
#include <algorithm>
#include <cassert>
#include <cstdint>
#include <iterator>

namespace headrace::cpu {

class Ahead {
 public:
  explicit Ahead(int64_t height) : height_(std::max<int64_t>(0, height)) {}
  void add(const float* at, int64_t stride, int64_t columns) {
    if (!at || stride <= 0) return;
    assert(count_ < std::ssize(arrays_));
    arrays_[count_++] = {at, stride, columns};
  }
  // All of it in about this many calls of some().
  void spread(int64_t calls) { left_ = count_ * height_, each_ = (left_ + calls - 1) / std::max<int64_t>(1, calls); }
  void some() {
    for (int64_t i = 0; i < each_ && left_ > 0; ++i, --left_) {
      Array& a = arrays_[array_];
      for (int64_t j = 0; j < a.columns; j += 16) __builtin_prefetch(a.at + j);
      a.at += a.stride, array_ = array_ + 1 == count_ ? 0 : array_ + 1;
    }
  }

 private:
  struct Array { const float* at; int64_t stride, columns; };
  Array arrays_[16];
  int64_t count_ = 0, height_, each_ = 0, left_ = 0, array_ = 0;
};

}  // namespace headrace::cpu
