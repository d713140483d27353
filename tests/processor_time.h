// Seconds of work since it was made: of the processor, so that a busy machine does not count, and of a build without sanitizers,
// which are some twenty times slower.
#pragma once
#include <ctime>

namespace headrace::testing {

class ProcessorTime {
 public:
  double seconds() const {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    constexpr double slower = 20;
#else
    constexpr double slower = 1;
#endif
    return static_cast<double>(std::clock() - begin_) / CLOCKS_PER_SEC / slower;
  }

 private:
  std::clock_t begin_ = std::clock();
};

}  // namespace headrace::testing
