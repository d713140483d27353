// Finite automata over words: what has to be kept is one of a few states. Layout of Deletang et al. 2022 (2207.02098) as in Grazzi et al.
// 2024 (2411.12537): a length counts the answer too, which is asked at the last token.
//   parity      the sum of the symbols modulo how many there are; with V = 3 the parity of a bit string
//   even_pairs  whether the first and the last bit differ (as many 01 as 10, or one more)
//   cycle       the place on a circle after steps of 0, +1, -1
//   automaton   the state after each symbol (Liu et al. 2022, 2210.10749): grid (a walk between two walls), reset (symbols that set a
//               bit and one that keeps it), counter (counts modulo its size, and can be cleared)
//   flip_flop   write, ignore and read instructions with a bit each; a read gives the last one written (Liu et al. 2023, 2306.00946)
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Parity {
  static constexpr TaskDoc doc{"parity", "parity of a bit string, sums modulo m", "Deletang et al. 2022, 2207.02098; Grazzi et al. 2024, 2411.12537",
      "LSTM, sLSTM, and linear recurrences with negative eigenvalues generalise in length; softmax attention and Mamba do not"};
  int V;
  Lengths length;
  Trace trace;
  void visit(auto& v) {
    v("V", V, 3, "vocabulary: padding and V - 1 symbols, sums of which are taken modulo V - 1", Range{3, 1 << 12});
    length.visit(v, 3, 40, 2, "symbols, the answer included");
    trace.visit(v);
  }
  void check() const { length.check("parity"); }
  int vocab() const { return V + trace.tokens(); }
  std::string word(int32_t t) const { return t >= V ? Trace::word(t - V) : t == 0 ? "pad" : std::to_string(t - 1); }
  Sample sample(Dice& d) const {
    Sample s;
    std::vector<int32_t> states;
    for (int i = 1, n = length.draw(d), sum = 0; i < n; ++i) {
      const int bit = d.below(V - 1);
      sum = (sum + bit) % (V - 1);
      s.say(bit + 1);
      states.push_back(sum + 1);
    }
    trace.finish(s, states, V);
    return s;
  }
};

struct EvenPairs {
  static constexpr TaskDoc doc{"even_pairs", "first bit against last", "Deletang et al. 2022, 2207.02098", "all but time-invariant mixers"};
  Lengths length;
  void visit(auto& v) { length.visit(v, 3, 40, 2, "bits, the answer included"); }
  void check() const { length.check("even_pairs"); }
  int vocab() const { return 3; }
  std::string word(int32_t t) const { return t == 0 ? "pad" : std::to_string(t - 1); }
  Sample sample(Dice& d) const {
    Sample s;
    for (int i = 1, n = length.draw(d); i < n; ++i) s.say(1 + d.below(2));
    s.ask_last(s.tokens.front() == s.tokens.back() ? 1 : 2);
    return s;
  }
};

struct Cycle {
  static constexpr TaskDoc doc{"cycle", "navigation on a circle", "Deletang et al. 2022, 2207.02098; Grazzi et al. 2024, 2411.12537",
      "as parity: rotations or nonlinear recurrences"};
  int V;
  Lengths length;
  void visit(auto& v) {
    v("V", V, 9, "vocabulary: padding, three steps, V - 4 places", Range{5, 1 << 12});
    length.visit(v, 3, 40, 2, "steps, the answer included");
  }
  void check() const { length.check("cycle"); }
  int vocab() const { return V; }
  std::string word(int32_t t) const { return t >= 4 ? text("@", t - 4) : std::array{"pad", "0", "+1", "-1"}[at(t)]; }
  Sample sample(Dice& d) const {
    const int size = V - 4;
    Sample s;
    int place = 0;
    for (int i = 1, n = length.draw(d); i < n; ++i) {
      const int step = d.below(3);
      place = (place + (step == 1 ? 1 : step == 2 ? size - 1 : 0)) % size;
      s.say(step + 1);
    }
    s.ask_last(place + 4);
    return s;
  }
};

struct Automaton {
  static constexpr TaskDoc doc{"automaton", "states of an automaton", "Liu et al. 2022, 2210.10749",
      "attention finds shortcuts of log T layers that fail out of distribution; recurrences one layer"};
  std::string kind;
  int size;
  Lengths length;
  std::vector<std::vector<int>> next;                                    // [state][symbol]
  void visit(auto& v) {
    v("kind", kind, "grid", "which automaton", Choice{"grid", "reset", "counter"});
    v("size", size, 4, "its states", Range{2, 1 << 12});
    length.visit(v, 20, 20, 1, "symbols");
  }
  void check() {
    length.check("automaton");
    for (int q = 0; q < size; ++q) {
      if (kind == "grid") next.push_back({std::max(q - 1, 0), std::min(q + 1, size - 1)});
      if (kind == "counter") next.push_back({q, (q + 1) % size, 0});
      if (kind != "reset") continue;
      next.emplace_back();
      for (int to = 0; to < size; ++to) next.back().push_back(to);
      next.back().push_back(q);
    }
  }
  int symbols() const { return static_cast<int>(std::ssize(next[0])); }
  int vocab() const { return symbols() + size; }
  std::string word(int32_t t) const { return t < symbols() ? std::string(1, static_cast<char>('a' + t % 26)) : text("q", t - symbols()); }
  Sample sample(Dice& d) const {
    Sample s;
    for (int i = 0, n = length.draw(d), q = 0; i < n; ++i) {
      const int a = d.below(symbols());
      q = next[at(q)][at(a)];
      s.ask(a, symbols() + q);
    }
    return s;
  }
};

struct FlipFlop {
  static constexpr TaskDoc doc{"flip_flop", "a bit that is written, kept and read", "Liu et al. 2023, 2306.00946",
      "recurrences solve it; attention glitches where writes are rare"};
  int L;
  double ignore;
  void visit(auto& v) {
    v("L", L, 512, "tokens: instructions with a bit each", Range{4, 1 << 20});
    v("ignore", ignore, 0.8, "share of ignored bits; writes and reads share the rest", Range{0, 0.9999});
  }
  void check() const { expect(L % 2 == 0, "flip_flop: L = ", L, " is odd"); }
  int vocab() const { return 5; }
  std::string word(int32_t t) const { return std::array{"0", "1", "w", "i", "r"}[at(t)]; }
  Sample sample(Dice& d) const {
    Sample s;
    int bit = 0;
    for (int i = 0; i < L / 2; ++i) {
      const bool write = i == 0 || (i < L / 2 - 1 && d.coin((1 - ignore) / 2));
      const bool read = !write && (i == L / 2 - 1 || d.coin((1 - ignore) / (1 + ignore)));
      const int shown = read ? bit : d.below(2);
      if (write) bit = shown;
      if (read) s.ask(4, bit);
      else s.say(write ? 2 : 3);
      s.say(shown);
    }
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> automata_tasks() {
  return {task_of<Parity>(), task_of<EvenPairs>(), task_of<Cycle>(), task_of<Automaton>(), task_of<FlipFlop>()};
}

}  // namespace headrace
