// Match2 and Match3 (Sanford, Hsu, Telgarsky 2023, 2306.02896): is there one other number, are there two, that with x_i sum to 0 modulo M?
// So that a causal model sees them all, the sequence is read twice and answered the second time; with causal=on once, over earlier numbers.
// M = 0 chooses it such that about half of the answers are yes.
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Match {
  static constexpr TaskDoc doc{"match", "sums of two or three to 0", "Sanford, Hsu, Telgarsky 2023, 2306.02896",
      "pairs: one layer of attention; triples: no attention of one layer and modest width; recurrences neither"};
  int order, N, M;
  bool causal;
  void visit(auto& v) {
    v("order", order, 2, "numbers that sum to 0", Range{2, 3});
    v("N", N, 32, "numbers", Range{3, 1 << 10});
    v("M", M, 0, "modulus; 0: for balanced answers", Range{0, 1 << 20});
    v("causal", causal, false, "read once, and matched with earlier numbers alone");
  }
  // P(no) is about exp(-pairs / M): half of all with all of the sequence in sight; on the average over places where pairs grow with them,
  // (1 - e^-a) / a = 1/2 at a = N / M = 1.594, and the mean of e^(-b u^2) over u in 0..1 = 1/2 at b = N^2 / (2 M) = 3.05.
  void check() {
    if (M) return;
    const double n = N, pairs = order == 2 ? n : n * n / 2;
    M = std::max(2, static_cast<int>(std::lround(pairs / (causal ? order == 2 ? 1.594 : 3.05 : 0.6931))));
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
