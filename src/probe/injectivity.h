// What attention's weights over n keys say of the query, measured without training (Han et al. 2024, 2412.06590; Fan et al. 2025, 2411.07635).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace headrace {

struct Injectivity {
  std::string map;                       // "softmax", "relu", "elu + 1", "relu, subtractive", ...
  double apart;                          // the largest L1 distance between the weights of q and of a q, a in {1.5, 2, 4}
  double collisions;                     // share of pairs q, a q with weights within 1e-3
  int rank;                              // singular values of the n x n weights over 1e-3 of the largest
};
// Keys and queries are normal; n keys of d dimensions; pairs are drawn for each map alike.
std::vector<Injectivity> measure_injectivity(int n, int d, int pairs, uint64_t seed);

}  // namespace headrace
