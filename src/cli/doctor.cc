// headrace doctor: processor, memory, device and shipped models, each with what to do where something is missing.
#include <fmt/core.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/quota.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "ops/kernels.h"

namespace headrace::cli {
namespace {

std::string cpu_name() {
  std::ifstream f("/proc/cpuinfo");
  for (std::string line; std::getline(f, line);)
    if (line.starts_with("model name") && line.find(':') != std::string::npos) return line.substr(line.find(':') + 2);
  return "unknown";
}
std::vector<std::string> cpu_features() {
  std::vector<std::string> have;
#if defined(__x86_64__)
  const std::pair<const char*, bool> all[] = {
      {"avx2", __builtin_cpu_supports("avx2")}, {"fma", __builtin_cpu_supports("fma")}, {"avx512f", __builtin_cpu_supports("avx512f")},
      {"avx512bw", __builtin_cpu_supports("avx512bw")}, {"avx512vl", __builtin_cpu_supports("avx512vl")},
          {"avx512vnni", __builtin_cpu_supports("avx512vnni")},
      {"avx512bf16", __builtin_cpu_supports("avx512bf16")}};
  for (const auto& [name, there] : all)
    if (there) have.push_back(name);
  unsigned a = 0, b = 0, c = 0, d = 0;                 // what a compiler of some years ago has no names for
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    if (d >> 24 & 1) have.push_back("amx-tile");
    if (d >> 25 & 1) have.push_back("amx-int8");
    if (d >> 22 & 1) have.push_back("amx-bf16");
  }
#endif
  return have;
}
int act(const Common& common) {
  const Device device = common.apply();
  const Kernels& k = kernels(device);
  const Peak peak = k.peak ? k.peak() : Peak{};
  const char* instructions = k.instructions ? k.instructions() : "";
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  std::string cuda;                                // what keeps it from being used; empty: nothing
  try {
    kernels(Device::cuda);
  } catch (const Error& e) {
    cuda = e.what();
  }
  std::vector<std::string> advice;
  const auto features = cpu_features();
  auto has = [&](const char* f) { return std::find(features.begin(), features.end(), f) != features.end(); };
  if (!has("avx512vnni")) advice.push_back("no AVX-512 VNNI: products of 4- and 8-bit blocks take the AVX2 path");
  if (const char* e = std::getenv("HEADRACE_INSTRUCTIONS"); e && *e) advice.push_back(fmt::format("HEADRACE_INSTRUCTIONS={} chose the kernels", e));
  if (thread_count() > cores) advice.push_back(fmt::format("{} threads on {} cores: give --threads {}", thread_count(), cores, cores));
  if (const int quota = quota_cores(); quota > 0 && quota < cores)
    advice.push_back(fmt::format("a quota (cgroup) gives this process the time of {} of {} cores", quota, cores));
  double load[1] = {0};
  if (getloadavg(load, 1) == 1
      && load[0] > 0.5 * cores) advice.push_back(fmt::format("the machine is busy (load {:.1f}): rates measured now are too low", load[0]));
  const size_t memory = system_memory("MemTotal:"), available = system_memory("MemAvailable:");
  if (available < size_t{1} << 30) advice.push_back("less than 1 GiB of memory is free: see headrace plan MODEL before loading");
  const auto models = shipped_models();
  if (models.empty()) advice.push_back("no models ship in " + assets_folder() + ": set HEADRACE_ASSETS to their folder");
  if (advice.empty()) advice.push_back("nothing to do");

  if (common.json) {
    Array f, a, m;
    for (const auto& s : features) f.push_back(s);
    for (const auto& s : advice) a.push_back(s);
    for (const auto& s : models) m.push_back(s);
    print_json(Object{{"cpu", cpu_name()}, {"features", f}, {"instructions", instructions}, {"cores", cores}, {"threads", thread_count()},
        {"device", common.device},
                      {"memory_bytes", static_cast<int64_t>(memory)}, {"available_bytes", static_cast<int64_t>(available)},
                      {"read_bytes_per_second", peak.read_bytes}, {"f32_flops", peak.f32_flops}, {"int8_ops", peak.int8_ops},
                      {"cuda", cuda.empty()}, {"cuda_why_not", cuda}, {"models", m}, {"assets", assets_folder()}, {"advice", a}});
    return 0;
  }
  fmt::print("{}\n", bold(cpu_name()));
  std::string joined;
  for (const auto& s : features) joined += (joined.empty() ? "" : " ") + s;
  fmt::print("features    {}\nkernels     {}\nthreads     {} of {} cores\n", joined, *instructions ? instructions : "the definitions",
      thread_count(), cores);
  fmt::print("memory      {}, {} available\n", bytes_text(static_cast<double>(memory)), bytes_text(static_cast<double>(available)));
  if (peak.read_bytes > 0) fmt::print("reads       {:.1f} GB/s: a model of 1 GB cannot write more than {:.0f} tokens/s\n", peak.read_bytes / 1e9,
      peak.read_bytes / 1e9);
  if (peak.f32_flops > 0) fmt::print("f32         {:.0f} GFLOP/s\n", peak.f32_flops / 1e9);
  if (peak.int8_ops > 0) fmt::print("int8        {:.0f} GOP/s\n", peak.int8_ops / 1e9);
  fmt::print("cuda        {}\n", cuda.empty() ? "ready" : cuda);
  joined.clear();
  for (const auto& s : models) joined += (joined.empty() ? "" : ", ") + s;
  fmt::print("models      {}\n", joined.empty() ? "none" : joined);
  for (const auto& s : advice) fmt::print("advice      {}\n", s);
  return 0;
}

}  // namespace

void add_doctor(Command& root) {
  auto o = std::make_shared<Common>();
  Command c = root.verb("doctor", "tell what this machine offers, and what to do about it");
  c.about("CPU features, memory bandwidth and peak rates measured in under two seconds, devices, models. "
          "HEADRACE_INSTRUCTIONS=avx2, avx512 or amx in the environment makes every verb take those kernels.");
  o->add(c);
  c.example("headrace doctor", "one line for each").example("headrace doctor --threads 1 --json", "the rates of one thread");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
