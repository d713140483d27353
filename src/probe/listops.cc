// ListOps (Nangia and Bowman 2018, 1804.06028) as in the Long Range Arena (Tay et al. 2020, 2011.04006): nested MIN, MAX, MED (median, rounded
// down), SM (sum modulo 10) of digits. A node above the greatest depth is an operator with probability 1/4, of 2..arguments parts; an expression
// is drawn again until its length is within bounds. The arena's own: depth=10 min=500 max=2000.
#include <numeric>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

struct ListOps {
  static constexpr TaskDoc doc{"listops", "nested list operations", "Nangia and Bowman 2018, 1804.06028; Tay et al. 2020, 2011.04006",
      "attention about 37 %, S4 about 60 %, S5 about 62 % of the arena's"};
  int depth, arguments;
  Lengths length;
  void visit(auto& v) {
    v("depth", depth, 4, "the deepest node", Range{2, 20});
    v("arguments", arguments, 10, "the most of an operator", Range{2, 64});
    length.visit(v, 30, 200, 1, "tokens of the expression");
  }
  static constexpr double operator_share = 0.25;
  // Of all nodes but the deepest's, before lengths are looked at: what an expression can have at most.
  void check() const {
    length.check("listops");
    double most = 1;
    for (int i = 1; i < depth; ++i) most = 2 + arguments * most;
    expect(most >= length.min, "listops: depth = ", depth, " and arguments = ", arguments, " give at most ", most, " tokens, min = ", length.min);
  }
  enum { MIN = 10, MAX, MED, SM, close, pad, words };
  int vocab() const { return words; }
  std::string word(int32_t t) const { return t < 10 ? std::to_string(t) : std::array{"[MIN", "[MAX", "[MED", "[SM", "]", "pad"}[at(t - 10)]; }
  // Gives the value; says at most one token over the greatest length.
  int expression(Dice& d, Sample& s, int level) const {
    if (s.length() > length.max) return 0;
    if (level >= depth || !d.coin(operator_share)) {
      s.say(d.below(10));
      return s.tokens.back();
    }
    const int operation = d.between(MIN, SM);
    s.say(operation);
    std::vector<int> parts;
    for (int n = d.between(2, arguments); n > 0; --n) parts.push_back(expression(d, s, level + 1));
    s.say(close);
    std::sort(parts.begin(), parts.end());
    if (operation == MIN) return parts.front();
    if (operation == MAX) return parts.back();
    if (operation == SM) return std::accumulate(parts.begin(), parts.end(), 0) % 10;
    const size_t half = parts.size() / 2;
    return parts.size() % 2 ? parts[half] : (parts[half - 1] + parts[half]) / 2;
  }
  Sample sample(Dice& d) const {
    constexpr int64_t most_draws = 200'000, most_tokens = 1 << 26;      // a second or two
    int64_t draws = 0;
    for (int64_t tokens = 0; draws < most_draws && tokens < most_tokens; ++draws) {
      Sample s;
      const int value = expression(d, s, 1);
      tokens += s.length();
      if (s.length() < length.min || s.length() > length.max) continue;
      s.ask_last(value);
      return s;
    }
    fail("listops: of ", draws, " expressions of depth = ", depth, " and arguments = ", arguments, " none has ", length.min, "..", length.max,
         " tokens");
  }
};

}  // namespace

std::vector<TaskInfo> listops_tasks() { return {task_of<ListOps>()}; }

}  // namespace headrace
