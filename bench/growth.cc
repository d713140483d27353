// Does time grow with T as the mixer says it does? Every mixer of the registry at one width, a whole sequence of T = 1k .. 32k tokens
// without state: the exponent of log time over log T, beside the one of its counted operations (ops/meter.h). Then the same tokens 512 at a
// time with a state, as every verb reads a prompt: what lies between is of one size at every T and stays in the cache, so that this exponent is
// the program's and not the memory's; it is the one that is held to the bar where there is a state of about one size. (Keys grow with T: each
// piece reads all of them, from memory once they are many.) Then one token after about 4k (where windows are full) and 32k others: where its
// operations and its state do not grow, its time must not. Fails with the names of those that do worse: more than 0.05 over the counted
// exponent (1.15 where its words have log T), decode more than half slower.
// bench_growth [--width D] [--rounds N] [MIXER...]. Where a quadratic one would take more than seconds, or a sequence is more than
// the mixer takes, it stops before.
//
// Time is that of the processor, of one thread, so that other programs do not count; the lengths take turns, each for as long as the others
// or for one sequence, and the least of its rounds counts: what slows a machine down for a while slows all of them. At this width not even
// 1k tokens stay in the second-level cache.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "measure.h"
#include "mixers/cost.h"
#include "nn/init.h"
#include "ops/meter.h"

using namespace headrace;

namespace {

int width = 256, rounds = 3;
constexpr int64_t shortest = 1024, longest = 32768, piece = 512;
constexpr double turn = 0.05, patience = 2;                                // seconds

// A filter reaches as far as the longest sequence.
std::vector<Setting> settings(const MixerInfo& m) {
  std::vector<Setting> all;
  for (const OptionHelp& o : m.options({.width = width}))
    if (o.name == "length") all.push_back({.name = "length", .value = std::to_string(longest)});
  return all;
}

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
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

// Operations of what f runs.
double counted_by(const auto& f) {
  Meter meter;
  f();
  return meter.flops();
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
  void read(int64_t T) const {
    State state;
    for (int64_t t = 0; t < T; t += piece) step(t, std::min(piece, T - t), &state);
  }
  // Seconds of a sequence, whole or as it is read, on average over a turn.
  double seconds(int64_t T, bool whole) const {
    const double begin = thread_seconds();
    int times = 0;
    double spent = 0;
    do {
      if (whole) step(0, T, nullptr);
      else read(T);
      spent = thread_seconds() - begin, ++times;
    } while (spent < turn);
    return spent / times;
  }
  State after(int64_t T) const {
    State state;
    for (int64_t t = 0, n = 0; t < T - 64; t += n) n = std::min(shortest, T - 64 - t), step(t, n, &state);   // room for those that follow
    return state;
  }
  // One token after those of a state, on average over 32.
  struct Decode { double seconds, flops; };
  Decode decode(const State& state) const {
    State s = state;
    const double flops = counted_by([&] { step(0, 1, &s); });               // what is shared is copied
    const double begin = thread_seconds();
    for (int i = 1; i <= 32; ++i) step(i, 1, &s);
    return {(thread_seconds() - begin) / 32, flops};
  }
};

bool holds(const MixerInfo& m) {
  const Bench b{.m = m};
  std::vector<double> lengths, flops, seconds, read;
  for (int64_t T = shortest; T <= longest; T *= 2) try {
      const double begin = thread_seconds();
      const double counted = counted_by([&] { b.step(0, T, nullptr); });    // and not timed: it meets fresh memory
      lengths.push_back(static_cast<double>(T)), flops.push_back(counted), seconds.push_back(1e9), read.push_back(1e9);
      if (4 * (thread_seconds() - begin) > patience && flops.back() > 2.5 * flops[flops.size() > 1 ? flops.size() - 2 : 0]) break;
    } catch (const Error&) {
      break;                                                                // longer than the mixer takes
    }
  if (lengths.size() < 2) {
    std::printf("%-18s takes no longer sequences than %ld tokens\n", m.doc->name, shortest);
    return true;
  }
  for (int round = 0; round < rounds; ++round)
    for (size_t i = 0; i < lengths.size(); ++i) {
      const auto T = static_cast<int64_t>(lengths[i]);
      seconds[i] = std::min(seconds[i], b.seconds(T, true));
      if (decodes(m)) read[i] = std::min(read[i], b.seconds(T, false));
    }
  const auto last = static_cast<int64_t>(lengths.back());
  const double theory = exponent(lengths, flops), fitted = exponent(lengths, seconds), as_read = decodes(m) ? exponent(lengths, read) : fitted;
  const bool log = std::string_view(m.doc->sequence).find("log T") != std::string_view::npos;
  const double most = log ? 1.15 : theory + 0.05;
  // The least of some rounds from both states by turns.
  Bench::Decode first{0, 1}, then{0, 1};
  size_t first_bytes = 0, then_bytes = 0;
  if (decodes(m)) {
    const State near = b.after(std::min(4 * shortest, last)), far = b.after(last);
    first = b.decode(near), then = b.decode(far), first_bytes = near.bytes(), then_bytes = far.bytes();
    for (int round = 1; round < 12; ++round)
      first.seconds = std::min(first.seconds, b.decode(near).seconds), then.seconds = std::min(then.seconds, b.decode(far).seconds);
  }
  const double grows = then.flops / first.flops;
  const bool time = (then_bytes <= 2 * first_bytes ? as_read : fitted) <= most;
  const bool decode = !decodes(m) || grows > 1.1 || (then.seconds < 1.5 * first.seconds && then_bytes == first_bytes);
  std::printf("%-18s %6.2f %6.2f %6.2f %7ldk %11.0f %11.0f %10.1f %10.1f %10zu %10zu  %s%s\n", m.doc->name, theory, fitted, as_read, last / 1024,
              lengths[0] / seconds[0], lengths.back() / seconds.back(), 1e6 * first.seconds, 1e6 * then.seconds, first_bytes, then_bytes,
              time ? "" : "time ", decode ? "" : "decode");
  std::fflush(stdout);
  return time && decode;
}

}  // namespace

int main(int argc, char** argv) {
  int first = 1;
  for (; first + 1 < argc && !std::strncmp(argv[first], "--", 2); first += 2)
    (!std::strcmp(argv[first], "--width") ? width : rounds) = std::atoi(argv[first + 1]);
  set_thread_count(1);
  std::printf("d = %d, one thread\n%-18s %6s %6s %6s %8s %11s %11s %10s %10s %10s %10s\n", width, "mixer", "theory", "whole", "read", "longest",
              "tokens/s 1k", "longest", "us/token 4k", "longest", "state 4k", "longest");
  std::string failed;
  for (const MixerInfo& m : mixers()) {
    bool wanted = first == argc;
    for (int i = first; i < argc; ++i) wanted = wanted || !std::strcmp(argv[i], m.doc->name);
    if (wanted && !holds(m)) failed += std::string(failed.empty() ? "" : ", ") + m.doc->name;
  }
  if (failed.empty()) return 0;
  std::fprintf(stderr, "growth: more than it should be: %s\n", failed.c_str());
  return 1;
}
