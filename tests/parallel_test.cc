// The pool while a second thread keeps changing its size: no index lost, none taken twice.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/parallel.h"

namespace headrace {
namespace {

TEST(Parallel, EveryIndexIsTakenOnceWhileAnotherCallerChangesTheNumberOfThreads) {
  std::atomic<bool> done{false};
  std::thread other([&] {
    for (int n = 1; !done; n = n % 4 + 1) set_thread_count(n);
  });
  for (int round = 0; round < 300; ++round) {
    std::vector<std::atomic<int>> taken(257);
    std::atomic<int> highest{0};
    parallel(257, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) ++taken[static_cast<size_t>(i)];
      for (int now = highest; worker > now && !highest.compare_exchange_weak(now, worker);) {}
    });
    for (const auto& n : taken) ASSERT_EQ(n, 1) << "round " << round;
    ASSERT_LT(highest, 4);
  }
  done = true;
  other.join();
  set_thread_count(2);
  EXPECT_EQ(thread_count(), 2);
}

}  // namespace
}  // namespace headrace
