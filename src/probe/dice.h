// Random draws of one sample: a Philox stream named by (seed, task, split, index), so that sample i is the same whoever asks, and in
// whatever order.
#pragma once
#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.h"

namespace headrace {

class Dice {
 public:
  // 2^26 numbers of index (below 2^38); a sample that was refused is drawn again, at another attempt, from numbers of its own.
  Dice(uint64_t seed, uint64_t stream, uint64_t index, uint64_t attempt = 0)
      : philox_{seed, stream ^ (attempt * 0x9E3779B97F4A7C15u)}, next_(index << 26) {}

  uint64_t seed() const { return philox_.seed; }
  uint32_t bits() {
    if (next_ % 4 == 0) block_ = philox_.block(next_ / 4);
    return block_[next_++ % 4];
  }
  double uniform() { return (bits() + 0.5) * 0x1p-32; }                  // in (0, 1)
  bool coin(double p = 0.5) { return uniform() < p; }
  // 0..n-1, each as likely as the others (Lemire 2019, 1805.10941).
  int below(int n) {
    const uint32_t most = static_cast<uint32_t>(n), least = (0u - most) % most;
    for (;;) {
      const uint64_t product = uint64_t{bits()} * most;
      if (static_cast<uint32_t>(product) >= least) return static_cast<int>(product >> 32);
    }
  }
  int between(int low, int high) { return low + below(high - low + 1); }   // both included
  double normal() {
    const double u = uniform(), v = uniform();
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[static_cast<size_t>(below(static_cast<int>(i)))]);
  }
  // k of 0..n-1, no two the same, in random order: the first k of a shuffle, of which only what moved is kept.
  std::vector<int> distinct(int k, int n) {
    std::vector<int> chosen;
    std::unordered_map<int, int> moved;
    const auto at = [&](int i) { const auto found = moved.find(i); return found == moved.end() ? i : found->second; };
    for (int i = 0; i < k; ++i) {
      const int j = between(i, n - 1);
      chosen.push_back(at(j)), moved[j] = at(i);
    }
    return chosen;
  }
  // A direction of length `norm` in n dimensions.
  std::vector<double> direction(int n, double norm = 1) {
    std::vector<double> x(static_cast<size_t>(n));
    double square = 0;
    for (double& v : x) v = normal(), square += v * v;
    for (double& v : x) v *= norm / std::sqrt(square);
    return x;
  }

 private:
  Philox philox_;
  uint64_t next_;
  std::array<uint32_t, 4> block_{};
};

}  // namespace headrace
