// Graphs, given as a list of edges.
//   connectivity  is there a way from s to t? (Merrill and Sabharwal 2025, 2503.03961). kind: cycles (one cycle of n vertices or two of n/2;
//                 s and t a quarter of it apart, or on different ones), random (each edge there with probability c / n, both answers as
//                 likely, s and t with an edge each). trace=steps lists the vertices in the order of a breadth-first search from s
//   search        the next vertex on a shortest way to the goal (Saparov et al. 2025, 2412.04703): paths of about the same length leave the
//                 vertex that was reached, one leads to the goal. Any vertex that begins a shortest way is right
#include <deque>
#include <numeric>
#include <set>

#include "probe/families.h"
#include "probe/task.h"

namespace headrace {
namespace {

using Edges = std::vector<std::pair<int, int>>;

struct Connectivity {
  static constexpr TaskDoc doc{"connectivity", "is there a way from s to t", "Merrill and Sabharwal 2025, 2503.03961",
      "attention reaches distances that double with each layer; recurrences once the state holds the components; steps mend it"};
  std::string kind;
  int n;
  double c;
  Trace trace;
  void visit(auto& v) {
    v("kind", kind, "cycles", "which graphs", Choice{"cycles", "random"});
    v("n", n, 16, "vertices", Range{6, 1 << 12});
    v("c", c, 1.2, "of random: edges of a vertex", Range{0.1, 64});
    trace.visit(v);
  }
  void check() const {
    expect(kind != "cycles" || n % 2 == 0, "connectivity: n = ", n, " is odd: two cycles of n/2");
    expect(kind != "random" || c < n - 1, "connectivity: c = ", c, " of n = ", n);
  }
  int vocab() const { return n + 4 + trace.tokens(); }
  std::string word(int32_t t) const {
    if (t < n) return std::to_string(t);
    return t >= n + 4 ? Trace::word(t - n - 4) : std::array{";", "?", "yes", "no"}[at(t - n)];
  }
  // In the order of the search, s first.
  std::vector<int> reached(const Edges& edges, int s) const {
    std::vector<std::vector<int>> beside(at(n));
    for (const auto& [u, v] : edges) beside[at(u)].push_back(v), beside[at(v)].push_back(u);
    std::vector<int> order{s};
    std::vector<bool> seen(at(n));
    seen[at(s)] = true;
    for (size_t i = 0; i < order.size(); ++i)
      for (const int v : beside[at(order[i])])
        if (!seen[at(v)]) seen[at(v)] = true, order.push_back(v);
    return order;
  }
  struct Problem { Edges edges; int s, t; };
  Problem cycles(Dice& d, bool connected) const {
    const std::vector<int> name = d.distinct(n, n);
    const int size = connected ? n : n / 2, apart = (n + 3) / 4;
    Problem p;
    for (int i = 0; i < n; ++i) p.edges.emplace_back(name[at(i)], name[at(i % size + 1 == size ? i - size + 1 : i + 1)]);
    const int i = connected ? d.below(n) : d.below(n / 2);
    p.s = name[at(i)], p.t = name[at(connected ? (i + d.between(apart, n - apart)) % n : n / 2 + d.below(n / 2))];
    if (d.coin()) std::swap(p.s, p.t);
    return p;
  }
  Problem random(Dice& d, bool connected) const {
    constexpr int64_t most_draws = 200'000, most_coins = 1 << 30;       // some seconds
    const int64_t draws = std::min(most_draws, most_coins / (n * (n - 1) / 2));
    for (int64_t i = 0; i < draws; ++i) {
      Problem p;
      std::vector<int> degree(at(n));
      for (int u = 0; u < n; ++u)
        for (int v = u + 1; v < n; ++v)
          if (d.coin(c / n)) p.edges.emplace_back(u, v), ++degree[at(u)], ++degree[at(v)];
      const std::vector<int> pair = d.distinct(2, n);
      p.s = pair[0], p.t = pair[1];
      if (!degree[at(p.s)] || !degree[at(p.t)]) continue;
      const std::vector<int> r = reached(p.edges, p.s);
      if ((std::find(r.begin(), r.end(), p.t) != r.end()) == connected) return p;
    }
    fail("connectivity: of ", draws, " random graphs of n = ", n, " and c = ", c, " none has s and t, with an edge each, ",
         connected ? "joined" : "apart");
  }
  Sample sample(Dice& d) const {
    const bool connected = d.coin();
    Problem p = kind == "cycles" ? cycles(d, connected) : random(d, connected);
    d.shuffle(p.edges);
    for (auto& [u, v] : p.edges) if (d.coin()) std::swap(u, v);
    Sample s;
    for (const auto& [u, v] : p.edges) s.say(u), s.say(v), s.say(n);
    s.say(p.s), s.say(p.t), s.say(n + 1);
    std::vector<int32_t> steps;
    if (trace.kind != "none")
      for (const int v : reached(p.edges, p.s)) {
        steps.push_back(v);
        if (v == p.t) break;
      }
    steps.push_back(n + (connected ? 2 : 3));
    trace.finish(s, steps, n + 4);
    return s;
  }
};

struct Search {
  static constexpr TaskDoc doc{"search", "the next vertex on the way to a goal", "Saparov et al. 2025, 2412.04703",
      "attention learns small graphs, and less the further ahead one has to look"};
  int vertices, edges, lookahead, prefix;
  void visit(auto& v) {
    v("vertices", vertices, 24, "their names", Range{4, 1 << 12});
    v("edges", edges, 24, "at most", Range{4, 1 << 14});
    v("lookahead", lookahead, 4, "the furthest goal, in steps");
    v("prefix", prefix, 3, "the most steps that are made already", Range{0, 1 << 10});
  }
  void check() const {
    const int most = std::min(edges - prefix, vertices - 1 - prefix);
    expect(2 * lookahead <= most, "search: vertices = ", vertices, " and edges = ", edges, " are too few for two paths of lookahead = ", lookahead,
           " after prefix = ", prefix);
  }
  int vocab() const { return vertices + 3; }
  std::string word(int32_t t) const { return t < vertices ? std::to_string(t) : std::array{"E", "Q", "P"}[at(t - vertices)]; }
  Sample sample(Dice& d) const {
    const std::vector<int> name = d.distinct(vertices, vertices);
    const int ahead = d.between(1, lookahead), before = d.between(0, prefix);
    Edges e;
    int used = 1;                                                        // vertex 0 begins the prefix
    const auto grow = [&](int from, int steps) {
      for (int i = 0; i < steps; ++i) e.emplace_back(from, used), from = used++;
      return from;
    };
    const int here = grow(0, before), goal = grow(here, ahead);
    const int room = std::min(edges - static_cast<int>(std::ssize(e)), vertices - used);
    const int branches = d.between(1, room / ahead);
    for (int b = 0; b < branches; ++b) {
      const int left = std::min(edges - static_cast<int>(std::ssize(e)), vertices - used), more = (branches - b - 1) * ahead;
      grow(here, ahead + (left - more > ahead && d.coin()));
    }
    std::vector<double> weight(at(used), 0.5);                           // further vertices below those that have many edges already
    for (const auto& [u, v] : e) weight[at(u)] += 1, weight[at(v)] += 1;
    while (used < vertices && std::ssize(e) < edges && d.coin(0.8)) {
      std::set<int> parents;
      for (int i = d.between(1, 4); i > 0 && std::ssize(e) + std::ssize(parents) < edges; --i) {
        double u = d.uniform() * std::accumulate(weight.begin(), weight.end(), 0.0);
        size_t p = 0;
        while (p + 1 < weight.size() && (u -= weight[p]) > 0) ++p;
        parents.insert(static_cast<int>(p));
      }
      weight.push_back(0.5 + static_cast<double>(parents.size()));
      for (const int p : parents) e.emplace_back(p, used), weight[at(p)] += 1;
      ++used;
    }
    d.shuffle(e);
    Sample s;
    for (const auto& [u, v] : e) s.say(vertices), s.say(name[at(u)]), s.say(name[at(v)]);
    s.say(vertices + 1), s.say(name[0]), s.say(name[at(goal)]), s.say(vertices + 2);
    for (int i = 0; i <= before; ++i) s.say(name[at(i)]);
    // Steps to the goal, from it backwards; a child of here that is one step nearer is right.
    std::vector<int> steps(at(used), -1);
    steps[at(goal)] = 0;
    for (std::deque<int> queue{goal}; !queue.empty(); queue.pop_front())
      for (const auto& [u, v] : e)
        if (v == queue.front() && steps[at(u)] < 0) steps[at(u)] = steps[at(v)] + 1, queue.push_back(u);
    std::vector<int32_t> right;
    for (const auto& [u, v] : e)
      if (u == here && steps[at(v)] == steps[at(here)] - 1) right.push_back(name[at(v)]);
    const size_t chosen = at(d.below(static_cast<int>(right.size())));
    s.ask_last(right[chosen]);
    for (const int32_t r : right)
      if (r != right[chosen]) s.also.push_back({static_cast<int32_t>(s.length() - 1), r});
    return s;
  }
};

}  // namespace

std::vector<TaskInfo> graph_tasks() { return {task_of<Connectivity>(), task_of<Search>()}; }

}  // namespace headrace
