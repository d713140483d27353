// Memory of the CPU for large tensors: in huge pages, and kept when it is freed. The system zeroes every page that it hands out, which
// takes as long as a pass of a kernel over it; what is kept is cut and joined, so that the next tensors, of whatever sizes, meet no fresh page.
// What is kept and what lives are together no more than ever lived at once: the peak stays that of the plan.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>

namespace headrace {

constexpr size_t huge_page = size_t{2} << 20;
// The whole pages of 2 MiB in [data, data + bytes) come in one piece each where the system has them: a tenth of the cost.
void in_huge_pages(void* data, size_t bytes);

class LargeBlocks {
 public:
  void* take(size_t bytes);                        // null: out of memory
  void give(void* data, size_t bytes);
  size_t held();                                   // from the system: what lives and what is kept

 private:
  using Spans = std::map<std::byte*, size_t>;      // by place; neighbours are joined
  void shrink(size_t bytes);

  std::mutex mutex_;
  Spans kept_;
  size_t living_ = 0, kept_bytes_ = 0, most_ = 0;
};

}  // namespace headrace
