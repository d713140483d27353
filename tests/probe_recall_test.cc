// Recall, copying and hops, each answer derived again from the tokens alone.
#include "error_of.h"
#include "probe.h"

namespace headrace {
namespace {

TEST(ProbeRecall, MqarAnswersAreWhatFollowedTheKeyAtFirst) {
  std::map<int64_t, int> gaps;
  each("mqar", {"L=64", "pairs=6", "V=40"}, 3000, [&](const Sample& s) {
    std::map<int32_t, int32_t> value;
    for (int i = 0; i < 12; i += 2) value[s.tokens[at(i)]] = s.tokens[at(i + 1)];
    EXPECT_EQ(value.size(), 6u);
    for (const auto& [k, v] : value) EXPECT_TRUE(k >= 1 && k < 20 && v >= 20 && v < 40);
    std::set<int32_t> asked;
    for (int64_t i = 0; i < s.length(); ++i) {
      EXPECT_EQ(s.mask[at(i)] == 1, s.targets[at(i)] != Sample::none);
      if (i >= 12 && !s.mask[at(i)]) { EXPECT_EQ(s.tokens[at(i)], 0); }
      if (!s.mask[at(i)]) continue;
      EXPECT_TRUE(i >= 12 && i % 2 == 0);
      EXPECT_EQ(s.targets[at(i)], value.at(s.tokens[at(i)]));
      asked.insert(s.tokens[at(i)]);
      if (s.tokens[at(i)] == s.tokens[0]) ++gaps[(i - 12) / 2];          // of the pair that draws first
    }
    EXPECT_EQ(asked.size(), 6u);
  });
  double sum = 0;
  for (int g = 1; g <= 26; ++g) sum += std::pow(g, -0.99);
  for (const int64_t g : {0, 1, 3}) {
    const double p = std::pow(g + 1, -0.99) / sum;
    EXPECT_NEAR(gaps[g] / 3000.0, p, 5 * std::sqrt(p / 3000)) << "gap " << g;
  }
}
// The slots by a walk along the weights for each pair, from the numbers that the sample had.
TEST(ProbeRecall, MqarSlotsAreThoseOfAWalkAlongTheWeights) {
  const int L = 160, pairs = 30, V = 512, slots = (L - 2 * pairs) / 2;
  for (const double a : {0.01, 1.0, 3.0})
    for (uint64_t n = 0; n < 200; ++n) {
      const Task t = open_task("mqar", std::vector<std::string>{text("L=", L), text("pairs=", pairs), text("V=", V), text("a=", a)});
      Dice d(1, 9, n), fixed(1, 10, 0), again(1, 9, n);
      const Sample s = t.draw(d, fixed);
      again.distinct(pairs, V / 2 - 1), again.distinct(pairs, V / 2);
      std::vector<double> weight;
      for (int g = 0; g < slots; ++g) weight.push_back(std::pow(g + 1.0, a - 1));
      for (int i = 0; i < pairs; ++i) {
        double all = 0;
        for (const double w : weight) all += w;
        double u = again.uniform() * all;
        int g = 0;
        while (weight[at(g)] == 0 || (u -= weight[at(g)]) > 0) ++g;
        weight[at(g)] = 0;
        ASSERT_EQ(s.tokens[at(2 * (pairs + g))], s.tokens[at(2 * i)]) << "pair " << i << " of sample " << n << ", a = " << a;
      }
    }
}
TEST(ProbeRecall, MqarTakesItsShortestAndLongest) {
  each("mqar", {"L=4", "pairs=1", "V=4"}, 3, [](const Sample& s) { EXPECT_EQ(s.length(), 4); });
  each("mqar", {"L=1024", "pairs=256", "V=8192"}, 2, [](const Sample& s) { EXPECT_EQ(std::count(s.mask.begin(), s.mask.end(), 1), 256); });
  each("mqar", {"L=1048576", "pairs=100000", "V=1000000"}, 1, [](const Sample& s) {
    EXPECT_EQ(std::count(s.mask.begin(), s.mask.end(), 1), 100'000);
  });
  EXPECT_THROW(open_task("mqar", std::vector<std::string>{"L=15", "pairs=4"}), Error);
  EXPECT_THROW(open_task("mqar", std::vector<std::string>{"L=900", "V=16", "pairs=8"}), Error);
}

TEST(ProbeRecall, InductionSaysWhatFollowedTheFirstTrigger) {
  for (const int n : {1, 3})
    each("induction", {text("n=", n), "triggers=4", "L=40"}, 1000, [&](const Sample& s) {
      const int64_t first = place(s.tokens, 20);
      ASSERT_LT(first, 40);
      EXPECT_EQ(s.length(), 40 + n);
      EXPECT_EQ(s.tokens[40], 20);
      for (int i = 0; i < n; ++i) EXPECT_EQ(s.targets[at(40 + i)], s.tokens[at(first + 1 + i)]);
      for (int64_t p = 0; p < 40; ++p)
        if (s.tokens[at(p)] == 20) { EXPECT_EQ(cut(s.tokens, p + 1, p + 1 + n), cut(s.tokens, first + 1, first + 1 + n)); }
      EXPECT_EQ(std::count(s.mask.begin(), s.mask.end(), 1), n);
    });
}

TEST(ProbeRecall, AssociativeRecallIsConsistentAndNoValueIsFavoured) {
  std::map<int32_t, int> answers;
  each("assoc", {}, 4000, [&](const Sample& s) {
    std::map<int32_t, std::set<int32_t>> values;
    for (int i = 0; i < 20; i += 2) values[s.tokens[at(i)]].insert(s.tokens[at(i + 1)]);
    for (const auto& [k, v] : values) EXPECT_EQ(v.size(), 1u) << k;
    EXPECT_EQ(s.tokens[20], 20);
    EXPECT_EQ(answer(s), *values.at(s.tokens[21]).begin());
    ++answers[answer(s)];
  });
  expect_shares(answers, uniform(10, 10), "values");
}

TEST(ProbeRecall, NeedlesAreFoundAtTheirDepth) {
  for (const double depth : {0.0, 0.25, 1.0})
    each("needle", {"L=200", "needles=5", "queries=2", "per_key=2", "digits=3", text("depth=", depth)}, 200, [&](const Sample& s) {
      std::map<int32_t, Ids> told;                     // key: its digits, in the order of the needles
      const int32_t key = 64 + 10 + 64, is = key + 1, what = key + 2;
      for (int64_t i = 0; i + 2 < s.length(); ++i)
        if (s.tokens[at(i)] == key && s.tokens[at(i + 2)] == is) {
          for (int k = 0; k < 3; ++k) told[s.tokens[at(i + 1)]].push_back(s.tokens[at(i + 3 + k)]);
          EXPECT_LT(i, 200);
        }
      EXPECT_EQ(told.size(), 5u);
      int64_t i = place(s.tokens, what);
      const int32_t first = s.tokens[at(i - 1)];
      for (int q = 0; q < 2; ++q) {
        EXPECT_EQ(s.tokens[at(i - 2)], key);
        EXPECT_EQ(s.tokens[at(i)], what);
        const Ids& digits = told.at(s.tokens[at(i - 1)]);
        ASSERT_EQ(digits.size(), 6u);
        for (int k = 0; k < 6; ++k) EXPECT_TRUE(s.targets[at(i + k)] == digits[at(k)] && s.mask[at(i + k)]);
        i += 6 + 3;
      }
      EXPECT_EQ(std::count(s.mask.begin(), s.mask.end(), 1), 12);
      double nearest = 1e9;
      for (int64_t p = 0, hay = 0; p < 200; ++p) {     // hay before each needle of the first key asked
        hay += s.tokens[at(p)] >= 74 && s.tokens[at(p)] < key;
        if (s.tokens[at(p)] == key && s.tokens[at(p + 1)] == first)
          nearest = std::min(nearest, std::abs(static_cast<double>(hay) - depth * (200 - 10 * 6)));
      }
      EXPECT_LE(nearest, 1);
    });
  EXPECT_THROW(open_task("needle", std::vector<std::string>{"L=8", "needles=3"}), Error);
  each("needle", {"L=8", "needles=2"}, 5, [](const Sample& s) { EXPECT_EQ(s.length(), 8 + 3); });
}

TEST(ProbeRecall, TheSetsShareOneElementAndHalvesTellNothing) {
  std::map<int32_t, int> half;
  for (const auto& [a, b] : std::vector<std::pair<int, int>>{{4, 16}, {16, 4}, {1, 1}})
    each("disjoint", {text("first=", a), text("second=", b), "V=200", "repeat=2"}, 1000, [&, a = a, b = b](const Sample& s) {
      ASSERT_EQ(s.length(), 2 * (a + b + 2) + 1);
      const std::set<int32_t> A(s.tokens.begin() + 1, s.tokens.begin() + 1 + a), B(s.tokens.begin() + 2 + a, s.tokens.begin() + 2 + a + b);
      EXPECT_TRUE(std::ssize(A) == a && std::ssize(B) == b);
      Ids both;
      std::set_intersection(A.begin(), A.end(), B.begin(), B.end(), std::back_inserter(both));
      ASSERT_EQ(both.size(), 1u);
      EXPECT_EQ(answer(s), both[0]);
      EXPECT_EQ(cut(s.tokens, 0, a + b + 2), cut(s.tokens, a + b + 2, 2 * (a + b + 2)));
      ++half[both[0] < 102];
    });
  expect_shares(half, {{0, 0.5}, {1, 0.5}}, "halves of the vocabulary");
}

TEST(ProbeRecall, SwappedSetsAreThoseOfTheOtherOrder) {
  const Task swapped = open_task("disjoint", std::vector<std::string>{"first=4", "second=9", "swap=on"});
  const Task other = open_task("disjoint", std::vector<std::string>{"first=9", "second=4"});
  EXPECT_EQ(swapped.sample(3, Split::train, 5).tokens, other.sample(3, Split::train, 5).tokens);
}
TEST(ProbeRecall, MadRecallLearnsAllAndScoresValuesOfKeysThatCameBefore) {
  for (const auto& set : std::vector<std::vector<std::string>>{{}, {"noise=0.2", "V=32"}, {"motif=3", "L=200"}})
    each("mad_recall", set, 400, [&](const Sample& s) {
      const int V = set.size() == 2 && set[1] == "V=32" ? 32 : 16;
      std::map<Ids, Ids> known;
      for (int64_t i = 0; i < s.length();) {
        if (s.tokens[at(i)] >= V) { EXPECT_FALSE(s.mask[at(i)]); ++i; continue; }
        Ids k, v;
        const int64_t begin = i;
        while (i < s.length() && s.tokens[at(i)] < V / 2) k.push_back(s.tokens[at(i++)]);
        while (i < s.length() && s.tokens[at(i)] >= V / 2 && s.tokens[at(i)] < V) v.push_back(s.tokens[at(i++)]);
        const bool seen = known.contains(k);
        if (seen) { EXPECT_EQ(known[k], v); }
        known[k] = v;
        for (int64_t p = begin; p < i; ++p) EXPECT_EQ(s.mask[at(p)] == 1, seen && p + 1 >= begin + std::ssize(k) && p + 1 < i);
      }
      for (int64_t i = 0; i + 1 < s.length(); ++i) EXPECT_EQ(s.targets[at(i)], s.tokens[at(i + 1)]);
      EXPECT_LE(s.length(), 200);
    });
}
TEST(ProbeRecall, MadRecallCountsNoiseAndMotifsAmongWhatLeavesNoKeyToComeBack) {
  const auto error = [](const std::vector<std::string>& set) {
    return error_of([&] {
      const Task t = open_task("mad_recall", set);
      for (uint64_t i = 0; i < 200; ++i) t.sample(0, Split::train, i);
    });
  };
  const std::string e = error({"L=8", "motif=2", "noise=0.9", "V=256"});
  for (const char* part : {"V = 256", "L = 8", "motif = 2", "noise = 0.9"}) EXPECT_NE(e.find(part), std::string::npos) << e;
  EXPECT_EQ(error({"L=4", "V=64"}), "");                 // the most that is taken without either: one draw in 32 has a key again
  EXPECT_EQ(error({"noise=0.9", "V=8"}), "");
}

TEST(ProbeRecall, MemorisedFactsAreTheSameInAllSamplesAndSplits) {
  std::map<int32_t, int32_t> value;
  const Task t = open_task("memorise");
  for (const Split split : {Split::train, Split::test})
    for (uint64_t i = 0; i < 200; ++i) {
      const Sample s = t.sample(4, split, i);
      for (size_t p = 0; p < 32; p += 2) {
        EXPECT_EQ(s.tokens[p + 1], 255);
        EXPECT_TRUE(s.mask[p + 1] && !s.mask[p]);
        EXPECT_EQ(value.emplace(s.tokens[p], s.targets[p + 1]).first->second, s.targets[p + 1]);
      }
    }
  EXPECT_EQ(value.size(), 127u);
}

TEST(ProbeRecall, CompressedTokensAreAllReadFromTheLast) {
  each("compress", {"L=9"}, 20, [](const Sample& s) {
    EXPECT_EQ(s.decoded, cut(s.tokens, 0, 8));
    EXPECT_EQ(s.tokens[8], 16);
  });
}

TEST(ProbeCopying, SelectiveCopyKeepsTheOrderAndPutsBlanksWhereItsKindDoes) {
  std::map<std::string, int> last_adjacent;
  for (const std::string kind : {"plain", "selective", "spread"})
    each("selective_copy", {"kind=" + kind, "L=40", "n=5"}, 500, [&](const Sample& s) {
      ASSERT_EQ(s.length(), 40);
      const int64_t mark = place(s.tokens, 15);
      EXPECT_EQ(mark, 40 - 5 - 1);
      Ids said, asked;
      for (int64_t i = 0; i < mark; ++i)
        if (s.tokens[at(i)] < 14) said.push_back(s.tokens[at(i)]);
      for (int64_t i = 0; i < 40; ++i)
        if (s.mask[at(i)]) asked.push_back(s.targets[at(i)]);
      EXPECT_EQ(said, asked);
      EXPECT_EQ(said.size(), 5u);
      last_adjacent[kind] += s.tokens[at(mark - 1)] != 14;
      if (kind == "plain") { EXPECT_EQ(cut(s.tokens, 0, 5), said); }
    });
  EXPECT_EQ(last_adjacent["selective"], 500);
  EXPECT_EQ(last_adjacent["plain"], 0);
  EXPECT_NEAR(last_adjacent["spread"] / 500.0, 5 / 34.0, 0.08);
  each("selective_copy", {"L=3", "n=1", "V=4"}, 3, [](const Sample& s) { EXPECT_EQ(s.length(), 3); });
}

TEST(ProbeCopying, StringsAreCopiedAndLookedUp) {
  each("copy", {}, 500, [](const Sample& s) {
    const int64_t bar = place(s.tokens, 27);
    Ids x = cut(s.tokens, 1, bar), said;
    for (int64_t i = bar; i < s.length(); ++i) said.push_back(s.targets[at(i)]);
    EXPECT_EQ(std::count(s.mask.begin(), s.mask.end(), 1), s.length() - bar);
    EXPECT_EQ(cut(s.tokens, bar + 1, s.length()), x);
    x.push_back(28);
    EXPECT_EQ(said, x);
  });
  for (const std::string kind : {"suffix_key", "prefix_key"})
    each("copy", {"kind=" + kind, "n=3", "k=4", "min=9", "max=30"}, 500, [&](const Sample& s) {
      const int64_t bar = place(s.tokens, 27), dollar = place(s.tokens, 26);
      const Ids x = cut(s.tokens, dollar + 1, bar), key = kind == "suffix_key" ? cut(s.tokens, bar + 1, bar + 4) : cut(s.tokens, 0, 3);
      Ids said;
      for (int64_t i = 0; i < s.length(); ++i)
        if (s.mask[at(i)]) said.push_back(s.targets[at(i)]);
      ASSERT_EQ(said.size(), 4u);
      EXPECT_EQ(cut(s.tokens, s.length() - 3, s.length()), cut(said, 0, 3));
      Ids whole = key;
      whole.insert(whole.end(), said.begin(), said.end());
      EXPECT_NE(std::search(x.begin(), x.end(), whole.begin(), whole.end()), x.end());
    });
}
TEST(ProbeCopying, StringsHaveNoRepeatOrOneAsAsked) {
  each("copy", {"unique=on", "max=26"}, 200, [](const Sample& s) {
    const Ids x = cut(s.tokens, 1, place(s.tokens, 27));
    EXPECT_EQ(std::set<int32_t>(x.begin(), x.end()).size(), x.size());
  });
  each("copy", {"twice=5", "min=10", "alphabet=1000"}, 300, [](const Sample& s) {
    const Ids x = cut(s.tokens, 1, place(s.tokens, 1001));
    bool found = false;
    for (auto p = x.begin(); p + 10 <= x.end(); ++p) found |= std::search(p + 5, x.end(), p, p + 5) != x.end();
    EXPECT_TRUE(found);
  });
  EXPECT_THROW(open_task("copy", std::vector<std::string>{"unique=on", "max=27"}), Error);
  EXPECT_THROW(open_task("copy", std::vector<std::string>{"min=9", "max=8"}), Error);
}
TEST(ProbeCopying, RewritingCopiesReversesAndSorts) {
  for (const std::string kind : {"copy", "reverse", "sort"})
    each("rewrite", {"kind=" + kind, "unique=on"}, 200, [&](const Sample& s) {
      const int64_t n = place(s.tokens, 50);
      const Ids x = cut(s.tokens, 0, n), y = cut(s.targets, n, s.length());
      ASSERT_EQ(std::ssize(y), n + 1);
      EXPECT_EQ(y.back(), 51);
      for (int64_t i = 0; i < n; ++i) {
        EXPECT_EQ(s.tokens[at(n + 1 + i)], y[at(i)]);
        const auto rank = std::count_if(x.begin(), x.end(), [&](int32_t t) { return t < x[at(i)]; });
        EXPECT_EQ(y[at(kind == "copy" ? i : kind == "reverse" ? n - 1 - i : rank)], x[at(i)]);
      }
    });
}

// The definition, one hop at a time over the whole sequence.
int find(const Ids& x, int i) {                        // from 1; 0: nothing
  int best = 0;
  for (int j = 2; i >= 1 && j <= i; ++j)
    if (x[at(j - 2)] == x[at(i - 1)]) best = j;
  return best;
}
TEST(ProbeHops, AnswersAreTheDefinition) {
  for (const std::string repeats : {"repeats=off", "repeats=on"})
    each("hop", {"N=40", "k=5", repeats}, 200, [&](const Sample& s) {
      const int k = s.tokens[0] - 4;
      const Ids x = cut(s.tokens, 1, 41);
      for (int i = 1; i <= 40; ++i) {
        int j = i;
        for (int h = 0; h < k; ++h) j = find(x, j);
        EXPECT_EQ(s.targets[at(i)], j ? x[at(j - 1)] : 4 + 6) << "hop_" << k << " at " << i;
        if (repeats == "repeats=off" && i > 1) { EXPECT_NE(x[at(i - 1)], x[at(i - 2)]); }
      }
    });
}
TEST(ProbeHops, CompositionFollowsTheTables) {
  std::map<int32_t, int> answers;
  for (const auto& [functions, hops] : std::vector<std::pair<int, int>>{{2, 0}, {1, 4}, {3, 7}})
    for (const std::string trace : {"none", "steps", "dots"})
      each("compose", {text("functions=", functions), text("hops=", hops), "trace=" + trace, "n=6"}, 200,
           [&, functions = functions, hops = hops ? hops : functions](const Sample& s) {
        std::map<std::pair<int32_t, int32_t>, int32_t> table;
        for (int64_t i = 0, f = -1; i < functions * 13; ++i)
          if (s.tokens[at(i)] >= 6) f = s.tokens[at(i)];
          else table[{static_cast<int32_t>(f), s.tokens[at(i)]}] = s.tokens[at(i + 1)], ++i;
        int64_t i = functions * 13;
        EXPECT_EQ(s.tokens[at(i++)], 6 + functions);
        int32_t x = s.tokens[at(i + hops)];
        Ids states;
        for (int h = 0; h < hops; ++h) states.push_back(x = table.at({s.tokens[at(i + h)], x}));
        EXPECT_EQ(answer(s), x);
        const int64_t end = i + hops + 1;
        if (trace == "none") { EXPECT_EQ(s.length(), end); }
        else EXPECT_EQ(s.length(), end + hops);
        if (trace == "steps") { EXPECT_EQ(cut(s.targets, end, s.length()), states); }
        if (trace == "steps") { EXPECT_EQ(cut(s.tokens, end + 1, s.length()), cut(states, 0, hops - 1)); }
        if (trace == "dots") { for (int64_t p = end + 1; p < s.length(); ++p) EXPECT_EQ(s.tokens[at(p)], 6 + functions + 2); }
      });
}

}  // namespace
}  // namespace headrace
