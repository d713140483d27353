// What the system gives: memory, and the processor time of a container by Linux' control groups, version 2 (cpu.max) and 1 (cpu.cfs_quota_us,
// cpu.cfs_period_us).
#pragma once
#include <cstddef>
#include <string>

namespace headrace {

// Whole cores' worth of time that the quotas on this process come to, at least 1; 0: there is none.
// `groups`: a process's own list of control groups; `root`: where they are mounted.
int quota_cores(const std::string& groups = "/proc/self/cgroup", const std::string& root = "/sys/fs/cgroup");

// Bytes that the system has free or can free, or the groups' limit (memory.max, memory.limit_in_bytes) where that is less; 0: not known.
size_t available_memory(const std::string& groups = "/proc/self/cgroup", const std::string& root = "/sys/fs/cgroup");
// Bytes of a line of /proc/meminfo ("MemTotal:", "MemAvailable:"); 0: not known.
size_t system_memory(const char* key);

}  // namespace headrace
