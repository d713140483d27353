// In-context regression (Garg et al. 2022, 2208.01066; suite of Park et al. 2024, 2402.04248): x_1 y_1 x_2 y_2 ... of one function, drawn anew
// for each sequence; y_i is asked at x_i. Tokens are vectors: x_i, then (y_i, 0 ...).
//   linear         w x, w normal               sparse   w with 3 coordinates         noisy   linear, with noise on the y that are shown
//   relu           sqrt(2/100) w relu(W x), 100 hidden units                        tree     a decision tree of depth 4
//   quadratic      sum of w_i x_i^2 / sqrt(3)  outliers linear, a tenth of the points moved far away
//   parity         x in {-1, 1}, the product of 2 coordinates (sparse parity)
//   retrieve       keys and values on the sphere of radius sqrt(d), then one key again: which value? (vector MQAR)
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

using Vector = std::vector<double>;
using Function = std::function<double(const Vector&)>;

Vector normals(Dice& d, int n) {
  Vector v(at(n));
  for (double& x : v) x = d.normal();
  return v;
}
double dot(const Vector& a, const Vector& b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

struct Regression {
  static constexpr TaskDoc doc{"regression", "functions learned in context", "Garg et al. 2022, 2208.01066; Park et al. 2024, 2402.04248",
      "attention and Mamba alike on linear ones; Mamba better at sparse parity, worse at trees; hybrids good at all"};
  std::string function;
  int dims, active, points;
  double noise;
  void visit(auto& v) {
    v("function", function, "linear", "what is learned", Choice{"linear", "sparse", "noisy", "relu", "tree", "quadratic", "outliers", "parity"});
    v("dims", dims, 5, "of x", Range{1, 1 << 12});
    v("active", active, 0, "dims that are not 0, for curricula; 0: all", Range{0, 1 << 12});
    v("points", points, 20, "pairs of x and y", Range{1, 1 << 14});
    v("noise", noise, 0.5, "standard deviation, of noisy", Range{0, 1e3});
  }
  int used() const { return active ? active : dims; }
  void check() const {
    expect(active <= dims, "regression: active = ", active, " of dims = ", dims);
    expect(function != "parity" || used() >= 2, "regression: parity of 2 coordinates wants 2 of them");
  }
  int inputs() const { return dims; }
  int outputs() const { return 1; }
  Function drawn(Dice& d) const {
    const int n = used();
    if (function == "relu") {
      constexpr int hidden = 100;
      std::vector<Vector> in;
      for (int i = 0; i < hidden; ++i) in.push_back(normals(d, n));
      return [in, out = normals(d, hidden)](const Vector& x) {
        double y = 0;
        for (size_t i = 0; i < in.size(); ++i) y += out[i] * std::max(0.0, dot(in[i], x));
        return y * std::sqrt(2.0 / hidden);
      };
    }
    if (function == "tree") {                          // nodes of a full tree, the children of i at 2i + 1 and 2i + 2
      std::vector<int> coordinate(15);
      for (int& c : coordinate) c = d.below(n);
      return [coordinate, leaves = normals(d, 16)](const Vector& x) {
        size_t i = 0;
        while (i < 15) i = 2 * i + 1 + (x[at(coordinate[i])] > 0);
        return leaves[i - 15];
      };
    }
    if (function == "parity")
      return [pair = d.distinct(2, n)](const Vector& x) { return x[at(pair[0])] * x[at(pair[1])]; };
    Vector w = normals(d, n);
    if (function == "quadratic") return [w](Vector x) {
      for (double& v : x) v *= v;
      return dot(w, x) / std::sqrt(3.0);
    };
    if (function == "sparse") {
      const std::vector<int> kept = d.distinct(std::min(3, n), n);
      for (int i = 0; i < n; ++i)
        if (std::find(kept.begin(), kept.end(), i) == kept.end()) w[at(i)] = 0;
    }
    return [w](const Vector& x) { return dot(w, x); };
  }
  Sample sample(Dice& d) const {
    const Function f = drawn(d);
    Sample s;
    for (int i = 0; i < points; ++i) {
      Vector x = normals(d, used());
      if (function == "parity") for (double& v : x) v = v > 0 ? 1 : -1;
      double y = f(x), shown = y;
      if (function == "noisy") shown += noise * d.normal();
      const bool outlier = function == "outliers" && d.coin(0.1);
      if (outlier) {                                   // far from all others; what it says is nothing, so it is not asked
        for (double& v : x) v *= 10;
        shown = 10 * d.normal();
      }
      for (const double v : x) s.x.push_back(static_cast<float>(v));
      s.x.resize(s.x.size() + at(dims - used()));
      s.y.push_back(static_cast<float>(y)), s.mask.push_back(!outlier);
      s.x.push_back(static_cast<float>(shown));
      s.x.resize(s.x.size() + at(dims - 1));
      s.y.push_back(0), s.mask.push_back(0);
    }
    return s;
  }
};

struct Retrieve {
  static constexpr TaskDoc doc{"retrieve", "the value of a vector key", "Park et al. 2024, 2402.04248", "attention and hybrids; Mamba is worse"};
  int dims, pairs;
  void visit(auto& v) {
    v("dims", dims, 16, "of keys and values", Range{2, 1 << 12});
    v("pairs", pairs, 16, "keys with a value", Range{1, 1 << 14});
  }
  int inputs() const { return dims; }
  int outputs() const { return dims; }
  Sample sample(Dice& d) const {
    Sample s;
    std::vector<Vector> keys, values;
    const auto say = [&](const Vector& x, const Vector* y) {
      for (const double v : x) s.x.push_back(static_cast<float>(v));
      for (int i = 0; i < dims; ++i) s.y.push_back(y ? static_cast<float>((*y)[at(i)]) : 0);
      s.mask.push_back(y != nullptr);
    };
    for (int i = 0; i < pairs; ++i) {
      keys.push_back(d.direction(dims, std::sqrt(dims))), values.push_back(d.direction(dims, std::sqrt(dims)));
      say(keys.back(), nullptr), say(values.back(), nullptr);
    }
    const size_t asked = at(d.below(pairs));
    say(keys[asked], &values[asked]);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> regression_tasks() { return {task_of<Regression>(), task_of<Retrieve>()}; }

}  // namespace headrace
