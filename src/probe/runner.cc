// The loop: draw, forward, loss, backward, clip, AdamW. Data come from the task by index, so a step needs nothing but its number.
#include "probe/runner.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "ops/ops.h"
#include "ops/tape.h"
#include "ops/training.h"
#include "ops/weights.h"
#include "probe/network.h"
#include "probe/results.h"
#include "train/optimizer.h"

namespace headrace {
namespace {

// Of each answer: cross entropy, or squared error.
Tensor losses(const Tensor& y, const Network::Asked& asked) {
  if (!asked.targets.empty()) return cross_entropy(y, asked.targets);
  const Tensor off = y - Tensor::from(std::span<const float>(asked.vectors), y.shape());
  return sum_columns(off * off);
}
// Whether it is right: the likeliest class, or the sign of a single number.
std::vector<uint8_t> right(const Tensor& y, const Network::Asked& asked, const ProbeBatch& batch) {
  std::vector<uint8_t> all;
  for (int64_t i = 0, width = y.dim(1); i < y.dim(0); ++i) {
    const auto at = static_cast<size_t>(i);
    const float* row = y.f32() + i * y.stride(0);
    if (asked.targets.empty()) {
      all.push_back(width == 1 && (row[0] > 0) == (asked.vectors[at] > 0));
      continue;
    }
    const auto best = static_cast<int32_t>(std::max_element(row, row + width) - row);
    const auto& also = batch.samples[static_cast<size_t>(asked.sample[at])].also;
    all.push_back(best == asked.targets[at] || std::any_of(also.begin(), also.end(), [&](const Sample::Also& a) {
      return a.at == asked.position[at] && a.token == best;
    }));
  }
  return all;
}

Scores test(const Network& net, const Task& task, uint64_t seed, Split split, int64_t samples, int64_t batch) {
  Scores out;
  double variance = 0;
  int32_t first = 0;                                         // answer
  std::map<int64_t, Scores::Bucket> buckets;
  for (int64_t from = 0; from < samples; from += batch) {
    const ProbeBatch b = draw_batch(task, seed, split, static_cast<uint64_t>(from), std::min(batch, samples - from));
    const Network::Asked asked = net.asked(b);
    const Tensor y = net.answers(b, asked), loss = losses(y, asked);
    const std::vector<uint8_t> good = right(y, asked, b);
    std::vector<uint8_t> whole(b.samples.size(), 1), traced(b.samples.size(), 1);
    for (size_t i = 0; i < good.size(); ++i) {
      const auto sample = static_cast<size_t>(asked.sample[i]);
      traced[sample] &= good[i];
      if (!asked.scored[i]) continue;
      whole[sample] &= good[i];
      int64_t upto = 1;
      while (upto <= asked.position[i]) upto *= 2;
      Scores::Bucket& bucket = buckets[upto];
      ++out.answers, ++bucket.answers;
      if (out.answers == 1 && !task.outputs) first = asked.targets[i];
      if (task.outputs || asked.targets[i] != first) out.varied = true;
      out.accuracy += good[i], bucket.accuracy += good[i];
      out.loss += loss.f32()[i], bucket.loss += loss.f32()[i];
      for (int k = 0; k < task.outputs; ++k) {
        const double want = asked.vectors[i * static_cast<size_t>(task.outputs) + static_cast<size_t>(k)];
        variance += want * want;
      }
    }
    for (const uint8_t w : whole) out.whole += w;
    for (const uint8_t t : traced) out.traced += t;
    out.samples += std::ssize(b.samples);
  }
  const double n = static_cast<double>(std::max<int64_t>(out.answers, 1));
  out.accuracy = task.outputs ? 1 - out.loss / variance : out.accuracy / n;
  out.error = task.outputs ? 0 : std::sqrt(out.accuracy * (1 - out.accuracy) / n);
  out.loss /= n, out.whole /= static_cast<double>(out.samples), out.traced /= static_cast<double>(out.samples);
  for (auto& [upto, b] : buckets) {
    const double m = static_cast<double>(b.answers);
    out.by_position.push_back({upto - 1, b.accuracy / m, b.loss / m, b.answers});
  }
  return out;
}

// The mean share of its weights that attention, of any kind, gives to a token and the three before it (locality: Han et al. 2024, 2412.06590);
// empty where there is none, or sequences are too long to look at.
std::optional<double> near_share(const Network& net, const Task& task, uint64_t seed) {
  constexpr int64_t most_tokens = 2048, near = 3;
  ProbeBatch b;
  for (uint64_t i = 0; i < 16; ++i) {
    b.samples.push_back(task.sample(seed, Split::test, i));
    if (b.tokens() <= most_tokens) continue;
    b.samples.pop_back();
    break;
  }
  if (b.samples.empty()) return {};
  double sum = 0;
  int64_t rows = 0;
  const WatchWeights watch([&](const Tensor& w, const Sequences& sequences) {
    if (sequences.tokens() != b.tokens()) return;          // several writes a token
    const int64_t H = w.dim(1), T = w.dim(2);
    for (int s = 0; s < sequences.count(); ++s)
      for (int64_t i = 0, n = sequences.offsets[s + 1] - sequences.offsets[s]; i < n; ++i)
        for (int64_t h = 0; h < H; ++h) {
          const float* row = w.f32() + ((sequences.offsets[s] + i) * H + h) * T;
          double all = 0, close = 0;
          for (int64_t j = 0; j < n; ++j) all += std::abs(row[j]), close += std::abs(i - j) <= near ? std::abs(row[j]) : 0;
          if (all > 0) sum += close / all, ++rows;
        }
  });
  net.answers(b, net.asked(b));
  return rows ? std::optional(sum / static_cast<double>(rows)) : std::nullopt;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu_seconds() {                                     // of this thread
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

Value to_value(const Scores& s) {
  const auto loss = [](double x) { return std::isfinite(x) ? Value(x) : Value(); };
  Array by;
  for (const Scores::Bucket& b : s.by_position)
    by.push_back(Object{{"upto", b.upto}, {"accuracy", b.accuracy}, {"loss", loss(b.loss)}, {"answers", b.answers}});
  return Object{{"accuracy", s.accuracy}, {"standard_error", s.error}, {"whole", s.whole}, {"traced", s.traced}, {"loss", loss(s.loss)},
                {"answers", s.answers}, {"samples", s.samples}, {"by_position", by}};
}

Object run_cell(const Cell& cell, const std::function<void(int64_t, double, const Scores*)>& progress) {
  const double begin = seconds(), cpu_begin = cpu_seconds();
  const Task task = open_task(cell.task, cell.set);
  const std::vector<Task> tests = tests_of(cell);
  const Network net(task, cell.blueprint, cell.seed);
  const SchedulePart rate{.kind = "cosine", .warmup = 0.05, .final = 0.05, .fall = 0};
  std::unique_ptr<Optimizer> optimizer;
  Array curve;
  int64_t step = 0, diverged = 0;                          // diverged: the step that could not be made
  while (step < cell.steps) {
    const ProbeBatch batch = draw_batch(task, cell.seed, Split::train, static_cast<uint64_t>(step * cell.batch), cell.batch);
    const Network::Asked asked = net.asked(batch);
    if (!optimizer) {
      net.answers(batch, asked);                           // declares the parameters
      optimizer = std::make_unique<Optimizer>(
          OptimizerPart{.kind = "adamw", .rate = cell.rate, .beta1 = 0.9, .beta2 = cell.beta, .eps = 1e-8, .decay = cell.decay, .momentum = 0,
                        .groups = {}}, net.parameters());
    }
    Tape tape;
    for (const Parameter& p : optimizer->parameters()) tape.watch(p.value);
    Tensor own;
    const Tensor each = losses(net.answers(batch, asked, &own), asked);
    const Tensor mean = 1 / static_cast<float>(each.count()) * sum_columns(each.view({1, each.count()}));
    tape.backward(own ? mean + own : mean);
    const double loss = mean.f32()[0];
    std::vector<Tensor> gradients;
    double square = 0;
    for (const Parameter& p : optimizer->parameters()) {
      gradients.push_back(tape.gradient(p.value));
      if (gradients.back()) square += square_sum(gradients.back());
    }
    const double norm = std::sqrt(square);
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      diverged = step + 1;
      break;
    }
    optimizer->step(gradients, schedule(rate, step + 1, cell.steps), static_cast<float>(norm > cell.clip ? cell.clip / norm : 1));
    ++step;
    if (step % cell.every && step < cell.steps) {
      if (progress) progress(step, loss, nullptr);
      continue;
    }
    PauseTape pause;
    const Scores valid = test(net, task, cell.seed, Split::valid, cell.samples, cell.batch);
    curve.push_back(Object{{"step", step}, {"loss", loss}, {"valid", std::isfinite(valid.accuracy) ? Value(valid.accuracy) : Value()}});
    if (progress) progress(step, loss, &valid);
    if (!std::isfinite(valid.loss)) {
      diverged = step + 1;
      break;
    }
    if (valid.accuracy >= cell.until && valid.varied) break;
  }
  PauseTape pause;
  const int64_t tokens = task.sample(cell.seed, Split::train, 0).length();
  int64_t parameters = 0;
  for (const Parameter& p : optimizer->parameters()) parameters += p.value.count();
  Array tested;
  for (size_t i = 0; i < tests.size(); ++i) {
    Scores s;                                              // all wrong, as also where what was not trained alone is not finite
    s.loss = NAN;
    if (!diverged)
      if (Scores t = test(net, tests[i], cell.seed, Split::test, cell.samples, cell.batch); std::isfinite(t.loss + t.accuracy)) s = std::move(t);
    Object o = *to_value(s).get<Object>();
    o["set"] = texts(cell.tests[i]), o["parameters"] = tests[i].parameters;
    tested.push_back(o);
  }
  const std::optional<double> near = diverged ? std::nullopt : near_share(net, task, cell.seed);
  Array grid;
  for (const auto& [k, v] : cell.grid) grid.push_back(k + "=" + v);
  Object result{{"key", cell.key()}, {"task", cell.task}, {"parameters", task.parameters}, {"label", cell.label}, {"blueprint", net.blueprint()},
          {"seed", static_cast<int64_t>(cell.seed)},
          {"rate", cell.rate}, {"steps", step}, {"weights", parameters}, {"state_bytes", net.state_bytes(tokens)},
          {"state_tokens", tokens}, {"seconds", seconds() - begin},
          {"cpu_seconds", cpu_seconds() - cpu_begin}, {"grid", grid}, {"curve", curve}, {"tests", tested}};
  if (near) result["near"] = *near;
  if (diverged) result["diverged"] = diverged;
  return result;
}

}  // namespace headrace
