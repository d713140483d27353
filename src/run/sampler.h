// From logits to a token. In this order: repetition penalty (Keskar et al. 2019, 1909.05858) and presence penalty over
// what was already said, temperature, top-k (Fan et al. 2018, 1805.04833), top-p (Holtzman et al. 2019, 1904.09751),
// min-p (Nguyen et al. 2024, 2407.01082), then one draw of a counter-based generator: the n-th token of a seed is the
// same whatever was drawn elsewhere.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"

namespace headrace {

struct SampleOptions {
  double temperature = 0.8;              // 0: the likeliest token
  int64_t top_k = 40;                    // 0: all
  double top_p = 0.95;                   // 1: all
  double min_p = 0.05;                   // of the likeliest token's probability; 0: all
  double repetition = 1;                 // logits of said tokens are divided (positive) or multiplied (negative) by it
  double presence = 0;                   // subtracted once from logits of said tokens
  int64_t penalty_window = 256;          // tokens back that count as said; 0: all
  uint64_t seed = 0;
};
void check(const SampleOptions& o);      // throws Error for values without meaning

class Sampler {
 public:
  explicit Sampler(SampleOptions options, uint64_t row = 0);   // rows of a batch draw different numbers of one seed
  int32_t next(std::span<const float> logits, std::span<const int32_t> said);
  const SampleOptions& options() const { return options_; }

 private:
  SampleOptions options_;
  Philox random_;
  uint64_t drawn_ = 0;
  std::vector<float> penalised_;
  struct Candidate { float logit; int32_t id; };
  std::vector<Candidate> candidates_;
};

int32_t likeliest(std::span<const float> logits);                     // the lowest id among equals; Error when none is finite
double log_probability(std::span<const float> logits, int32_t id);    // under the model itself: no temperature, no cuts
struct Scored { int32_t id; double log_probability; };
std::vector<Scored> top_log_probabilities(std::span<const float> logits, size_t n);   // best first

}  // namespace headrace
