// The mechanistic architecture design suite (Poli et al. 2024, 2403.17844), beside selective_copy (copying.cc):
//   mad_recall  in-context recall: pairs of key and value; every later occurrence of a key asks for its value. noise: a share of pairs
//               replaced by tokens of a vocabulary of their own (noisy recall); motif: keys and values of 1..motif tokens (fuzzy recall)
//   memorise    keys whose values are the same in all samples of a seed: facts for the weights, not the state
//   compress    all tokens are to be read back from the output at the last one, by an MLP that is told which
#include <map>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct MadRecall {
  static constexpr TaskDoc doc{"mad_recall", "in-context recall: plain, noisy, fuzzy", "Poli et al. 2024, 2403.17844",
      "attention and hybrids lead; recurrences by the size of their state"};
  int V, L, motif, noise_vocab;
  double noise;
  void visit(auto& v) {
    v("V", V, 16, "symbols: half keys, half values", Range{4, 1 << 16});
    v("L", L, 128, "tokens", Range{4, 1 << 20});
    v("motif", motif, 1, "the most tokens of a key or value", Range{1, 8});
    v("noise", noise, 0, "share of pairs that are noise", Range{0, 0.9});
    v("noise_vocab", noise_vocab, 16, "tokens of noise");
  }
  void check() const {
    expect(V % 2 == 0, "mad_recall: V = ", V, " is odd");
    expect(L >= 4 * motif, "mad_recall: L = ", L, " is too short for motif = ", motif);
    const double pair = noise * 2 + (1 - noise) * (motif + 1), pairs = (1 - noise) * L / pair;         // tokens of one on the average; keys said
    expect(V <= 16 * pairs * pairs, "mad_recall: hardly a key comes back: V = ", V, " with L = ", L, ", motif = ", motif, ", noise = ", noise);
  }
  int vocab() const { return V + noise_vocab; }
  std::string word(int32_t t) const { return t >= V ? text("~", t - V) : t < V / 2 ? text("k", t) : text("v", t - V / 2); }
  Sample sample(Dice& d) const {
    constexpr int most_draws = 100'000;
    for (int i = 0; i < most_draws; ++i)
      if (Sample s = pairs_of(d); std::find(s.mask.begin(), s.mask.end(), 1) != s.mask.end()) return s;
    fail("mad_recall: in none of ", most_draws, " draws a key comes back: V = ", V, ", L = ", L, ", motif = ", motif, ", noise = ", noise);
  }
  // Motifs in the order of their first token, so that a key is never the beginning of another.
  Sample pairs_of(Dice& d) const {
    using Motif = std::vector<int32_t>;
    std::map<int, std::pair<Motif, Motif>> known;
    const auto draw = [&](int first, int base) {
      Motif m{base + first};
      for (int n = d.between(1, motif); std::ssize(m) < n;) m.push_back(base + d.below(V / 2));
      return m;
    };
    Sample s;
    const auto speak = [&](const Motif& key, const Motif& value, bool seen) {   // every next token is learned; a seen key's value is scored
      for (const int32_t t : key) s.say(t);
      for (const int32_t t : value) {
        s.targets.back() = t;
        s.mask.back() = seen;
        s.say(t);
      }
    };
    for (;;) {
      if (d.coin(noise)) {
        if (s.length() + 2 > L) break;
        for (int i = 0; i < 2; ++i) s.say(V + d.below(noise_vocab));
        continue;
      }
      const int key = d.below(V / 2);
      const bool seen = known.contains(key);
      if (!seen) {
        const Motif k = draw(key, 0), v = draw(d.below(V / 2), V / 2);
        known[key] = {k, v};
      }
      const auto& [k, v] = known[key];
      if (s.length() + std::ssize(k) + std::ssize(v) > L) break;
      speak(k, v, seen);
    }
    for (size_t i = 0; i + 1 < s.tokens.size(); ++i) s.targets[i] = s.tokens[i + 1];
    return s;
  }
};

struct Memorise {
  static constexpr TaskDoc doc{"memorise", "facts that are the same in all samples", "Poli et al. 2024, 2403.17844",
      "channel mixers remember; what the sequence mixer is matters little"};
  int V, L;
  void visit(auto& v) {
    v("V", V, 256, "vocabulary: keys, values and the mark", Range{5, 1 << 16});
    v("L", L, 32, "tokens", Range{2, 1 << 20});
  }
  void check() const { expect(L % 2 == 0, "memorise: L = ", L, " is odd"); }
  int half() const { return (V - 1) / 2; }
  int vocab() const { return V; }
  std::string word(int32_t t) const { return t == V - 1 ? "?" : t < half() ? text("k", t) : text("v", t - half()); }
  Sample sample(Dice& d, Dice& fixed) const {
    std::vector<int32_t> value(at(half()));
    for (int32_t& v : value) v = half() + fixed.below(half());
    Sample s;
    for (int i = 0; i < L / 2; ++i) {
      const int key = d.below(half());
      s.say(key), s.ask(V - 1, value[at(key)]);
    }
    return s;
  }
};

struct Compress {
  static constexpr TaskDoc doc{"compress", "a sequence read back from one state", "Poli et al. 2024, 2403.17844",
      "by the width of what leaves the last token; recurrences are no worse than attention"};
  int V, L;
  void visit(auto& v) {
    v("V", V, 16, "symbols", Range{2, 1 << 16});
    v("L", L, 32, "tokens, the one that asks included", Range{2, 1 << 12});
  }
  int vocab() const { return V + 1; }
  std::string word(int32_t t) const { return t == V ? "all?" : std::to_string(t); }
  Sample sample(Dice& d) const {
    Sample s;
    for (int i = 1; i < L; ++i) s.say(d.below(V));
    s.decoded = s.tokens;
    s.say(V);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> mad_tasks() { return {task_of<MadRecall>(), task_of<Memorise>(), task_of<Compress>()}; }

}  // namespace headrace
