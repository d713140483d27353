// Best fit over the spans that were freed, kept by place so that neighbours join; the system is asked only where none is large enough.
#include "tensor/large_blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace headrace {
namespace {

size_t rounded(size_t bytes) { return (bytes + huge_page - 1) / huge_page * huge_page; }

// From the system, at a multiple of a huge page.
std::byte* map(size_t size) {
  void* p = mmap(nullptr, size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(p);
  const size_t before = (huge_page - reinterpret_cast<uintptr_t>(p) % huge_page) % huge_page;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + size, huge_page - before);
  return begin + before;
}

}  // namespace

void in_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
}

void* LargeBlocks::take(size_t bytes) {
  const size_t size = rounded(bytes);
  std::lock_guard lock(mutex_);
  living_ += size, most_ = std::max(most_, living_);
  auto best = kept_.end();                         // the smallest that is large enough
  for (auto s = kept_.begin(); s != kept_.end(); ++s)
    if (s->second >= size && (best == kept_.end() || s->second < best->second)) best = s;
  if (best != kept_.end()) {
    const auto [data, held] = *best;
    kept_.erase(best), kept_bytes_ -= size;
    if (held > size) kept_.emplace(data + size, held - size);
    return data;
  }
  if (living_ + kept_bytes_ > most_) shrink(living_ + kept_bytes_ - most_);
  std::byte* fresh = map(size);
  if (!fresh) living_ -= size;
  else in_huge_pages(fresh, size);
  return fresh;
}

void LargeBlocks::give(void* data, size_t bytes) {
  const size_t size = rounded(bytes);
  std::lock_guard lock(mutex_);
  living_ -= size, kept_bytes_ += size;
  auto s = kept_.emplace(static_cast<std::byte*>(data), size).first;
  if (const auto next = std::next(s); next != kept_.end() && s->first + s->second == next->first) s->second += next->second, kept_.erase(next);
  if (s == kept_.begin()) return;
  if (const auto before = std::prev(s); before->first + before->second == s->first) before->second += s->second, kept_.erase(s);
}

size_t LargeBlocks::held() {
  std::lock_guard lock(mutex_);
  return living_ + kept_bytes_;
}

// Back to the system, the smallest pieces first: they serve the fewest.
void LargeBlocks::shrink(size_t bytes) {
  while (bytes > 0 && !kept_.empty()) {
    const auto least = std::min_element(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    const size_t n = std::min(bytes, least->second);
    munmap(least->first + (least->second - n), n);
    least->second -= n, kept_bytes_ -= n, bytes -= n;
    if (least->second == 0) kept_.erase(least);
  }
}

}  // namespace headrace
