// Match2 and Match3 (Sanford, Hsu, Telgarsky 2023, 2306.02896): is there one other number, are there two, that with x_i sum to 0 modulo M?
// So that a causal model sees them all, the sequence is read twice and answered the second time; with causal=on once, over earlier numbers.
// M = 0 chooses it such that about half of the answers are yes.
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Match {
  static constexpr TaskDoc doc{"match", "sums of two or three to 0", "Sanford, Hsu, Telgarsky 2023, 2306.02896",
      "pairs: one layer of attention; triples: no attention of one layer and modest width; recurrences neither", 2};
  int order, N, M;
  bool causal;
  void visit(auto& v) {
    v("order", order, 2, "numbers that sum to 0", Range{2, 3});
    v("N", N, 32, "numbers", Range{3, 1 << 10});
    v("M", M, 0, "modulus; 0: for balanced answers", Range{0, 1 << 20});
    v("causal", causal, false, "read once, and matched with earlier numbers alone");
  }
  // Share of answers that are no, modulo m. Beside n others a number has n partners, or n (n - 1) / 2 pairs of them, each of which fits with
  // probability 1/m, about independently.
  double refused(int m) const {
    double sum = 0;
    const int first = causal ? 0 : N - 1;                                // others in sight: from here on, at one place each
    for (int n = first; n < N; ++n) sum += std::pow(1 - 1.0 / m, order == 2 ? n : 0.5 * n * (n - 1));
    return sum / (N - first);
  }
  void check() {
    if (M) return;
    M = 2;
    for (int step = 1 << 19; step > 0; step /= 2)                        // it grows with m
      if (refused(M + step) <= 0.5) M += step;
    if (std::abs(refused(M + 1) - 0.5) < std::abs(refused(M) - 0.5)) ++M;
  }
  int vocab() const { return M + 2; }
  std::string word(int32_t t) const { return t < M ? std::to_string(t) : t == M ? "no" : "yes"; }
  Sample sample(Dice& d) const {
    std::vector<int> x(at(N)), count(at(M));                             // of those that are in sight
    for (int& v : x) v = d.below(M);
    Sample s;
    if (!causal) for (const int v : x) s.say(v), ++count[at(v)];
    for (int i = 0; i < N; ++i) {
      const int v = x[at(i)], seen = causal ? i : N;
      if (!causal) --count[at(v)];                                       // itself is no partner
      bool found = false;
      if (order == 2) found = count[at((M - v) % M)] > 0;
      for (int j = 0; j < seen && order == 3 && !found; ++j) {
        if (j == i) continue;
        const int other = ((-v - x[at(j)]) % M + M) % M;
        found = count[at(other)] > (other == x[at(j)]);                  // j itself is no partner either
      }
      ++count[at(v)];
      s.ask(v, M + found);
    }
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> matching_tasks() { return {task_of<Match>()}; }

}  // namespace headrace
