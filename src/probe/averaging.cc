// q-sparse averaging (Sanford, Hsu, Telgarsky 2023, 2306.02896): N vectors z_i on the sphere, then N questions, each q places: the answer is
// the mean of the vectors there. In a causal order: all vectors first. A token is [z or 0, its own place, q places or 0]; a place is sines and
// cosines of it at `code` frequencies.
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct SparseAverage {
  static constexpr TaskDoc doc{"sparse_average", "q-sparse averaging", "Sanford, Hsu, Telgarsky 2023, 2306.02896",
      "attention with heads of more than q log N; recurrences need a state that grows with N"};
  int N, q, dim, code;
  void visit(auto& v) {
    v("N", N, 32, "vectors, and questions", Range{1, 1 << 16});
    v("q", q, 3, "vectors of a mean", Range{1, 64});
    v("dim", dim, 4, "dimensions of a vector", Range{1, 1 << 10});
    v("code", code, 8, "frequencies of a place's code", Range{1, 64});
  }
  void check() const {
    expect(q <= N, "sparse_average: q = ", q, " of N = ", N);
    expect(int64_t{2} * N * inputs() <= 1 << 27, "sparse_average: ", int64_t{2} * N * inputs(), " numbers a sample are over ", 1 << 27);
  }
  int inputs() const { return dim + 2 * code * (1 + q); }
  int outputs() const { return dim; }
  void place(Sample& s, int i) const {
    for (int f = 0; f < code; ++f) {
      const double angle = 6.283185307179586 * i / std::pow(4.0 * N, (f + 1.0) / code);   // the slowest turns a quarter over all places
      s.x.push_back(static_cast<float>(std::sin(angle))), s.x.push_back(static_cast<float>(std::cos(angle)));
    }
  }
  Sample sample(Dice& d) const {
    Sample s;
    std::vector<std::vector<double>> z;
    for (int i = 0; i < N; ++i) {
      z.push_back(d.direction(dim));
      for (const double v : z.back()) s.x.push_back(static_cast<float>(v)), s.y.push_back(0);
      place(s, i);
      s.x.resize(s.x.size() + at(2 * code * q));
      s.mask.push_back(0);
    }
    for (int i = 0; i < N; ++i) {
      s.x.resize(s.x.size() + at(dim));
      place(s, i);
      std::vector<double> mean(at(dim));
      for (const int j : d.distinct(q, N)) {
        place(s, j);
        for (int k = 0; k < dim; ++k) mean[at(k)] += z[at(j)][at(k)] / q;
      }
      for (const double v : mean) s.y.push_back(static_cast<float>(v));
      s.mask.push_back(1);
    }
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> averaging_tasks() { return {task_of<SparseAverage>()}; }

}  // namespace headrace
