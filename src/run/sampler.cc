// Sampling (papers: sampler.h) without a sort of the vocabulary: cuts take the likeliest from a heap as far as they need them, and
// the likeliest of all is found in blocks.
#include "run/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace headrace {

void check(const SampleOptions& o) {
  expect(o.temperature >= 0 && std::isfinite(o.temperature), "temperature: wanted 0 or more, found ", o.temperature);
  expect(o.top_k >= 0, "top-k: wanted 0 or more, found ", o.top_k);
  expect(o.top_p > 0 && o.top_p <= 1, "top-p: wanted above 0 and at most 1, found ", o.top_p);
  expect(o.min_p >= 0 && o.min_p <= 1, "min-p: wanted 0 to 1, found ", o.min_p);
  expect(o.repetition > 0 && std::isfinite(o.repetition), "repetition penalty: wanted above 0, found ", o.repetition);
  expect(std::isfinite(o.presence), "presence penalty: wanted a number, found ", o.presence);
  expect(o.penalty_window >= 0, "penalty window: wanted 0 or more, found ", o.penalty_window);
}

Sampler::Sampler(SampleOptions options, uint64_t row) : options_(options), random_{.seed = options.seed, .stream = row} { check(options); }

// In blocks, each by sixteen places that do not wait for each other. -inf, which says never, is a number; NaN is none.
int32_t likeliest(std::span<const float> logits) {
  expect(!logits.empty(), "no logits to choose from");
  constexpr size_t places = 16, block = 512;
  float top = -INFINITY;
  bool none = false;                               // something that is no number
  size_t best = 0, i = 0;                          // best: the block where top is, then its place
  for (; i + block <= logits.size(); i += block) {
    float most[places];
    std::fill(most, most + places, -INFINITY);
    int nans[places] = {};
    for (size_t j = i; j < i + block; j += places)
      for (size_t k = 0; k < places; ++k) {
        const float x = logits[j + k];
        most[k] = x > most[k] ? x : most[k], nans[k] |= x != x;
      }
    none |= std::any_of(nans, nans + places, [](int n) { return n != 0; });
    const float m = *std::max_element(most, most + places);
    if (m > top) top = m, best = i;
  }
  for (; i < logits.size(); ++i) {
    if (logits[i] > top) top = logits[i], best = i;
    none |= std::isnan(logits[i]);
  }
  expect(std::isfinite(top) && !none, "the model's logits are not finite; its weights are broken or of another kind");
  while (logits[best] != top) ++best;
  return static_cast<int32_t>(best);
}

namespace {
double log_sum_exp(std::span<const float> logits) {
  const double top = logits[static_cast<size_t>(likeliest(logits))];
  double sum = 0;
  for (float x : logits) sum += std::exp(x - top);
  return top + std::log(sum);
}
}  // namespace

double log_probability(std::span<const float> logits, int32_t id) {
  expect(id >= 0 && static_cast<size_t>(id) < logits.size(), "token ", id, " is outside the vocabulary of ", logits.size());
  return logits[static_cast<size_t>(id)] - log_sum_exp(logits);
}
std::vector<Scored> top_log_probabilities(std::span<const float> logits, size_t n) {
  const double total = log_sum_exp(logits);        // first: it refuses NaN, which has no place in an order
  std::vector<int32_t> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  n = std::min(n, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n), ids.end(),
                    [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::vector<Scored> best;
  for (size_t i = 0; i < n; ++i) best.push_back({ids[i], logits[ids[i]] - total});
  return best;
}

int32_t Sampler::next(std::span<const float> logits, std::span<const int32_t> said) {
  const SampleOptions& o = options_;
  if ((o.repetition != 1 || o.presence != 0) && !said.empty()) {
    if (o.penalty_window > 0 && said.size() > static_cast<size_t>(o.penalty_window)) said = said.last(static_cast<size_t>(o.penalty_window));
    std::vector<int32_t> once(said.begin(), said.end());
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
    penalised_.assign(logits.begin(), logits.end());
    for (int32_t id : once) {
      if (id < 0 || static_cast<size_t>(id) >= penalised_.size()) continue;
      float& x = penalised_[static_cast<size_t>(id)];
      x = static_cast<float>((x > 0 ? x / o.repetition : x * o.repetition) - o.presence);
    }
    logits = penalised_;
  }
  const int32_t best = likeliest(logits);
  if (o.temperature == 0 || o.top_k == 1) return best;

  // Probabilities relative to the likeliest token. min-p is known at once; the rest needs them in order, taken from a
  // heap as far as they are needed.
  const double top = logits[static_cast<size_t>(best)];
  auto relative = [&](float x) { return std::exp((x - top) / o.temperature); };
  // min-p is relative to the likeliest token, which every cut keeps, so it may come first without changing the result
  // except through top-p's total, which is taken over all of top-k.
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    if (std::isfinite(logits[i])) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  auto less = [](const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit < b.logit : a.id > b.id; };
  size_t keep = candidates_.size();
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < keep) {
    keep = static_cast<size_t>(o.top_k);
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(keep), candidates_.end(),
                     [&](const Candidate& a, const Candidate& b) { return less(b, a); });
    candidates_.resize(keep);
  }
  double total = 0;
  for (const Candidate& c : candidates_) total += relative(c.logit);
  std::make_heap(candidates_.begin(), candidates_.end(), less);
  std::vector<Candidate> kept;
  std::vector<double> sums;
  double sum = 0;
  for (size_t left = candidates_.size(); left > 0; --left) {
    std::pop_heap(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(left), less);
    const Candidate& c = candidates_[left - 1];
    const double p = relative(c.logit);
    if (!kept.empty() && (p < o.min_p || sum >= o.top_p * total)) break;
    sum += p;
    kept.push_back(c);
    sums.push_back(sum);
  }
  const double u = random_.uniform(drawn_++) * sum;
  const size_t at = static_cast<size_t>(std::lower_bound(sums.begin(), sums.end(), u) - sums.begin());
  return kept[std::min(at, kept.size() - 1)].id;
}

}  // namespace headrace
