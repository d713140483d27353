// The processor time that a container gives: Linux' control groups, version 2 (cpu.max) and 1 (cpu.cfs_quota_us, cpu.cfs_period_us).
#pragma once
#include <string>

namespace headrace {

// Whole cores' worth of time that the quotas on this process come to, at least 1; 0: there is none.
// `groups`: a process's own list of control groups; `root`: where they are mounted.
int quota_cores(const std::string& groups = "/proc/self/cgroup", const std::string& root = "/sys/fs/cgroup");

}  // namespace headrace
