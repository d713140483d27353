// Just read twice (Arora et al. 2024, 2407.05483): two sets with one element in common. A recurrence must remember the first set, so it
// matters which comes first; reading the input twice (JRT-prompt) makes the order matter less.
//   1 A 2 B 3   the element of both, at the last token
#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct Disjoint {
  static constexpr TaskDoc doc{"disjoint", "the one element that two sets share", "Arora et al. 2024, 2407.05483",
      "attention does not mind the order; recurrences do far better with the short set first, and with repeat=2"};
  int V, first, second, repeat;
  bool swap;
  void visit(auto& v) {
    v("V", V, 2048, "vocabulary, with three marks and an unused 0", Range{8, 1 << 20});
    v("first", first, 4, "elements of the first set");
    v("second", second, 16, "elements of the second set");
    v("swap", swap, false, "the second set comes first");
    v("repeat", repeat, 1, "times that the input is read (2: JRT-prompt)", Range{1, 16});
  }
  void check() const {
    const int half = (V - 4) / 2;
    expect(first <= half && second <= half, "disjoint: sets of ", first, " and ", second, " with V = ", V, ": at most ", half, " each");
  }
  int vocab() const { return V; }
  std::string word(int32_t t) const { return t == 1 ? "A:" : t == 2 ? "B:" : t == 3 ? "both:" : std::to_string(t); }
  Sample sample(Dice& d) const {
    const int first = swap ? this->second : this->first, second = swap ? this->first : this->second;
    std::vector<int> a = d.distinct(first + second, V - 4);              // halves of a vocabulary that is shuffled anew each time
    for (int& x : a) x += 4;
    std::vector<int> b(a.begin() + first, a.end());
    a.resize(at(first));
    const int both = a[at(d.below(first))];
    b[at(d.below(second))] = both;
    Sample s;
    for (int i = 0; i < repeat; ++i) {
      s.say(1);
      for (int x : a) s.say(x);
      s.say(2);
      for (int x : b) s.say(x);
    }
    s.ask(3, both);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> twice_tasks() { return {task_of<Disjoint>()}; }

}  // namespace headrace
