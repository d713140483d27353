// Hops: the answer of one look-up is the question of the next.
//   hop      hop_k (Sanford, Hsu, Telgarsky 2024, 2402.09268): find(i) is the place right after the latest earlier occurrence of X_i, find^k
//            that k times; the answer at i is X there, or "none". The first token says k.
//   compose  function composition (Peng, Narayanan, Papadimitriou 2024, 2402.08164): functions f, g, ... as shuffled pairs, then f g x, of
//            which g(f(x)) is asked; with hops over functions, the functions are applied in turn again (iterated functions)
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Hop {
  static constexpr TaskDoc doc{"hop", "k-hop induction heads", "Sanford, Hsu, Telgarsky 2024, 2402.09268",
      "attention needs about log2(k) + 2 layers; recurrences and windows a width that grows with N"};
  int symbols, N, least, k;
  bool repeats;
  void visit(auto& v) {
    v("symbols", symbols, 4, "different symbols", Range{2, 1 << 16});
    v("N", N, 100, "symbols of the sequence", Range{1, 1 << 20});
    v("k", k, 16, "the most hops", Range{0, 1 << 10});
    v("least", least, 0, "the fewest hops", Range{0, 1 << 10});
    v("repeats", repeats, false, "a symbol may follow itself");
  }
  void check() const { expect(least <= k, "hop: least = ", least, " is over k = ", k); }
  int vocab() const { return symbols + k + 2; }
  std::string word(int32_t t) const {
    if (t < symbols) return symbols <= 26 ? std::string(1, static_cast<char>('a' + t)) : text("x", t);
    return t == symbols + k + 1 ? "none" : text("k=", t - symbols);
  }
  Sample sample(Dice& d) const {
    const int hops = d.between(least, k);
    std::vector<int> x, find;                                            // find[i] from 0; -1: nothing was found
    std::vector<int> last(at(symbols), -1);
    for (int i = 0; i < N; ++i) {
      int t = d.below(i && !repeats ? symbols - 1 : symbols);
      if (i && !repeats && t >= x.back()) ++t;
      x.push_back(t);
      find.push_back(last[at(t)] < 0 ? -1 : last[at(t)] + 1);
      last[at(t)] = i;
    }
    Sample s;
    s.say(symbols + hops);
    for (int i = 0; i < N; ++i) {
      int j = i;
      for (int h = 0; h < hops && j >= 0; ++h) j = find[at(j)];
      s.ask(x[at(i)], j < 0 ? symbols + k + 1 : x[at(j)]);
    }
    return s;
  }
};

struct Compose {
  static constexpr TaskDoc doc{"compose", "composition of functions given as tables", "Peng, Narayanan, Papadimitriou 2024, 2402.08164",
      "one layer of attention fails where n log n is over its bits, two do it; recurrences once the tables are over the state; steps mend it"};
  int n, functions, hops;
  Trace trace;
  void visit(auto& v) {
    v("n", n, 10, "values", Range{1, 1 << 14});
    v("functions", functions, 2, "tables", Range{1, 26});
    v("hops", hops, 0, "how many are applied, in turn; 0: each once", Range{0, 1 << 10});
    trace.visit(v);
  }
  void check() { if (hops == 0) hops = functions; }
  int vocab() const { return n + functions + 1 + trace.tokens(); }
  std::string word(int32_t t) const {
    if (t < n) return std::to_string(t);
    if (t > n + functions) return Trace::word(t - n - functions - 1);
    return t == n + functions ? "?" : std::string(1, static_cast<char>('a' + (t - n + 5) % 26));
  }
  Sample sample(Dice& d) const {
    std::vector<std::vector<int>> f(at(functions));
    Sample s;
    for (int i = 0; i < functions; ++i) {
      std::vector<int> order = d.distinct(n, n);
      for (int v = 0; v < n; ++v) f[at(i)].push_back(d.below(n));
      s.say(n + i);
      for (const int v : order) s.say(v), s.say(f[at(i)][at(v)]);
    }
    s.say(n + functions);
    for (int h = 0; h < hops; ++h) s.say(n + h % functions);
    int x = d.below(n);
    s.say(x);
    std::vector<int32_t> states;
    for (int h = 0; h < hops; ++h) states.push_back(x = f[at(h % functions)][at(x)]);
    trace.finish(s, states, n + functions + 1);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> hop_tasks() { return {task_of<Hop>(), task_of<Compose>()}; }

}  // namespace headrace
