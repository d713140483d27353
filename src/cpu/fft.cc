// Twiddle factors in double precision, rounded once, and kept for the life of the program: threads only read them.
#include "cpu/fft.h"

#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <vector>

namespace headrace::cpu {

const float* make_fft_factors(int64_t n, int radix) {
  static std::mutex mutex;
  static std::map<std::pair<int64_t, int>, std::vector<float>> all;      // a map's values stay where they are
  std::lock_guard lock(mutex);
  std::vector<float>& w = all[{n, radix}];
  if (w.empty())
    for (int64_t j = 0; j < n / radix; ++j)
      for (int r = 1; r < radix; ++r) {
        const double angle = -2 * 3.141592653589793238 * static_cast<double>(r * j % n) / static_cast<double>(n);
        w.push_back(static_cast<float>(std::cos(angle))), w.push_back(static_cast<float>(std::sin(angle)));
      }
  return w.data();
}

int64_t fft_length(int64_t n) {
  const int64_t power = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)));
  return power >= 8 && n <= power / 4 * 3 ? power / 4 * 3 : power;
}

}  // namespace headrace::cpu
