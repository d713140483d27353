// The pool while a second thread keeps changing its size: no index lost, none taken twice. And how many threads a quota leaves.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/parallel.h"
#include "base/quota.h"

namespace headrace {
namespace {

TEST(Parallel, EveryIndexIsTakenOnceWhileAnotherCallerChangesTheNumberOfThreads) {
  set_thread_count(4);                             // where there are more cores, as many at first
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

class Quota : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void put(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = folder_ + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  int cores() const { return quota_cores(folder_ + "/groups", folder_); }
  std::string folder_ = testing::TempDir() + "headrace-quota-" + std::to_string(::getpid());
};

TEST_F(Quota, OfACgroupIsTheLeastOnTheWayUpInWholeCores) {
  EXPECT_EQ(cores(), 0);
  put("groups", "0::/a/b\n");
  EXPECT_EQ(cores(), 0);
  put("a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), 0);
  put("a/cpu.max", "250000 100000\n");
  EXPECT_EQ(cores(), 2);
  put("a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(cores(), 1);
  put("groups", "0::/of/the/host\n");
  EXPECT_EQ(cores(), 0);
  put("cpu.max", "300000 100000\n");
  EXPECT_EQ(cores(), 3);
  const auto memory = [&] { return available_memory(folder_ + "/groups", folder_); };
  put("memory.max", "max\n");
  EXPECT_GT(memory(), size_t{1} << 20);
  put("memory.max", "65536\n");
  EXPECT_EQ(memory(), 65536U);
}
TEST_F(Quota, OfTheFirstVersionIsReadToo) {
  put("groups", "12:memory:/x\n3:cpu,cpuacct:/docker/x\n0::/\n");
  put("cpu/docker/x/cpu.cfs_quota_us", "-1\n"), put("cpu/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), 0);
  put("cpu/cpu.cfs_quota_us", "400000\n"), put("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), 4);
}

}  // namespace
}  // namespace headrace
