// Recall: what followed a key earlier in the sequence.
//   mqar       multi-query associative recall (Arora et al. 2023, 2312.04927): K pairs, then each key once more, at a gap g of weight
//              (g+1)^(a-1); its value is the answer at the key itself
//   induction  what followed the trigger the first time (Olsson et al. 2022, 2209.11895; construction of Fu et al. 2022, 2212.14052)
//   assoc      pairs of key and value, repeats consistent; at the end one key (Fu et al. 2022)
#include <bit>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

// Numbers 0..n-1, each drawn with its share of the weights. The parents of a leaf that was taken are summed anew from their children, so
// that what is taken weighs nothing, however sums are rounded.
class Urn {
 public:
  explicit Urn(const std::vector<double>& weights) : leaves_(std::bit_ceil(weights.size())), sum_(2 * leaves_) {
    std::copy(weights.begin(), weights.end(), sum_.begin() + static_cast<std::ptrdiff_t>(leaves_));
    for (size_t i = leaves_ - 1; i > 0; --i) sum_[i] = sum_[2 * i] + sum_[2 * i + 1];
  }
  int take(Dice& d) {                                  // without putting back; one at least is left
    double u = d.uniform() * sum_[1];
    size_t i = 1;
    while (i < leaves_) {
      const double left = sum_[2 * i], right = sum_[2 * i + 1];
      i = 2 * i + !(left > 0 && (u <= left || right <= 0));
      if (i % 2) u -= left;
    }
    const int taken = static_cast<int>(i - leaves_);
    for (sum_[i] = 0; i /= 2;) sum_[i] = sum_[2 * i] + sum_[2 * i + 1];
    return taken;
  }

 private:
  size_t leaves_;
  std::vector<double> sum_;                            // as a heap: of children 2i and 2i + 1 at i; leaves last
};

struct Mqar {
  static constexpr TaskDoc doc{"mqar", "multi-query associative recall", "Arora et al. 2023, 2312.04927",
      "attention 1.0 at every width; linear attention and recurrences once the state holds all pairs"};
  int V, L, pairs, passes;
  double a;
  bool noise;
  void visit(auto& v) {
    v("V", V, 512, "vocabulary: keys below the middle, values above", Range{4, 1 << 20});
    v("L", L, 64, "tokens", Range{4, 1 << 20});
    v("pairs", pairs, 4, "keys with a value");
    v("passes", passes, 1, "times that the pairs are shown");
    v("a", a, 0.01, "power of the gap before a key returns: weight (g + 1)^(a - 1)", Range{0, 10});
    v("noise", noise, false, "random tokens between the queries in place of 0");
  }
  void check() const {
    expect(V % 2 == 0, "mqar: V = ", V, " is odd");
    expect(pairs < V / 2, "mqar: pairs = ", pairs, " and V = ", V, ": at most ", V / 2 - 1, " keys are different");
    const int64_t least = int64_t{2} * pairs * (int64_t{passes} + 1);
    expect(least <= L, "mqar: L = ", L, " is too short for pairs = ", pairs, ": wanted ", least);
  }
  int vocab() const { return V; }
  std::string word(int32_t t) const { return t == 0 ? "." : t < V / 2 ? text("k", t) : text("v", t - V / 2); }
  Sample sample(Dice& d) const {
    const std::vector<int> keys = d.distinct(pairs, V / 2 - 1), values = d.distinct(pairs, V / 2);
    Sample s;
    for (int pass = 0; pass < passes; ++pass)
      for (int i = 0; i < pairs; ++i) s.say(keys[at(i)] + 1), s.say(values[at(i)] + V / 2);
    const int begin = 2 * pairs * passes, slots = (L - begin) / 2;
    while (s.length() < L) s.say(noise ? d.below(V) : 0);
    std::vector<double> weight(at(slots));
    for (int g = 0; g < slots; ++g) weight[at(g)] = std::pow(g + 1.0, a - 1);
    Urn urn(weight);
    for (int i = 0; i < pairs; ++i) {
      const size_t place = at(begin + 2 * urn.take(d));
      s.tokens[place] = keys[at(i)] + 1, s.targets[place] = values[at(i)] + V / 2, s.mask[place] = 1;
    }
    return s;
  }
};

struct Induction {
  static constexpr TaskDoc doc{"induction", "induction heads", "Olsson et al. 2022, 2209.11895; Fu et al. 2022, 2212.14052",
      "attention, H3, Hyena, Mamba solve it; beyond the trained length Mamba, then relative positions, then absolute ones"};
  int V, L, n, triggers;
  void visit(auto& v) {
    v("V", V, 20, "symbols", Range{2, 1 << 20});
    v("L", L, 30, "tokens before the last trigger", Range{2, 1 << 20});
    v("n", n, 1, "tokens that follow a trigger");
    v("triggers", triggers, 1, "of half the sequences; the others have one");
  }
  void check() const { expect(L > n, "induction: L = ", L, " is too short for n = ", n); }
  int vocab() const { return V + 2; }                  // the trigger; one that is never said, as in the original
  std::string word(int32_t t) const { return t == V ? "!" : t > V ? "noop" : std::to_string(t); }
  Sample sample(Dice& d) const {
    std::vector<int> places = d.distinct(std::min(d.coin() ? 1 : triggers, L - n), L - n);
    std::sort(places.begin(), places.end());
    std::vector<int32_t> tokens(at(L));
    for (int32_t& t : tokens) t = d.below(V);
    std::vector<int32_t> follow;
    for (int i = 0, last = -n - 1; i < std::ssize(places); ++i) {
      const int p = places[at(i)];
      if (p - last <= n) continue;                     // would run into what follows the one before
      last = p, tokens[at(p)] = V;
      if (follow.empty()) follow.assign(tokens.begin() + p + 1, tokens.begin() + p + 1 + n);
      std::copy(follow.begin(), follow.end(), tokens.begin() + p + 1);
    }
    Sample s;
    for (int32_t t : tokens) s.say(t);
    s.ask(V, follow[0]);
    for (int i = 1; i < n; ++i) s.ask(follow[at(i - 1)], follow[at(i)]);
    return s;
  }
};

struct Associative {
  static constexpr TaskDoc doc{"assoc", "associative recall", "Ba et al. 2016, 1610.06258; Fu et al. 2022, 2212.14052",
      "attention, H3, Hyena, Mamba solve it; time-invariant state spaces do not"};
  int V, L;
  void visit(auto& v) {
    v("V", V, 20, "symbols: half keys, half values", Range{4, 1 << 20});
    v("L", L, 20, "tokens of pairs", Range{2, 1 << 20});
  }
  void check() const { expect(V % 2 == 0 && L % 2 == 0, "assoc: V = ", V, " and L = ", L, " must be even"); }
  int vocab() const { return V + 1; }
  std::string word(int32_t t) const { return t == V ? "!" : t < V / 2 ? text("k", t) : text("v", t - V / 2); }
  Sample sample(Dice& d) const {
    std::vector<int32_t> value(at(V / 2));
    for (int32_t& v : value) v = V / 2 + d.below(V / 2);
    Sample s;
    for (int i = 0; i < L / 2; ++i) {
      const int key = d.below(V / 2);
      s.say(key), s.say(value[at(key)]);
    }
    const int32_t key = s.tokens[at(2 * d.below(L / 2))];
    s.say(V), s.ask(key, value[at(key)]);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> recall_tasks() { return {task_of<Mqar>(), task_of<Induction>(), task_of<Associative>()}; }

}  // namespace headrace
