// headrace bench: load, prefill and decode on made-up tokens, a fresh state each time; medians, and in JSON every repeat.
#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "run/session.h"

namespace headrace::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  int64_t prompt = 512, gen = 128, repeats = 3, chunk = prefill_chunk;
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v.size() % 2 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}
Array list(const std::vector<double>& v) { return {v.begin(), v.end()}; }

int act(const Options& given) {
  Options o = given;
  Clock load;
  Loaded loaded = open(o.model, o.common);
  const double load_ms = 1e3 * load.seconds();
  const Decoder& d = loaded.model.decoder;
  const bool whole = !d.sees_later.empty();              // nothing is carried on: there is no decoding
  if (whole && o.gen > 0) {
    o.gen = 0;
    fmt::print(stderr, "{}: {} sees later tokens: only the prompt is measured\n", loaded.name, d.sees_later);
  }
  const bool ends = d.positions || loaded.model.family == "blueprint";   // what else has a context only makes less sense beyond it
  if (const int64_t all = o.prompt + o.gen, most = ends && loaded.model.context > 0 ? loaded.model.context : all; all > most) {
    o.prompt = o.prompt * most / all, o.gen = most - o.prompt;           // both, in proportion
    fmt::print(stderr, "{}: {} {}: measured with --prompt {} --gen {}\n", loaded.name, most, d.positions ? "learned positions" : "tokens at the most",
               o.prompt, o.gen);
  }
  auto prefill_of = [&](std::span<const int32_t> tokens, State& s) {
    if (whole) {
      Batch all;
      all.add(std::ssize(tokens));
      s.last_logits = copy_to(d.logits(d.hidden(tokens, all).slice(0, std::ssize(tokens) - 1, 1)), Device::cpu);
    } else {
      feed(d, tokens, s, o.chunk);
    }
  };
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < std::max<int64_t>(o.prompt, 1); ++i) ids.push_back(static_cast<int32_t>((i * 7919 + 104729) % d.vocab));
  {
    State s;
    prefill_of(std::span(ids).first(1), s);
  }
  const double first_ms = 1e3 * seconds_since_start();
  std::vector<double> prefill, decode;
  size_t state_bytes = 0;
  Progress progress("bench", static_cast<double>(o.repeats * (o.prompt + o.gen)), "tokens");
  for (int64_t r = 0; r < o.repeats; ++r) {
    State s;
    Clock c;
    if (o.prompt > 0) {
      prefill_of(ids, s);
      prefill.push_back(static_cast<double>(o.prompt) / c.seconds());
    }
    progress.at(static_cast<double>(r * (o.prompt + o.gen) + o.prompt));
    Clock g;
    int32_t id = o.prompt > 0 ? likeliest(s.last_logits.floats()) : ids[0];
    for (int64_t i = 0; i < o.gen; ++i) {
      feed(d, {&id, 1}, s);
      id = likeliest(s.last_logits.floats());
    }
    if (o.gen > 0) decode.push_back(static_cast<double>(o.gen) / g.seconds());
    progress.at(static_cast<double>((r + 1) * (o.prompt + o.gen)));
    state_bytes = s.bytes();
  }
  const size_t peak = peak_rss_bytes();
  if (o.common.json) {
    print_json(Object{{"model", loaded.name}, {"family", loaded.model.family}, {"device", o.common.device}, {"threads", thread_count()},
                      {"prompt", o.prompt}, {"gen", o.gen}, {"reps", o.repeats}, {"load_ms", load_ms}, {"first_token_ms", first_ms},
                      {"prefill_tps", median(prefill)}, {"decode_tps", median(decode)}, {"prefill_tps_all", list(prefill)},
                      {"decode_tps_all", list(decode)}, {"peak_rss_bytes", static_cast<int64_t>(peak)},
                      {"state_bytes", static_cast<int64_t>(state_bytes)}, {"file_bytes", static_cast<int64_t>(loaded.file_bytes)}});
    return 0;
  }
  fmt::print("{} on {}, {} threads\n", bold(loaded.name), o.common.device, thread_count());
  fmt::print("load          {:10.1f} ms\nfirst token   {:10.1f} ms\n", load_ms, first_ms);
  if (o.prompt > 0) fmt::print("prefill {:5} {:10.1f} tokens/s\n", o.prompt, median(prefill));
  if (o.gen > 0) fmt::print("decode  {:5} {:10.1f} tokens/s\n", o.gen, median(decode));
  fmt::print("peak memory   {:>10}   state {}   weights in the file {}\n", bytes_text(static_cast<double>(peak)),
             bytes_text(static_cast<double>(state_bytes)), bytes_text(static_cast<double>(loaded.file_bytes)));
  return 0;
}

}  // namespace

void add_bench(Command& root) {
  auto o = std::make_shared<Options>();
  Command c = root.verb("bench", "measure load time, prefill and decode rates, memory");
  c.about("Rates are medians over the repetitions. Decoding continues the prompt, greedily. first_token_ms counts from the start of "
          "the process to the logits after one token; load_ms opens the model.");
  c.argument("MODEL", o->model, model_help, false);
  c.option("--prompt", o->prompt, "N", "tokens to prefill").range("--prompt", 0, 1 << 24);
  c.option("--gen", o->gen, "N", "tokens to decode").range("--gen", 0, 1 << 24);
  c.option("--reps", o->repeats, "N", "repetitions").range("--reps", 1, 10000);
  c.option("--chunk", o->chunk, "N", "tokens of a prefill chunk").range("--chunk", 1, 1 << 20);
  o->common.add(c);
  c.example("headrace bench MODEL --prompt 512 --gen 128 --threads 2 --json", "one JSON object with prefill_tps, decode_tps, ...");
  c.action([o] { return act(*o); });
}

}  // namespace headrace::cli
