// Does time grow with T as the mixer says it does? Every mixer of the registry at one small width, a whole sequence of T = 1k .. 32k tokens
// without state: the exponent of log time over log T, beside the one of its counted operations (mixers/cost.h). Then one token after
// about 1k and 32k others: where its operations and its state do not grow, its time must not. Fails with the names of those that do worse: more
// than 0.05 over the counted exponent (1.15 at most where that is linear times a logarithm), decode more than half slower.
// bench_growth [MIXER...]. Where a sequence would take longer than a second, or is more than the mixer takes, it stops before.
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "measure.h"
#include "mixers/cost.h"
#include "nn/init.h"

using namespace headrace;

namespace {

constexpr int width = 64;
constexpr int64_t shortest = 1024, longest = 32768;
constexpr double patience = 1;

// A filter reaches as far as the longest sequence.
std::vector<Setting> settings(const MixerInfo& m) {
  std::vector<Setting> all;
  for (const OptionHelp& o : m.options({.width = width}))
    if (o.name == "length") all.push_back({.name = "length", .value = std::to_string(longest)});
  return all;
}

// The slope of a line through (log x, log y).
double exponent(const std::vector<double>& x, const std::vector<double>& y) {
  double n = static_cast<double>(x.size()), sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double a = std::log(x[i]), b = std::log(y[i]);
    sx += a, sy += b, sxx += a * a, sxy += a * b;
  }
  return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

struct Bench {
  const MixerInfo& m;
  const std::vector<Setting> given = settings(m);
  const Place at{.width = width};
  const Sublayer f = m.bind(Scope(initialised({.pack = true})) / "mixer", at, given);
  const Tensor x = random_normal({longest, width}, 1);

  void step(int64_t begin, int64_t tokens, State* state) const {
    Batch batch;
    batch.add(tokens, state);
    f(x.slice(0, begin, tokens), {&batch});
    if (state) state->tokens += tokens;
  }
  double whole(int64_t T, double budget) const {                        // seconds; the shortest of those that fit into the budget
    double least = median_seconds(1, [&] { step(0, T, nullptr); });
    for (double spent = least; spent + least < budget;) {
      const double t = median_seconds(1, [&] { step(0, T, nullptr); });
      spent += t, least = std::min(least, t);
    }
    return least;
  }
  // One token after T others, on average over 32: the least of some such rounds from the same state.
  struct Decode { double seconds; size_t bytes; };
  Decode decode(int64_t T) const {
    if (!decodes(m)) return {0, 0};
    State state;
    for (int64_t t = 0, n = 0; t < T - 64; t += n) n = std::min(shortest, T - 64 - t), step(t, n, &state);   // room for those that follow
    const size_t bytes = state.bytes();
    double least = 1e9;
    for (int round = 0; round < 8; ++round) {
      State s = state;
      step(0, 1, &s);                                                       // what is shared is copied
      least = std::min(least, median_seconds(1, [&] { for (int i = 1; i <= 32; ++i) step(i, 1, &s); }));
    }
    return {least / 32, bytes};
  }
};

bool holds(const MixerInfo& m) {
  const Bench b{.m = m};
  std::vector<double> lengths, seconds, flops;
  for (int64_t T = shortest; T <= longest; T *= 2) try {
      const double counted = cost_of(m, b.at, b.given, T).prefill, s = b.whole(T, 0.15);
      lengths.push_back(static_cast<double>(T)), seconds.push_back(s), flops.push_back(counted);
      if (4 * s > patience && T < longest && flops.back() > 2.5 * flops[flops.size() > 1 ? flops.size() - 2 : 0]) break;
    } catch (const Error&) {
      break;                                                                // longer than the mixer takes
    }
  if (lengths.size() < 2) {
    std::printf("%-18s takes no longer sequences than %ld tokens\n", m.doc->name, shortest);
    return true;
  }
  const auto last = static_cast<int64_t>(lengths.back());
  const double theory = exponent(lengths, flops), fitted = exponent(lengths, seconds);
  const double most = theory > 1.01 && theory < 1.15 ? std::min(1.15, theory + 0.05) : theory + 0.05;
  const Bench::Decode first = b.decode(shortest), then = b.decode(last);
  const double grows = decodes(m) ? cost_of(m, b.at, b.given, last).decode / cost_of(m, b.at, b.given, shortest).decode : 1;
  const bool time = fitted <= most, decode = !decodes(m) || grows > 1.1 || (then.seconds < 1.5 * first.seconds && then.bytes == first.bytes);
  std::printf("%-18s %6.2f %6.2f %7ldk %11.0f %11.0f %10.1f %10.1f %10zu %10zu  %s%s\n", m.doc->name, theory, fitted, last / 1024,
              lengths[0] / seconds[0], lengths.back() / seconds.back(), 1e6 * first.seconds, 1e6 * then.seconds, first.bytes, then.bytes,
              time ? "" : "time ", decode ? "" : "decode");
  std::fflush(stdout);
  return time && decode;
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("d = %d\n%-18s %6s %6s %8s %11s %11s %10s %10s %10s %10s\n", width, "mixer", "theory", "fitted", "longest", "tokens/s 1k", "longest",
              "us/token", "longest", "state 1k", "longest");
  std::string failed;
  for (const MixerInfo& m : mixers()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || !std::strcmp(argv[i], m.doc->name);
    if (wanted && !holds(m)) failed += std::string(failed.empty() ? "" : ", ") + m.doc->name;
  }
  if (failed.empty()) return 0;
  std::fprintf(stderr, "growth: more than it should be: %s\n", failed.c_str());
  return 1;
}
