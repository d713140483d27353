// A needle in a haystack (RULER: Hsieh et al. 2024, 2404.06654; passkeys: Mohtashami and Jaggi 2023, 2305.16300), small: filler of length L
// with needles "KEY k IS v.." in it, then for each question "KEY k ?" and the value's digits.
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Needle {
  static constexpr TaskDoc doc{"needle", "needle in a haystack", "Hsieh et al. 2024, 2404.06654",
      "attention within its trained length; windows and recurrences fall once the needle is further than they remember; one attention layer "
      "mends it"};
  int L, keys, values, digits, filler, needles, per_key, queries;
  double depth;
  std::string hay;
  void visit(auto& v) {
    v("L", L, 256, "tokens of the haystack, needles included", Range{8, 1 << 22});
    v("keys", keys, 64, "different keys");
    v("values", values, 10, "digits that a value is made of", Range{2, 1 << 16});
    v("digits", digits, 1, "of a value");
    v("filler", filler, 64, "different tokens of hay");
    v("needles", needles, 1, "keys that are hidden; all but those asked are distractors (multikey)");
    v("per_key", per_key, 1, "values of each key, all wanted in their order (multivalue)");
    v("queries", queries, 1, "keys that are asked (multiquery)");
    v("depth", depth, -1, "where the first asked needle is, 0 to 1; -1: anywhere", Range{-1, 1});
    v("hay", hay, "uniform", "filler's distribution", Choice{"uniform", "zipf"});
  }
  int width() const { return 3 + digits; }
  void check() const {
    expect(needles <= keys, "needle: needles = ", needles, " with keys = ", keys);
    expect(queries <= needles, "needle: queries = ", queries, " of needles = ", needles);
    expect(int64_t{needles} * per_key * width() <= L, "needle: L = ", L, " is too short for ", needles * per_key, " needles of ", width(), " tokens");
  }
  int vocab() const { return keys + values + filler + 3; }
  int mark(int i) const { return keys + values + filler + i; }           // KEY, IS, ?
  std::string word(int32_t t) const {
    if (t >= mark(0)) return std::array{"KEY", "IS", "?"}[at(t - mark(0))];
    return t < keys ? text("k", t) : t < keys + values ? text("v", t - keys) : text("~", t - keys - values);
  }
  Sample sample(Dice& d) const {
    const std::vector<int> key = d.distinct(needles, keys);              // the first are asked
    const int count = needles * per_key, hay_tokens = L - count * width();
    std::vector<int> order;                                              // of needles in the hay, each key per_key times
    for (int i = 0; i < count; ++i) order.push_back(i / per_key);
    d.shuffle(order);
    std::vector<int> places(at(count));                                  // hay tokens before each
    for (int& p : places) p = d.below(hay_tokens + 1);
    std::sort(places.begin(), places.end());
    if (depth >= 0) {                                                    // the first asked needle to its depth, the others around it
      places.erase(places.begin() + d.below(count));
      const int wanted = static_cast<int>(std::lround(depth * hay_tokens));
      const auto slot = std::lower_bound(places.begin(), places.end(), wanted);
      const auto first = std::find(order.begin(), order.end(), 0);
      order.erase(first);
      order.insert(order.begin() + (slot - places.begin()), 0);
      places.insert(slot, wanted);
    }
    std::vector<std::vector<int32_t>> answers(at(needles));
    Sample s;
    for (int i = 0, next = 0; i <= hay_tokens; ++i) {
      for (; next < count && places[at(next)] == i; ++next) {
        const int which = order[at(next)];
        s.say(mark(0)), s.say(key[at(which)]), s.say(mark(1));
        for (int k = 0; k < digits; ++k) answers[at(which)].push_back(keys + d.below(values)), s.say(answers[at(which)].back());
      }
      if (i < hay_tokens) s.say(keys + values + draw_filler(d));
    }
    for (int q = 0; q < queries; ++q) {
      s.say(mark(0)), s.say(key[at(q)]), s.say(mark(2));
      for (const int32_t a : answers[at(q)]) s.ask_last(a), s.say(a);
    }
    s.tokens.pop_back(), s.targets.pop_back(), s.mask.pop_back();        // the last answer, after which nothing is asked
    return s;
  }
  int draw_filler(Dice& d) const {                                       // zipf: by the inverse of the continuous law 1/x on [1, filler + 1)
    if (hay == "uniform") return d.below(filler);
    return std::min(filler - 1, static_cast<int>(std::pow(filler + 1.0, d.uniform())) - 1);
  }
};

}  // namespace

std::vector<TaskInfo> needle_tasks() { return {task_of<Needle>()}; }

}  // namespace headrace
