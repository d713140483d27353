// Which elements of a row are its largest: the one definition, for all that run on the CPU.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace headrace {

// The k largest of n, largest first. Equal ones come in the order in which the standard library's selection leaves them, as
// in torch on a CPU.
inline void top_of_row(const float* x, int64_t n, int64_t k, std::vector<std::pair<float, int64_t>>& row, float* values, int64_t* columns) {
  const auto larger = [](const auto& a, const auto& b) { return (std::isnan(a.first) && !std::isnan(b.first)) || a.first > b.first; };
  row.clear();
  for (int64_t j = 0; j < n; ++j) row.emplace_back(x[j], j);
  if (k * 64 <= n) {
    std::partial_sort(row.begin(), row.begin() + k, row.end(), larger);
  } else if (k > 0) {
    std::nth_element(row.begin(), row.begin() + k - 1, row.end(), larger);
    std::sort(row.begin(), row.begin() + k - 1, larger);
  }
  for (int64_t j = 0; j < k; ++j) values[j] = row[static_cast<size_t>(j)].first, columns[j] = row[static_cast<size_t>(j)].second;
}

}  // namespace headrace
