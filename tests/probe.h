// What the tests of probes share: samples of a task, and what holds for all of them.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "probe/probe.h"

namespace headrace {

using Ids = std::vector<int32_t>;
inline size_t at(int64_t i) { return static_cast<size_t>(i); }

inline void each(const std::string& task, const std::vector<std::string>& set, int n, const std::function<void(const Sample&)>& f) {
  const Task t = open_task(task, set);
  for (int i = 0; i < n; ++i) {
    f(t.sample(11, Split::train, static_cast<uint64_t>(i)));
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << task << ' ' << t.parameters << ", sample " << i;
      return;
    }
  }
}
// The one answer that is scored.
inline int32_t answer(const Sample& s) {
  EXPECT_EQ(std::count(s.mask.begin(), s.mask.end(), 1), 1);
  return s.targets[at(std::find(s.mask.begin(), s.mask.end(), 1) - s.mask.begin())];
}
inline Ids cut(const Ids& v, int64_t begin, int64_t end) { return {v.begin() + begin, v.begin() + end}; }
inline int64_t place(const Ids& v, int32_t t) { return std::find(v.begin(), v.end(), t) - v.begin(); }
// How often each value comes is within five standard deviations of `shares` of all.
inline void expect_shares(const std::map<int32_t, int>& counts, const std::map<int32_t, double>& shares, const std::string& what) {
  double n = 0;
  for (const auto& [v, c] : counts) {
    n += c;
    EXPECT_TRUE(shares.contains(v)) << what << ": " << v;
  }
  for (const auto& [v, p] : shares) {
    const auto found = counts.find(v);
    const double c = found == counts.end() ? 0 : found->second;
    EXPECT_LE(std::abs(c - n * p), 5 * std::sqrt(n * p * (1 - p)) + 1e-9)
        << what << ": " << v << " comes " << c << " of " << n << " times, wanted " << p;
  }
}
inline std::map<int32_t, double> uniform(int32_t first, int n) {
  std::map<int32_t, double> all;
  for (int i = 0; i < n; ++i) all[first + i] = 1.0 / n;
  return all;
}

}  // namespace headrace
