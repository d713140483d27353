// Weights of a query over keys, w(q), which sum to 1:
//   softmax      exp(q k_j / sqrt d) / sum
//   linear       phi(q) phi(k_j) / sum_m phi(q) phi(k_m): for phi that scales with its argument, w(a q) = w(q)
//   subtractive  phi(q) phi(k_j) - mean_m phi(q) phi(k_m) + 1/n: told apart, still of linear cost
// The rank is by one-sided Jacobi rotations of the n x n matrix of all weights, without a mask.
#include "probe/injectivity.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "probe/dice.h"

namespace headrace {
namespace {

using Vector = std::vector<double>;
using Phi = std::function<double(double)>;
struct Map { const char* name; Phi phi; bool subtractive; };             // no phi: softmax

double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

Vector weights(const Map& map, Vector q, const std::vector<Vector>& keys) {
  Vector w;
  if (map.phi) std::transform(q.begin(), q.end(), q.begin(), map.phi);
  for (Vector k : keys) {
    if (map.phi) std::transform(k.begin(), k.end(), k.begin(), map.phi);
    w.push_back(dot(q, k));
  }
  const double n = static_cast<double>(keys.size());
  if (!map.phi) {
    const double most = *std::max_element(w.begin(), w.end()), scale = 1 / std::sqrt(static_cast<double>(q.size()));
    for (double& x : w) x = std::exp((x - most) * scale);
  }
  const double sum = std::accumulate(w.begin(), w.end(), 0.0);
  for (double& x : w) x = map.subtractive ? x - sum / n + 1 / n : x / sum;
  return w;
}

// Columns are turned against each other until all are at right angles; their lengths then are the singular values (Hestenes 1958).
int rank(std::vector<Vector> a) {
  const size_t n = a.size();
  for (int sweep = 0, turned = 1; sweep < 60 && turned; ++sweep) {
    turned = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = i + 1; j < n; ++j) {
        const double p = dot(a[i], a[i]), q = dot(a[j], a[j]), r = dot(a[i], a[j]);
        if (std::abs(r) <= 1e-12 * std::sqrt(p * q) || r == 0) continue;
        turned = 1;
        const double z = (q - p) / (2 * r), t = (z >= 0 ? 1 : -1) / (std::abs(z) + std::sqrt(1 + z * z)), c = 1 / std::sqrt(1 + t * t);
        for (size_t k = 0; k < a[i].size(); ++k) {
          const double x = a[i][k], y = a[j][k];
          a[i][k] = c * (x - t * y), a[j][k] = c * (t * x + y);
        }
      }
  }
  Vector length;
  for (const Vector& v : a) length.push_back(std::sqrt(dot(v, v)));
  const double most = *std::max_element(length.begin(), length.end());
  return static_cast<int>(std::count_if(length.begin(), length.end(), [&](double s) { return s > 1e-3 * most; }));
}

}  // namespace

std::vector<Injectivity> measure_injectivity(int n, int d, int pairs, uint64_t seed) {
  expect(n > 1 && n <= 512 && d > 0 && pairs >= n, "injectivity: n = ", n, ", d = ", d, ", pairs = ", pairs,
         ": wanted n in 2..512, d over 0, pairs from n");
  const auto relu = [](double x) { return std::max(x, 0.0); };
  const auto elu = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
  const std::vector<Map> maps{{"softmax", nullptr, false}, {"relu", relu, false}, {"elu + 1", elu, false},
                              {"relu, subtractive", relu, true}, {"elu + 1, subtractive", elu, true}};
  std::vector<Injectivity> all;
  for (const Map& map : maps) {
    Dice dice(seed, 0x696e6a, 0);
    const auto normals = [&] { Vector v(static_cast<size_t>(d)); for (double& x : v) x = dice.normal(); return v; };
    std::vector<Vector> keys, rows;
    for (int i = 0; i < n; ++i) keys.push_back(normals());
    Injectivity out{map.name, 0, 0, 0};
    int same = 0;
    for (int i = 0; i < pairs; ++i) {
      Vector q = normals();
      const Vector w = weights(map, q, keys);
      const double a = std::array{1.5, 2.0, 4.0}[static_cast<size_t>(dice.below(3))];
      for (double& x : q) x *= a;
      const Vector longer = weights(map, q, keys);
      double apart = 0;
      for (int j = 0; j < n; ++j) apart += std::abs(w[static_cast<size_t>(j)] - longer[static_cast<size_t>(j)]);
      if (std::isnan(apart)) { --i; continue; }        // a query of no positive coordinate: relu gives it no weights at all
      if (std::ssize(rows) < n) rows.push_back(w);
      out.apart = std::max(out.apart, apart);
      same += apart < 1e-3;
    }
    out.collisions = static_cast<double>(same) / pairs;
    out.rank = rank(rows);
    all.push_back(std::move(out));
  }
  return all;
}

}  // namespace headrace
