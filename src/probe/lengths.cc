// What generalises to lengths that were not trained (Huang et al. 2025, 2410.02140; Kazemnejad et al. 2023, 2305.19466; Veitsman et al. 2025,
// 2505.21785), beside rewrite, addition, polynomial, parity: train with one range of lengths, test with others.
//   majority   are there more ones than zeros? With gaps > 0, sequences that are interleaved and summed each for itself
//   direction  the token that followed (right) or preceded (left) the one asked, at its latest or first occurrence
//   lego       variables that are each another one or its opposite (Zhang et al. 2022, 2206.04301); clauses in order or shuffled
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Majority {
  static constexpr TaskDoc doc{"majority", "more ones than zeros?", "Huang et al. 2025, 2410.02140", "attention generalises in length"};
  Lengths length;
  int interleaved;
  void visit(auto& v) {
    length.visit(v, 1, 50, 1, "bits of each sequence: made odd");
    v("interleaved", interleaved, 1, "sequences, bit by bit in turn", Range{1, 64});
  }
  void check() const { length.check("majority"); }
  int vocab() const { return 3; }
  std::string word(int32_t t) const { return std::array{"0", "1", "?"}[at(t)]; }
  Sample sample(Dice& d) const {
    const int n = (length.draw(d) - 1) / 2 * 2 + 1;
    std::vector<int> ones(at(interleaved));
    Sample s;
    for (int i = 0; i < n * interleaved; ++i) {
      const int bit = d.below(2);
      ones[at(i % interleaved)] += bit;
      s.say(bit);
    }
    for (const int o : ones) s.ask(2, 2 * o > n);
    return s;
  }
};

struct Direction {
  static constexpr TaskDoc doc{"direction", "the token right or left of one", "Veitsman et al. 2025, 2505.21785",
      "right before left in trained transformers; unique tokens generalise, repeated ones do not"};
  int alphabet;
  Lengths length;
  std::string side, which;
  bool unique;
  void visit(auto& v) {
    v("alphabet", alphabet, 64, "symbols", Range{2, 1 << 16});
    length.visit(v, 4, 50, 2, "symbols of the sequence");
    v("side", side, "right", "which neighbour", Choice{"right", "left"});
    v("which", which, "last", "of several occurrences", Choice{"last", "first"});
    v("unique", unique, false, "no symbol comes twice");
  }
  void check() const {
    length.check("direction");
    expect(!unique || length.max <= alphabet, "direction: ", length.max, " symbols without a repeat of alphabet = ", alphabet);
  }
  int vocab() const { return alphabet + 1; }
  std::string word(int32_t t) const { return t == alphabet ? "?" : std::to_string(t); }
  Sample sample(Dice& d) const {
    const int n = length.draw(d), step = side == "right" ? 1 : -1;
    std::vector<int> x = d.distinct(unique ? n : 0, alphabet);
    while (std::ssize(x) < n) x.push_back(d.below(alphabet));
    const int asked = d.below(n - 1) + (step < 0);                       // one that has a neighbour
    int place = -1;
    for (int i = 0; i < n; ++i)
      if (x[at(i)] == x[at(asked)] && i + step >= 0 && i + step < n && (place < 0 || which == "last")) place = i;
    Sample s;
    for (const int t : x) s.say(t);
    s.say(alphabet), s.ask(x[at(asked)], x[at(place + step)]);
    return s;
  }
};

struct Lego {
  static constexpr TaskDoc doc{"lego", "chains of signed equalities", "Zhang et al. 2022, 2206.04301; Kazemnejad et al. 2023, 2305.19466",
      "attention by depth; beyond the trained length none without steps"};
  int variables;
  Lengths length;
  bool shuffled;
  Trace trace;
  void visit(auto& v) {
    v("variables", variables, 26, "names", Range{1, 1 << 14});
    length.visit(v, 1, 8, 1, "clauses");
    v("shuffled", shuffled, true, "clauses in any order");
    trace.visit(v);
  }
  void check() const {
    length.check("lego");
    expect(length.max <= variables, "lego: max = ", length.max, " clauses with variables = ", variables);
  }
  int vocab() const { return variables + 5 + trace.tokens(); }           // + - ; ? 1
  int special(int i) const { return variables + i; }
  std::string word(int32_t t) const {
    if (t < variables) return variables <= 26 ? std::string(1, static_cast<char>('a' + t)) : text("x", t);
    return t >= special(5) ? Trace::word(t - special(5)) : std::array{"+", "-", ";", "?", "1"}[at(t - variables)];
  }
  Sample sample(Dice& d) const {
    const int n = length.draw(d);
    const std::vector<int> name = d.distinct(n, variables);
    std::vector<int> sign, order = d.distinct(shuffled ? n : 0, n);
    for (int i = 0; i < n; ++i) sign.push_back(d.below(2));
    while (std::ssize(order) < n) order.push_back(static_cast<int>(std::ssize(order)));
    Sample s;
    for (const int i : order) {                                          // "b - a ;": b is the opposite of a
      s.say(name[at(i)]), s.say(special(sign[at(i)]));
      s.say(i ? name[at(i - 1)] : special(4)), s.say(special(2));
    }
    const int asked = d.below(n);
    s.say(special(3)), s.say(name[at(asked)]);
    std::vector<int32_t> states;
    for (int i = 0, value = 0; i <= asked; ++i) states.push_back(special(value ^= sign[at(i)]));
    trace.finish(s, states, special(5));
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> length_tasks() { return {task_of<Majority>(), task_of<Direction>(), task_of<Lego>()}; }

}  // namespace headrace
