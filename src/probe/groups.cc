// Word problems of finite groups (Merrill, Petty, Sabharwal 2024, 2404.08819): elements g_1 g_2 ... and at each the product so far. S5 and A5
// are not solvable, so that a model of fixed depth with diagonal transitions cannot do it for all lengths; Z60 and A4 x Z5 are as large and
// solvable.
//
// Words may be of few elements only: those that move at most so many points (Grazzi et al. 2024, 2411.12537: moved=2 are the identity and the
// swaps, each of which is one reflection), while the products are still all of the group's.
//
// An element is a permutation p of points, p[i] where i goes; the product a b is a first, then b: (a b)[i] = b[a[i]]. Elements are numbered in
// the order of their p; the identity is 0.
#include <map>
#include <numeric>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

using Permutation = std::vector<int>;

Permutation cycle(int points, std::initializer_list<int> through) {
  Permutation p(at(points));
  std::iota(p.begin(), p.end(), 0);
  for (auto i = through.begin(); i != through.end(); ++i) p[at(*i)] = i + 1 == through.end() ? *through.begin() : *(i + 1);
  return p;
}
Permutation rotation(int points) {
  Permutation p;
  for (int i = 0; i < points; ++i) p.push_back((i + 1) % points);
  return p;
}
Permutation reflection(int points) {
  Permutation p;
  for (int i = 0; i < points; ++i) p.push_back((points - i) % points);
  return p;
}
Permutation product(const Permutation& a, const Permutation& b) {
  Permutation p;
  for (const int i : a) p.push_back(b[at(i)]);
  return p;
}
// Both beside each other, on points of their own.
Permutation beside(Permutation a, const Permutation& b) {
  const int n = static_cast<int>(std::ssize(a));
  for (const int i : b) a.push_back(n + i);
  return a;
}

std::vector<Permutation> generators(const std::string& group) {
  if (group == "A4xZ5")
    return {beside(cycle(4, {0, 1, 2}), cycle(5, {})), beside(cycle(4, {1, 2, 3}), cycle(5, {})), beside(cycle(4, {}), rotation(5))};
  if (group == "Q8") return {{1, 4, 7, 2, 5, 0, 3, 6}, {2, 3, 4, 5, 6, 7, 0, 1}};   // 1 i j k -1 -i -j -k, times i and times j
  const int n = std::stoi(group.substr(1));
  if (group[0] == 'Z') return {rotation(n)};
  if (group[0] == 'D') return {rotation(n), reflection(n)};
  if (group[0] == 'S') return {rotation(n), cycle(n, {0, 1})};
  std::vector<Permutation> g;                          // A_n: by three-cycles
  for (int i = 0; i + 2 < n; ++i) g.push_back(cycle(n, {i, i + 1, i + 2}));
  return g;
}

struct Words {
  static constexpr TaskDoc doc{"words", "word problems of groups", "Merrill, Petty, Sabharwal 2024, 2404.08819; Liu et al. 2022, 2210.10749",
      "LSTM one layer at every length; S5 and A5: attention, S4 and Mamba need depth that grows with it; products of reflections (DeltaNet "
      "with negative eigenvalues, RWKV-7) solve them"};
  std::string group;
  int moved;
  Lengths length;
  Trace trace;
  std::vector<Permutation> elements;
  std::vector<int> letters;                                              // the elements that words are made of
  std::vector<std::vector<int>> table;                                   // [a][b] = a b
  void visit(auto& v) {
    v("group", group, "S5", "which group",
      Choice{"Z2", "Z3", "Z5", "Z7", "Z60", "S3", "S4", "S5", "A4", "A5", "A4xZ5", "D4", "D5", "D8", "Q8"});
    v("moved", moved, 0, "points that an element of the word moves at most (2: swaps; 0: any element)", Range{0, 64});
    length.visit(v, 2, 20, 1, "elements of the word");
    trace.visit(v);
  }
  void check() {
    length.check("words");
    std::map<Permutation, int> number;
    const std::vector<Permutation> by = generators(group);
    elements = {product(by[0], by[0])};
    std::iota(elements[0].begin(), elements[0].end(), 0);
    number[elements[0]] = 0;
    for (size_t i = 0; i < elements.size(); ++i)
      for (const Permutation& g : by)
        if (const Permutation p = product(elements[i], g); number.emplace(p, 0).second) elements.push_back(p);
    std::sort(elements.begin(), elements.end());
    for (size_t i = 0; i < elements.size(); ++i) number[elements[i]] = static_cast<int>(i);
    for (const Permutation& a : elements) {
      table.emplace_back();
      for (const Permutation& b : elements) table.back().push_back(number.at(product(a, b)));
      int moves = 0;
      for (size_t i = 0; i < a.size(); ++i) moves += a[i] != static_cast<int>(i);
      if (moved == 0 || moves <= moved) letters.push_back(number.at(a));
    }
    expect(letters.size() > 1, "words: no element of ", group, " but the identity moves at most moved = ", moved, " points");
  }
  int order() const { return static_cast<int>(std::ssize(elements)); }
  int vocab() const { return order() + 1 + trace.tokens(); }             // with a beginning
  std::string word(int32_t t) const {
    if (t == order()) return "^";
    if (t > order()) return Trace::word(t - order() - 1);
    std::string s;
    for (const int i : elements[at(t)]) s += std::to_string(i);
    return elements[0].size() > 10 ? text("g", t) : s;
  }
  Sample sample(Dice& d) const {
    Sample s;
    s.say(order());
    std::vector<int32_t> states;
    for (int i = 0, n = length.draw(d), so_far = 0; i < n; ++i) {
      const int g = letters[at(d.below(static_cast<int>(std::ssize(letters))))];
      states.push_back(so_far = table[at(so_far)][at(g)]);
      if (trace.kind == "none") s.ask(g, so_far);
      else s.say(g);
    }
    if (trace.kind != "none") trace.finish(s, states, order() + 1);
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> group_tasks() { return {task_of<Words>()}; }

}  // namespace headrace
