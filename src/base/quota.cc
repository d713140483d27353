// Reads /proc and /sys as Linux has them; what is not there is no quota.
#include "base/quota.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>

namespace headrace {
namespace {

double first_number(const std::string& path) {         // 0: none, as "max" and a file that is not there
  std::ifstream f(path);
  double n = 0;
  return f >> n ? n : 0;
}
// Cores of one group; 0: no quota.
double quota_in(const std::string& folder, bool second) {
  if (second) {                                        // "QUOTA PERIOD" in microseconds, or "max PERIOD"
    std::ifstream f(folder + "/cpu.max");
    double quota = 0, period = 0;
    return f >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
  }
  const double quota = first_number(folder + "/cpu.cfs_quota_us"), period = first_number(folder + "/cpu.cfs_period_us");   // -1: none
  return quota > 0 && period > 0 ? quota / period : 0;
}

// f(folder, second) of each control group of this process and those above it: a quota binds all that is below; in a container the path may be
// the host's. A list has NUMBER:CONTROLLERS:PATH; version 2 has number 0 and no controllers.
template <class F>
void each_group(const std::string& groups, const std::string& root, const std::string& controller, F&& f) {
  std::ifstream list(groups);
  for (std::string line; std::getline(list, line);) {
    std::stringstream parts(line);
    std::string number, controllers, path;
    if (!std::getline(parts, number, ':') || !std::getline(parts, controllers, ':') || !std::getline(parts, path)) continue;
    const bool second = controllers.empty();
    if (!second && ("," + controllers + ",").find("," + controller + ",") == std::string::npos) continue;
    const std::string mount = second ? root : root + "/" + controller;
    for (;;) {
      f(mount + path, second);
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
}

}  // namespace

int quota_cores(const std::string& groups, const std::string& root) {
  double least = 0;
  each_group(groups, root, "cpu", [&](const std::string& folder, bool second) {
    if (const double cores = quota_in(folder, second); cores > 0) least = least > 0 ? std::min(least, cores) : cores;
  });
  return least > 0 ? std::max(1, static_cast<int>(std::min(std::floor(least), 1e6))) : 0;
}
size_t available_memory(const std::string& groups, const std::string& root) {
  auto least = static_cast<double>(system_memory("MemAvailable:"));
  each_group(groups, root, "memory", [&](const std::string& folder, bool second) {
    const double most = first_number(folder + (second ? "/memory.max" : "/memory.limit_in_bytes"));
    if (most > 0) least = least > 0 ? std::min(least, most) : most;
  });
  return static_cast<size_t>(least);
}
size_t system_memory(const char* key) {
  std::ifstream f("/proc/meminfo");
  for (std::string line; std::getline(f, line);)
    if (line.starts_with(key)) return std::strtoull(line.c_str() + std::string_view(key).size() + 1, nullptr, 10) * 1024;
  return 0;
}

}  // namespace headrace
