// Long filters as modes: a model of hyenas becomes one whose state is constant, without training (Massaroli et al. 2023, 2310.18780).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace headrace {

struct DistilledFilters {                // of one layer
  std::string name;                      // "layers.3.0.hyena"
  int64_t filters, taps;
  double relative;                       // root of the squared error over all taps and filters, over that of the filters
  double bound;                          // of the filter that is met worst: |y - y'| <= bound max |u|
};
struct DistilledModel {
  std::string before, after;             // blueprints
  std::vector<DistilledFilters> layers;
  size_t state_before, state_after;      // bytes of a sequence that do not grow with it
  bool tokenizer;                        // false: there was none to carry over
};
// in: a folder with a blueprint's config.json, as `headrace train` leaves it, or a blueprint, with parameters as they begin. out: a folder
// that is not there yet, or empty. `tell` hears of each layer once it is fitted. Other tensors stay as they are, bit by bit.
DistilledModel distill_modes(const std::string& in, const std::string& out, int modes,
                             const std::function<void(const DistilledFilters&, size_t of)>& tell = {});

}  // namespace headrace
