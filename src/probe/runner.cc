// The loop: draw, forward, loss by hand, backward, clip, AdamW. Data come from the task by index, so a step needs nothing but its number.
#include "probe/runner.h"

#include <time.h>

#include <chrono>
#include <cmath>
#include <map>

#include "base/error.h"
#include "ops/tape.h"
#include "probe/network.h"

namespace headrace {
namespace {

struct AdamW {
  std::vector<Parameter> parameters;
  std::vector<std::vector<float>> first, second;
  int64_t steps = 0;
  explicit AdamW(std::vector<Parameter> p) : parameters(std::move(p)) {
    for (const Parameter& x : parameters) first.emplace_back(x.value.count()), second.emplace_back(x.value.count());
  }
  // Gradients are scaled to a norm of at most clip; gives the norm they had.
  double step(const Tape& tape, const Cell& c, double rate) {
    std::vector<Tensor> gradients;
    double square = 0;
    for (const Parameter& p : parameters) {
      gradients.push_back(tape.gradient(p.value));
      if (gradients.back()) for (const float g : gradients.back().floats()) square += double{g} * g;
    }
    const double norm = std::sqrt(square);
    const float scale = static_cast<float>(norm > c.clip ? c.clip / norm : 1);
    ++steps;
    const float a = 0.9f, b = static_cast<float>(c.beta);
    const double bias = std::sqrt(1 - std::pow(c.beta, steps)) / (1 - std::pow(0.9, steps));
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (!gradients[i]) continue;
      const Parameter& p = parameters[i];
      // Transitions of state spaces and the like are published with rates of at most 1e-3 and no decay.
      const double own = p.group.empty() ? rate : std::min(rate, 1e-3);
      const float size = static_cast<float>(own * bias), keep = static_cast<float>(p.decay ? 1 - own * c.decay : 1);
      float *w = p.value.f32(), *m = first[i].data(), *v = second[i].data();
      const float* g = gradients[i].f32();
      for (int64_t k = 0, n = p.value.count(); k < n; ++k) {
        const float x = scale * g[k];
        m[k] = a * m[k] + (1 - a) * x, v[k] = b * v[k] + (1 - b) * x * x;
        w[k] = keep * w[k] - size * m[k] / (std::sqrt(v[k]) + 1e-8f);
      }
    }
    return norm;
  }
};

// What each answer costs, and whether it is right; gradient, where wanted, of the mean over all learned answers.
struct Judged { std::vector<double> loss; std::vector<uint8_t> right; std::vector<double> variance; };
Judged judge(const Tensor& y, const Network::Asked& asked, const ProbeBatch& batch, Tensor* gradient = nullptr) {
  const int64_t n = y.dim(0), width = y.dim(1);
  Judged j{std::vector<double>(static_cast<size_t>(n)), std::vector<uint8_t>(static_cast<size_t>(n)), {}};
  if (gradient) *gradient = Tensor::empty(y.shape());
  for (int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<size_t>(i);
    const float* row = y.f32() + i * y.stride(0);
    float* d = gradient ? gradient->f32() + i * width : nullptr;
    if (asked.targets.empty()) {
      double variance = 0;
      for (int64_t k = 0; k < width; ++k) {
        const double want = asked.vectors[static_cast<size_t>(i * width + k)], off = row[k] - want;
        j.loss[at] += off * off, variance += want * want;
        if (d) d[k] = static_cast<float>(2 * off / static_cast<double>(n));
      }
      j.variance.push_back(variance);
      j.right[at] = width == 1 && (row[0] > 0) == (asked.vectors[at] > 0);
      continue;
    }
    const int32_t target = asked.targets[at];
    int64_t best = 0;
    for (int64_t k = 1; k < width; ++k) if (row[k] > row[best]) best = k;
    double sum = 0;
    for (int64_t k = 0; k < width; ++k) sum += std::exp(row[k] - row[best]);
    j.loss[at] = std::log(sum) + row[best] - row[target];
    j.right[at] = best == target;
    for (const Sample::Also& a : batch.samples[static_cast<size_t>(asked.sample[at])].also)
      j.right[at] |= a.at == asked.position[at] && a.token == best;
    for (int64_t k = 0; d && k < width; ++k)
      d[k] = static_cast<float>((std::exp(row[k] - row[best]) / sum - (k == target)) / static_cast<double>(n));
  }
  return j;
}

double mean(const std::vector<double>& v) {
  double s = 0;
  for (const double x : v) s += x;
  return v.empty() ? 0 : s / static_cast<double>(v.size());
}

Scores test(const Network& net, const Task& task, uint64_t seed, Split split, int64_t samples, int64_t batch) {
  Scores out;
  double variance = 0;
  std::map<int64_t, Scores::Bucket> buckets;
  for (int64_t from = 0; from < samples; from += batch) {
    const ProbeBatch b = draw_batch(task, seed, split, static_cast<uint64_t>(from), std::min(batch, samples - from));
    const Network::Asked asked = net.asked(b);
    const Judged j = judge(net.answers(b, asked), asked, b);
    std::vector<uint8_t> whole(b.samples.size(), 1), traced(b.samples.size(), 1);
    for (size_t i = 0; i < j.loss.size(); ++i) {
      const auto sample = static_cast<size_t>(asked.sample[i]);
      traced[sample] &= j.right[i];
      if (!asked.scored[i]) continue;
      whole[sample] &= j.right[i];
      int64_t upto = 1;
      while (upto <= asked.position[i]) upto *= 2;
      Scores::Bucket& bucket = buckets[upto];
      ++out.answers, ++bucket.answers;
      out.accuracy += j.right[i], bucket.accuracy += j.right[i];
      out.loss += j.loss[i], bucket.loss += j.loss[i];
      if (!j.variance.empty()) variance += j.variance[i];
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

// Rises over the first twentieth, then falls as a cosine to a twentieth.
double share_of_rate(int64_t step, int64_t steps) {
  const double at = static_cast<double>(step) / static_cast<double>(steps);
  return std::min(1.0, 20 * (at + 1 / static_cast<double>(steps))) * (0.05 + 0.95 * 0.5 * (1 + std::cos(3.141592653589793 * at)));
}

Array texts(const std::vector<std::string>& v) { return {v.begin(), v.end()}; }
double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu_seconds() {                                     // of this thread
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

std::string Cell::key() const {
  Array t;
  for (const auto& s : tests) t.push_back(texts(s));
  return to_json(Object{{"task", task}, {"blueprint", blueprint}, {"set", texts(set)}, {"tests", t}, {"seed", static_cast<int64_t>(seed)},
                        {"rate", rate}, {"decay", decay}, {"clip", clip}, {"beta", beta}, {"steps", steps}, {"batch", batch}, {"samples", samples},
                        {"every", every}, {"until", until}});
}

Value to_value(const Scores& s) {
  Array by;
  for (const Scores::Bucket& b : s.by_position)
    by.push_back(Object{{"upto", b.upto}, {"accuracy", b.accuracy}, {"loss", b.loss}, {"answers", b.answers}});
  return Object{{"accuracy", s.accuracy}, {"standard_error", s.error}, {"whole", s.whole}, {"traced", s.traced}, {"loss", s.loss},
                {"answers", s.answers}, {"samples", s.samples}, {"by_position", by}};
}

Object run_cell(const Cell& cell, const std::function<void(int64_t, double, const Scores*)>& progress) {
  const double begin = seconds(), cpu_begin = cpu_seconds();
  const Task task = open_task(cell.task, cell.set);
  std::vector<Task> tests;
  for (const auto& extra : cell.tests) {                   // a parameter that is given again stands in place of the first
    std::vector<std::string> set;
    for (const std::string& s : cell.set) {
      const std::string name = s.substr(0, s.find('=') + 1);
      if (std::none_of(extra.begin(), extra.end(), [&](const std::string& e) { return e.starts_with(name); })) set.push_back(s);
    }
    set.insert(set.end(), extra.begin(), extra.end());
    tests.push_back(open_task(cell.task, set));
    const Task& t = tests.back();
    expect(t.vocab == task.vocab && t.inputs == task.inputs && t.outputs == task.outputs, "probe ", cell.task, ": tested with ", t.parameters,
           " it has a vocabulary of ", t.vocab, ", trained one of ", task.vocab);
  }
  const Network net(task, cell.blueprint, cell.seed);
  std::unique_ptr<AdamW> optimizer;
  Array curve;
  int64_t step = 0;
  while (step < cell.steps) {
    const ProbeBatch batch = draw_batch(task, cell.seed, Split::train, static_cast<uint64_t>(step * cell.batch), cell.batch);
    const Network::Asked asked = net.asked(batch);
    if (!optimizer) {
      net.answers(batch, asked);                           // declares the parameters
      optimizer = std::make_unique<AdamW>(net.parameters());
    }
    Tape tape;
    for (const Parameter& p : optimizer->parameters) tape.watch(p.value);
    const Tensor y = net.answers(batch, asked);
    Tensor dy;
    const double loss = mean(judge(y, asked, batch, &dy).loss);
    tape.backward(y, dy);
    expect(std::isfinite(loss), "probe ", cell.task, ": the loss is ", loss, " at step ", step, " of ", cell.blueprint, ", rate ", cell.rate);
    optimizer->step(tape, cell, cell.rate * share_of_rate(step, cell.steps));
    ++step;
    if (step % cell.every && step < cell.steps) {
      if (progress) progress(step, loss, nullptr);
      continue;
    }
    PauseTape pause;
    const Scores valid = test(net, task, cell.seed, Split::valid, cell.samples, cell.batch);
    curve.push_back(Object{{"step", step}, {"loss", loss}, {"valid", valid.accuracy}});
    if (progress) progress(step, loss, &valid);
    if (valid.accuracy >= cell.until) break;
  }
  PauseTape pause;
  const int64_t tokens = task.sample(cell.seed, Split::train, 0).length();
  int64_t parameters = 0;
  for (const Parameter& p : optimizer->parameters) parameters += p.value.count();
  Array tested;
  for (size_t i = 0; i < tests.size(); ++i) {
    Value v = to_value(test(net, tests[i], cell.seed, Split::test, cell.samples, cell.batch));
    Object o = *v.get<Object>();
    o["set"] = texts(cell.tests[i]), o["parameters"] = tests[i].parameters;
    tested.push_back(o);
  }
  Array grid;
  for (const auto& [k, v] : cell.grid) grid.push_back(k + "=" + v);
  return {{"key", cell.key()}, {"task", cell.task}, {"parameters", task.parameters}, {"label", cell.label}, {"blueprint", net.blueprint()},
          {"seed", static_cast<int64_t>(cell.seed)},
          {"rate", cell.rate}, {"steps", step}, {"weights", parameters}, {"state_bytes", net.state_bytes(tokens)},
          {"state_tokens", tokens}, {"seconds", seconds() - begin},
          {"cpu_seconds", cpu_seconds() - cpu_begin}, {"grid", grid}, {"curve", curve}, {"tests", tested}};
}

}  // namespace headrace
