// Graphs, matches, distances, expressions, lengths and vectors, each answer derived again in another way.
#include "probe.h"

#include <cmath>
#include <functional>
#include <numeric>

namespace headrace {
namespace {

using Table = std::vector<std::vector<bool>>;
// Which vertices a way of at most n edges joins: the adjacency matrix (with its diagonal) squared until it says so.
Table joined(Table a) {
  for (size_t steps = 1; steps < a.size(); steps *= 2) {
    Table b = a;
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t j = 0; j < a.size(); ++j)
        for (size_t k = 0; k < a.size() && !b[i][j]; ++k) b[i][j] = a[i][k] && a[k][j];
    a = b;
  }
  return a;
}
TEST(ProbeSearch, ConnectedIsWhatPowersOfTheAdjacencyMatrixSay) {
  for (const auto& [kind, n] : std::vector<std::pair<std::string, int>>{{"cycles", 6}, {"cycles", 16}, {"random", 16}, {"random", 9}})
    for (const std::string trace : {"none", "steps"}) {
      std::map<int32_t, int> answers;
      std::map<int32_t, double> edges;
      each("connectivity", {"kind=" + kind, text("n=", n), "trace=" + trace}, 600, [&, n = n, kind = kind](const Sample& s) {
        Table a(at(n), std::vector<bool>(at(n)));
        for (int i = 0; i < n; ++i) a[at(i)][at(i)] = true;
        int64_t i = 0;
        std::vector<int> degree(at(n));
        for (; s.tokens[at(i + 2)] == n; i += 3) {
          const size_t u = at(s.tokens[at(i)]), v = at(s.tokens[at(i + 1)]);
          a[u][v] = a[v][u] = true, ++degree[u], ++degree[v];
        }
        const size_t from = at(s.tokens[at(i)]), to = at(s.tokens[at(i + 1)]);
        EXPECT_EQ(s.tokens[at(i + 2)], n + 1);
        const bool yes = joined(a)[from][to];
        EXPECT_EQ(answer(s), n + (yes ? 2 : 3));
        if (kind == "cycles") { EXPECT_EQ(degree, std::vector<int>(at(n), 2)); }
        EXPECT_TRUE(from != to && degree[from] && degree[to]);
        if (kind == "cycles" && yes) {                                   // at least a quarter apart: no way of fewer steps
          Table near = a;
          for (int steps = 1; steps < (n + 3) / 4 - 1; ++steps) {
            Table next = near;
            for (size_t x = 0; x < a.size(); ++x)
              for (size_t y = 0; y < a.size(); ++y)
                for (size_t z = 0; z < a.size(); ++z) next[x][y] = next[x][y] || (near[x][z] && a[z][y]);
            near = next;
          }
          if ((n + 3) / 4 > 1) { EXPECT_FALSE(near[from][to]); }
        }
        if (trace == "steps") {                                          // s, then neighbours of vertices that stand before
          const Ids order = cut(s.targets, i + 3, s.length() - 1);
          ASSERT_FALSE(order.empty());
          EXPECT_EQ(at(order[0]), from);
          for (size_t k = 1; k < order.size(); ++k)
            EXPECT_TRUE(std::any_of(order.begin(), order.begin() + static_cast<int64_t>(k), [&](int32_t u) { return a[at(u)][at(order[k])]; }));
          EXPECT_EQ(std::find(order.begin(), order.end(), static_cast<int32_t>(to)) != order.end(), yes);
        }
        ++answers[answer(s)];
        edges[answer(s)] += static_cast<double>(i) / 3;
      });
      expect_shares(answers, uniform(n + 2, 2), "connected");
      if (kind == "cycles") { EXPECT_EQ(edges[n + 2] / answers[n + 2], edges[n + 3] / answers[n + 3]); }
    }
  EXPECT_THROW(open_task("connectivity", std::vector<std::string>{"n=7"}), Error);
}

TEST(ProbeSearch, NextVerticesLieOnShortestWays) {
  int several = 0;
  each("search", {"vertices=40", "edges=40", "lookahead=5"}, 800, [&](const Sample& s) {
    constexpr int n = 40, far = 1000;
    std::vector<std::vector<int>> distance(n, std::vector<int>(n, far));   // Floyd and Warshall
    std::set<std::pair<int32_t, int32_t>> edges;
    int64_t i = 0;
    for (; s.tokens[at(i)] == n; i += 3) {
      distance[at(s.tokens[at(i + 1)])][at(s.tokens[at(i + 2)])] = 1;
      EXPECT_TRUE(edges.emplace(s.tokens[at(i + 1)], s.tokens[at(i + 2)]).second);
    }
    EXPECT_LE(std::ssize(edges), 40);
    for (size_t k = 0; k < n; ++k)
      for (size_t a = 0; a < n; ++a)
        for (size_t b = 0; b < n; ++b) distance[a][b] = std::min(distance[a][b], distance[a][k] + distance[k][b]);
    EXPECT_EQ(s.tokens[at(i)], n + 1);
    const size_t goal = at(s.tokens[at(i + 2)]), here = at(s.tokens.back());
    EXPECT_EQ(s.tokens[at(i + 3)], n + 2);
    EXPECT_EQ(s.tokens[at(i + 4)], s.tokens[at(i + 1)]);
    for (int64_t p = i + 4; p + 1 < s.length(); ++p) EXPECT_TRUE(edges.contains({s.tokens[at(p)], s.tokens[at(p + 1)]})) << "the way so far";
    ASSERT_TRUE(distance[here][goal] >= 1 && distance[here][goal] <= 5);
    std::set<int32_t> right, said{answer(s)};
    for (const auto& [u, v] : edges)
      if (at(u) == here && (at(v) == goal ? 0 : distance[at(v)][goal]) == distance[here][goal] - 1) right.insert(v);
    for (const Sample::Also& a : s.also) {
      EXPECT_EQ(a.at, s.length() - 1);
      said.insert(a.token);
    }
    EXPECT_EQ(said, right);
    int ways = 0;
    for (const auto& [u, v] : edges) ways += at(u) == here;
    several += ways >= 2;
  });
  EXPECT_EQ(several, 800) << "there is nothing to choose";
}

TEST(ProbeSearch, WhatIsHardlyEverDrawnIsOneErrorThatNamesTheParameters) {
  for (const auto& [task, set, part] : std::vector<std::tuple<std::string, std::vector<std::string>, std::string>>{
           {"connectivity", {"kind=random", "n=16", "c=14.9"}, "n = 16 and c = 14.9"},
           {"listops", {"depth=20", "arguments=64", "min=100000", "max=100001"}, "depth = 20 and arguments = 64"}})
    try {
      const Task t = open_task(task, set);
      for (uint64_t i = 0; i < 4; ++i) t.sample(0, Split::train, i);
      FAIL() << task << ": such samples there are";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
}

TEST(ProbeSearch, MatchesAreFoundByTryingAll) {
  for (const std::string causal : {"causal=off", "causal=on"})
    for (const int order : {2, 3}) {
      std::map<int32_t, int> answers;
      const Task t = open_task("match", std::vector<std::string>{causal, text("order=", order), "N=20"});
      const int M = t.vocab - 2;
      each("match", {causal, text("order=", order), "N=20"}, 400, [&](const Sample& s) {
        const int64_t second = causal == "causal=off" ? 20 : 0;
        for (int64_t i = 0; i < 20; ++i) {
          const int64_t seen = second ? 20 : i;
          bool found = false;
          for (int64_t j = 0; j < seen; ++j)
            for (int64_t k = order == 2 ? j : j + 1; k < (order == 2 ? j + 1 : seen); ++k) {
              if (j == i || k == i) continue;
              found |= (s.tokens[at(i)] + s.tokens[at(j)] + (order == 3 ? s.tokens[at(k)] : 0)) % M == 0;
            }
          EXPECT_EQ(s.tokens[at(second + i)], s.tokens[at(i)]);
          EXPECT_EQ(s.targets[at(second + i)], M + found);
          ++answers[s.targets[at(second + i)]];
        }
      });
      const double yes = answers[M + 1] / 8000.0;
      EXPECT_TRUE(yes > 0.42 && yes < 0.58) << causal << " order " << order << ": " << yes;
    }
}

TEST(ProbeSearch, MatchesAreAboutHalfOfAllAtEveryLength) {
  for (const std::string causal : {"causal=off", "causal=on"})
    for (const int order : {2, 3})
      for (const int N : {6, 8, 16, 32}) {
        const Task t = open_task("match", std::vector<std::string>{causal, text("order=", order), text("N=", N)});
        int yes = 0, all = 0;
        for (uint64_t i = 0; i < 1500; ++i) {
          Dice d(1, 7, i), fixed(1, 8, 0);
          const Sample s = t.draw(d, fixed);
          for (int64_t k = 0; k < s.length(); ++k)
            if (s.mask[at(k)]) ++all, yes += s.targets[at(k)] == t.vocab - 1;
        }
        EXPECT_NEAR(yes / static_cast<double>(all), 0.5, 0.05) << causal << ", order " << order << ", N = " << N;
      }
}

int distance(const Ids& x, const Ids& y) {                               // by recursion, what is known kept
  std::map<std::pair<size_t, size_t>, int> known;
  const std::function<int(size_t, size_t)> from = [&](size_t i, size_t j) -> int {
    if (i == x.size() || j == y.size()) return static_cast<int>(x.size() - i + y.size() - j);
    if (const auto found = known.find({i, j}); found != known.end()) return found->second;
    const int d = x[i] == y[j] ? from(i + 1, j + 1) : 1 + std::min({from(i + 1, j + 1), from(i + 1, j), from(i, j + 1)});
    return known[{i, j}] = d;
  };
  return from(0, 0);
}
TEST(ProbeSearch, EditDistancesAreTheRecursion) {
  for (const int n : {1, 8, 20}) {
    std::set<int32_t> classes;
    const int letters = n == 1 ? 30 : 4;
    each("edit_distance", {text("n=", n), text("alphabet=", letters)}, 300, [&](const Sample& s) {
      const int64_t bar = place(s.tokens, letters);
      const Ids x = cut(s.tokens, 0, bar), y = cut(s.tokens, bar + 1, s.length() - 1);
      EXPECT_EQ(std::ssize(x), n);
      EXPECT_EQ(answer(s) - letters - 2, distance(x, y));
      EXPECT_EQ(distance(x, y), distance(y, x));
      classes.insert(answer(s));
    });
    EXPECT_GE(std::ssize(classes), std::min(n + 1, 8));
  }
  each("edit_distance", {"n=12", "bins=10"}, 300, [](const Sample& s) {
    const int64_t bar = place(s.tokens, 4);
    const int d = distance(cut(s.tokens, 0, bar), cut(s.tokens, bar + 1, s.length() - 1));
    EXPECT_EQ(answer(s) - 6, std::min(9, d * 10 / 12));
  });
}

TEST(ProbeSearch, OrthogonalDocumentsAreFoundByInnerProducts) {
  std::map<int32_t, int> answers;
  std::map<int32_t, double> words;
  for (const auto& [n, count] : std::vector<std::pair<int, int>>{{2, 200}, {24, 400}}) {
    const Task t = open_task("orthogonal", std::vector<std::string>{text("n=", n)});
    each("orthogonal", {text("n=", n)}, count, [&, n = n](const Sample& s) {
      ASSERT_EQ(s.length(), n + 1);
      bool found = false;
      double sum = 0;
      for (int i = 0; i < n; ++i) {
        const float* u = &s.x[at(i * t.inputs)];
        for (int j = 0; j < i; ++j) found |= std::inner_product(u, u + t.inputs, &s.x[at(j * t.inputs)], 0.f) == 0;
        sum += std::accumulate(u, u + t.inputs, 0.f);
      }
      EXPECT_EQ(s.targets.back(), found);
      EXPECT_EQ(s.x.back(), 1);
      if (n == 24) ++answers[found], words[found] += sum / n;
    });
  }
  expect_shares(answers, uniform(0, 2), "pairs");
  EXPECT_NEAR(words[0] / answers[0], words[1] / answers[1], 0.2) << "the number of words tells";
}

TEST(ProbeSearch, ListOpsAreEvaluatedByAStack) {
  std::map<int32_t, int> answers, operators;
  for (const auto& set : std::vector<std::vector<std::string>>{{}, {"depth=10", "min=500", "max=2000"}, {"min=1", "max=12", "depth=3"}})
    each("listops", set, 150, [&](const Sample& s) {
      std::vector<int> values;
      std::vector<std::pair<int32_t, size_t>> open;                      // operator, and where its parts begin
      for (const int32_t t : s.tokens) {
        if (t < 10) { values.push_back(t); continue; }
        if (t < 14) { open.emplace_back(t, values.size()), ++operators[t]; continue; }
        ASSERT_EQ(t, 14);
        const auto [f, begin] = open.back();
        open.pop_back();
        std::multiset<int> parts(values.begin() + static_cast<int64_t>(begin), values.end());
        const int64_t n = std::ssize(parts);
        ASSERT_GE(n, 2);
        const int low = *std::next(parts.begin(), (n - 1) / 2), high = *std::next(parts.begin(), n / 2);
        const int sum = std::accumulate(parts.begin(), parts.end(), 0);
        const int v = f == 10 ? *parts.begin() : f == 11 ? *parts.rbegin() : f == 12 ? (low + high) / 2 : sum % 10;
        values.resize(begin), values.push_back(v);
      }
      ASSERT_TRUE(open.empty() && values.size() == 1);
      EXPECT_EQ(answer(s), values[0]);
      ++answers[answer(s)];
      const int64_t least = set.empty() ? 30 : set[0] == "depth=10" ? 500 : 1;
      EXPECT_TRUE(s.length() >= least && s.length() <= (least == 30 ? 200 : least == 500 ? 2000 : 12));
    });
  EXPECT_EQ(answers.size(), 10u);
  expect_shares(operators, uniform(10, 4), "operators");
  EXPECT_THROW(open_task("listops", std::vector<std::string>{"depth=2", "min=40"}), Error);
}

TEST(ProbeSearch, MajoritiesAreCountedForEachSequence) {
  each("majority", {"interleaved=3"}, 500, [](const Sample& s) {
    const int64_t n = place(s.tokens, 2);
    ASSERT_EQ(s.length(), n + 3);
    for (int64_t k = 0; k < 3; ++k) {
      int sum = 0;
      for (int64_t i = k; i < n; i += 3) sum += s.tokens[at(i)] ? 1 : -1;
      EXPECT_NE(sum, 0);
      EXPECT_EQ(s.targets[at(n + k)], sum > 0);
    }
  });
  std::map<int32_t, int> answers;
  each("majority", {"min=9"}, 3000, [&](const Sample& s) { ++answers[answer(s)]; });
  expect_shares(answers, uniform(0, 2), "majorities");
}
TEST(ProbeSearch, NeighboursAreThoseOfTheOccurrenceThatCounts) {
  for (const std::string side : {"right", "left"})
    for (const std::string which : {"last", "first"})
      each("direction", {"side=" + side, "which=" + which, "alphabet=6"}, 500, [&](const Sample& s) {
        const int64_t n = place(s.tokens, 6);
        Ids x = cut(s.tokens, 0, n), found;                              // every neighbour that there is, in order
        if (side == "left") std::reverse(x.begin(), x.end());
        for (int64_t i = 0; i + 1 < n; ++i)
          if (x[at(i)] == s.tokens.back()) found.push_back(x[at(i + 1)]);
        ASSERT_FALSE(found.empty());
        EXPECT_EQ(answer(s), (which == "last") == (side == "right") ? found.back() : found.front());
      });
}
TEST(ProbeSearch, LegoVariablesAreSolvedByRepeatedSubstitution) {
  std::map<int32_t, int> answers;
  for (const std::string shuffled : {"shuffled=on", "shuffled=off"})
    each("lego", {shuffled}, 1000, [&](const Sample& s) {
      std::map<int32_t, int> value{{30, 0}};                             // 1; an even number of signs
      const int64_t n = place(s.tokens, 29);
      for (bool again = true; again;) {
        again = false;
        for (int64_t i = 0; i < n; i += 4) {
          EXPECT_EQ(s.tokens[at(i + 3)], 28);
          if (value.contains(s.tokens[at(i + 2)]) && !value.contains(s.tokens[at(i)]))
            value[s.tokens[at(i)]] = value[s.tokens[at(i + 2)]] + (s.tokens[at(i + 1)] == 27), again = true;
        }
      }
      EXPECT_EQ(std::ssize(value), n / 4 + 1);
      EXPECT_EQ(answer(s), 26 + value.at(s.tokens.back()) % 2);
      ++answers[answer(s)];
    });
  expect_shares(answers, uniform(26, 2), "signs");
}

// Least squares of the shown points: normal equations, by elimination.
std::vector<double> solve(std::vector<std::vector<double>> a) {
  const size_t n = a.size();
  for (size_t i = 0; i < n; ++i) {
    size_t best = i;
    for (size_t r = i; r < n; ++r) if (std::abs(a[r][i]) > std::abs(a[best][i])) best = r;
    std::swap(a[i], a[best]);
    for (size_t r = 0; r < n; ++r)
      for (size_t c = n + 1; r != i && c-- > i;) a[r][c] -= a[r][i] / a[i][i] * a[i][c];
  }
  std::vector<double> x;
  for (size_t i = 0; i < n; ++i) x.push_back(a[i][n] / a[i][i]);
  return x;
}
TEST(ProbeSearch, LinearFunctionsAreFoundByLeastSquaresOfFortyPoints) {
  for (const std::string f : {"linear", "sparse", "quadratic"})
    each("regression", {"function=" + f, "points=41", "dims=8"}, 60, [&](const Sample& s) {
      std::vector<std::vector<double>> normal(8, std::vector<double>(9));
      const auto x = [&](int point, int i) { const double v = s.x[at(2 * point * 8 + i)]; return f == "quadratic" ? v * v : v; };
      for (int p = 0; p < 40; ++p) {
        EXPECT_FLOAT_EQ(s.x[at((2 * p + 1) * 8)], s.y[at(2 * p)]);         // y is shown after it was asked
        EXPECT_TRUE(s.mask[at(2 * p)] && !s.mask[at(2 * p + 1)]);
        for (int i = 0; i < 8; ++i) {
          for (int j = 0; j < 8; ++j) normal[at(i)][at(j)] += x(p, i) * x(p, j);
          normal[at(i)][8] += x(p, i) * s.y[at(2 * p)];
        }
      }
      const std::vector<double> w = solve(normal);
      double said = 0;
      int used = 0;
      for (int i = 0; i < 8; ++i) said += w[at(i)] * x(40, i), used += std::abs(w[at(i)]) > 1e-4;
      EXPECT_NEAR(said, s.y[80], 1e-4);
      if (f == "sparse") { EXPECT_LE(used, 3); }
    });
}
TEST(ProbeSearch, OtherFunctionsAreOfTheirKind) {
  double noise = 0, relu = 0;
  each("regression", {"function=noisy", "noise=0.3"}, 100, [&](const Sample& s) {
    for (int p = 0; p < 20; ++p) noise += std::pow(s.x[at((2 * p + 1) * 5)] - s.y[at(2 * p)], 2) / 2000;
  });
  EXPECT_NEAR(noise, 0.09, 0.02);
  each("regression", {"function=tree", "points=200"}, 20, [](const Sample& s) {
    std::set<float> leaves;
    for (int p = 0; p < 200; ++p) leaves.insert(s.y[at(2 * p)]);
    EXPECT_TRUE(leaves.size() <= 16 && leaves.size() > 2) << leaves.size();
  });
  each("regression", {"function=relu"}, 200, [&](const Sample& s) { relu += std::pow(s.y[0], 2) / 200; });
  EXPECT_NEAR(relu, 5, 3);                               // 2/100 sum of w^2 relu(W x)^2 over 100 units: |x|^2, 5 on the average
  each("regression", {"function=parity", "dims=6", "points=200"}, 30, [](const Sample& s) {
    int right = 0;                                       // exactly one pair of coordinates says all
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < i; ++j) {
        bool all = true;
        for (int p = 0; p < 200; ++p) all &= s.x[at(2 * p * 6 + i)] * s.x[at(2 * p * 6 + j)] == s.y[at(2 * p)];
        right += all;
      }
    EXPECT_EQ(right, 1);
  });
  each("regression", {"dims=7", "active=3"}, 20, [](const Sample& s) {
    for (int p = 0; p < 20; ++p) for (int i = 3; i < 7; ++i) EXPECT_EQ(s.x[at(2 * p * 7 + i)], 0);
  });
  EXPECT_THROW(open_task("regression", std::vector<std::string>{"dims=3", "active=4"}), Error);
}
TEST(ProbeSearch, RetrievedValuesFollowTheNearestKey) {
  each("retrieve", {"dims=6"}, 200, [](const Sample& s) {
    const auto row = [&](int i) { return &s.x[at(i * 6)]; };
    int best = 0;
    for (int i = 0; i < 32; ++i) EXPECT_NEAR(std::inner_product(row(i), row(i) + 6, row(i), 0.0), 6, 1e-4);
    for (int i = 0; i < 16; ++i)
      if (std::inner_product(row(2 * i), row(2 * i) + 6, row(32), 0.0) > std::inner_product(row(2 * best), row(2 * best) + 6, row(32), 0.0)) best = i;
    for (int k = 0; k < 6; ++k) EXPECT_EQ(s.y[at(32 * 6 + k)], row(2 * best + 1)[k]);
  });
}
TEST(ProbeSearch, AveragesAreOfThePlacesThatAreNamed) {
  for (const int q : {1, 3})
    each("sparse_average", {"N=12", text("q=", q)}, 50, [&](const Sample& s) {
      const int width = 4 + 16 * (1 + q);
      for (int i = 0; i < 12; ++i) {
        const float* token = &s.x[at((12 + i) * width)];
        std::set<int> places;
        std::vector<double> mean(4);
        for (int k = 0; k < q; ++k) {                    // a place is known by its code
          const float* code = token + 4 + 16 * (1 + k);
          int found = -1;
          for (int j = 0; j < 12; ++j)
            if (std::equal(code, code + 16, &s.x[at(j * width + 4)])) { EXPECT_EQ(found, -1); found = j; }
          ASSERT_GE(found, 0);
          EXPECT_TRUE(places.insert(found).second);
          for (int c = 0; c < 4; ++c) mean[at(c)] += s.x[at(found * width + c)] / q;
        }
        for (int c = 0; c < 4; ++c) EXPECT_NEAR(s.y[at((12 + i) * 4 + c)], mean[at(c)], 1e-6);
      }
    });
}
TEST(ProbeSearch, ConfusedKeysDifferInLengthAlone) {
  std::map<int32_t, int> answers;
  each("confusion", {}, 1000, [&](const Sample& s) {
    const auto row = [&](int i) { return &s.x[at(i * 11)]; };
    int exact = -1, other = -1;
    for (int i = 0; i < 8; ++i) {
      if (std::equal(row(i), row(i) + 8, row(8))) exact = i;
      else if (std::abs(std::inner_product(row(i), row(i) + 8, row(8), 0.0) - 3) < 1e-5) other = i;
    }
    ASSERT_TRUE(exact >= 0 && other >= 0);
    EXPECT_EQ(row(exact)[8 + answer(s)], 1);
    EXPECT_EQ(row(other)[8 + 1 - answer(s)], 1);
    ++answers[answer(s)];
  });
  expect_shares(answers, uniform(0, 2), "values");
}
TEST(ProbeSearch, MarkovSourcesAreOfOrderTwo) {
  const Task t = open_task("markov", std::vector<std::string>{"V=3", "L=200"});
  std::map<Ids, std::map<int32_t, int>> after, after_longer;
  for (uint64_t i = 0; i < 300; ++i) {
    const Sample s = t.sample(9, Split::train, i);
    for (int64_t k = 0; k + 1 < s.length(); ++k) {
      EXPECT_EQ(s.targets[at(k)], s.tokens[at(k + 1)]);
      if (k >= 2) ++after[cut(s.tokens, k - 1, k + 1)][s.targets[at(k)]], ++after_longer[cut(s.tokens, k - 2, k + 1)][s.targets[at(k)]];
    }
  }
  double widest = 0;
  for (const auto& [context, counts] : after_longer) {   // a third token back tells nothing more
    double n = 0, m = 0;
    for (const auto& [v, c] : counts) n += c;
    auto& shorter = after[{context[1], context[2]}];
    for (const auto& [v, c] : shorter) m += c;
    for (const auto& [v, c] : shorter) {
      const double p = c / m, here = counts.contains(v) ? counts.at(v) / n : 0;
      EXPECT_LE(std::abs(here - p), 5 * std::sqrt(p * (1 - p) / n) + 1e-9);
      widest = std::max(widest, p);
    }
  }
  EXPECT_GT(widest, 0.6);
}
TEST(ProbeSearch, MarkovTablesAreDrawnOnceASeed) {
  const Task t = open_task("markov", std::vector<std::string>{"L=32"});
  const auto drawn = [&](uint64_t seed) {                // numbers of the seed's own stream that a sample takes
    Dice d(seed, 5, 0), fixed(seed, 6, 0), untouched(seed, 6, 0);
    t.draw(d, fixed);
    return fixed.bits() != untouched.bits();
  };
  EXPECT_TRUE(drawn(1));
  EXPECT_FALSE(drawn(1));
  EXPECT_TRUE(drawn(2));
  const Sample s = t.sample(1, Split::train, 0);         // a seed that was asked before another
  EXPECT_EQ(s.tokens, open_task("markov", std::vector<std::string>{"L=32"}).sample(1, Split::train, 0).tokens);
}

}  // namespace
}  // namespace headrace
