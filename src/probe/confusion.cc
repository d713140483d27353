// What linear attention lacks (Han et al. 2024, 2412.06590); injectivity.cc measures the same without training.
//   confusion  keys of the same direction and different length hold different values: normalised linear attention cannot tell them apart.
//              A token is [key, value's class as one of C, flag]; the last has a key alone
//   markov     a source of order 2, its table the same in all samples of a seed, or (fresh) drawn for each: every next token is asked. For
//              the locality of attention, and loss by position
#include <mutex>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Confusion {
  static constexpr TaskDoc doc{"confusion", "keys that differ in length alone", "Han et al. 2024, 2412.06590",
      "normalised linear attention 50 %; softmax and subtractive normalisation 100 %"};
  int directions, dims;
  double far;
  void visit(auto& v) {
    v("directions", directions, 4, "of keys, each at two lengths", Range{1, 1 << 12});
    v("dims", dims, 8, "of a key", Range{2, 1 << 10});
    v("far", far, 3, "length of the longer key; the other's is 1", Range{1.001, 1e3});
  }
  int vocab() const { return 2; }
  int inputs() const { return dims + 3; }
  Sample sample(Dice& d) const {
    std::vector<std::vector<double>> keys;             // at 2m the short one of a direction, at 2m + 1 the long one
    std::vector<int> value;
    for (int m = 0; m < directions; ++m) {
      std::vector<double> key = d.direction(dims);
      keys.push_back(key);
      for (double& k : key) k *= far;
      keys.push_back(key);
      const int v = d.below(2);                        // the two have different values
      value.push_back(v), value.push_back(1 - v);
    }
    Sample s;
    const auto say = [&](int i, bool asked) {
      for (const double k : keys[at(i)]) s.x.push_back(static_cast<float>(k));
      s.x.push_back(!asked && value[at(i)] == 0), s.x.push_back(!asked && value[at(i)] == 1), s.x.push_back(asked);
      s.targets.push_back(asked ? value[at(i)] : Sample::none), s.mask.push_back(asked);
    };
    for (const int i : d.distinct(2 * directions, 2 * directions)) say(i, false);
    say(d.below(2 * directions), true);
    return s;
  }
};

// What all samples of a seed share, made once and kept for the seed that was asked last; several threads draw at a time.
template <class T>
class OfSeed {
 public:
  std::shared_ptr<const T> get(uint64_t seed, const std::function<T()>& make) const {
    const std::lock_guard lock(mutex_);
    if (!kept_ || seed != seed_) kept_ = std::make_shared<const T>(make()), seed_ = seed;
    return kept_;
  }

 private:
  mutable std::mutex mutex_;
  mutable uint64_t seed_ = 0;
  mutable std::shared_ptr<const T> kept_;
};

struct Markov {
  static constexpr TaskDoc doc{"markov", "a source of order 2", "Han et al. 2024, 2412.06590; Edelman et al. 2024, 2402.11004",
      "all mixers; with fresh tables the loss falls with the position"};
  int V, L;
  double sharp;
  bool fresh;
  using Table = std::vector<std::vector<double>>;      // [V V][V]: sums of weights
  OfSeed<Table> kept;
  void visit(auto& v) {
    v("V", V, 8, "symbols", Range{2, 256});
    v("L", L, 128, "tokens", Range{3, 1 << 20});
    v("sharp", sharp, 2, "the larger, the surer the next token: logits are normal times this", Range{0, 20});
    v("fresh", fresh, false, "each sample has a table of its own");
  }
  int vocab() const { return V; }
  int next(const std::vector<double>& p, Dice& d) const {
    double u = d.uniform() * p.back();
    return static_cast<int>(std::min<std::ptrdiff_t>(std::upper_bound(p.begin(), p.end(), u) - p.begin(), V - 1));
  }
  Table drawn(Dice& d) const {
    Table table(at(V * V), std::vector<double>(at(V)));
    for (auto& row : table)
      for (int t = 0; t < V; ++t) row[at(t)] = (t ? row[at(t - 1)] : 0) + std::exp(sharp * d.normal());
    return table;
  }
  Sample sample(Dice& d, Dice& fixed) const {
    const auto shared = fresh ? std::make_shared<const Table>(drawn(d)) : kept.get(fixed.seed(), [&] { return drawn(fixed); });
    const Table& table = *shared;
    Sample s;
    s.say(d.below(V));
    for (int i = 1, before = d.below(V); i < L; ++i) {
      const int now = s.tokens.back(), t = next(table[at(before * V + now)], d);
      s.ask_last(t);
      s.say(t);
      before = now;
    }
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> confusion_tasks() { return {task_of<Confusion>(), task_of<Markov>()}; }

}  // namespace headrace
