// Automata, groups, arithmetic and languages, each answer derived again in another way: by counting, by matrices, by a parser.
#include "probe.h"

#include <cmath>
#include <functional>

namespace headrace {
namespace {

TEST(ProbeState, ParityIsTheCountOfTwos) {
  std::map<int32_t, int> answers, lengths;
  each("parity", {"min=2", "max=12"}, 4000, [&](const Sample& s) {
    EXPECT_EQ(answer(s), std::count(s.tokens.begin(), s.tokens.end(), 2) % 2 + 1);
    EXPECT_TRUE(s.mask.back());
    ++lengths[static_cast<int32_t>(s.length()) + 1];
    if (s.length() >= 6) ++answers[answer(s)];
  });
  expect_shares(answers, uniform(1, 2), "parities");
  EXPECT_EQ(lengths.size(), 11u);
  for (const auto& [n, c] : lengths) EXPECT_NEAR(c, 4000 / 11.0, 160) << "length " << n;        // short ones are few sequences, parted by split
  std::map<int32_t, int> sums;
  each("parity", {"V=8", "min=20"}, 3000, [&](const Sample& s) {
    int sum = 0;
    for (const int32_t t : s.tokens) sum += t - 1;
    EXPECT_EQ(answer(s), sum % 7 + 1);
    ++sums[answer(s)];
  });
  expect_shares(sums, uniform(1, 7), "sums modulo 7");
}
TEST(ProbeState, TracesOfParityAreItsStatesAtTheirStride) {
  for (const int stride : {1, 3, 100})
    each("parity", {"trace=steps", text("stride=", stride)}, 300, [&](const Sample& s) {
      const int64_t n = place(s.tokens, 3);
      Ids wanted;
      for (int64_t i = 1; i <= n; ++i)
        if (i % stride == 0 || i == n) wanted.push_back(static_cast<int32_t>(std::count(s.tokens.begin(), s.tokens.begin() + i, 2) % 2 + 1));
      EXPECT_EQ(cut(s.targets, n, s.length()), wanted);
      EXPECT_EQ(cut(s.tokens, n + 1, s.length()), cut(wanted, 0, std::ssize(wanted) - 1));
      EXPECT_EQ(answer(s), wanted.back());
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(s.targets[at(i)], Sample::none);
    });
}
TEST(ProbeState, EvenPairsCountsUnequalNeighbours) {
  std::map<int32_t, int> answers;
  each("even_pairs", {"min=10"}, 3000, [&](const Sample& s) {
    int unequal = 0;
    for (size_t i = 1; i < s.tokens.size(); ++i) unequal += s.tokens[i] != s.tokens[i - 1];
    EXPECT_EQ(answer(s), 1 + unequal % 2);
    ++answers[answer(s)];
  });
  expect_shares(answers, uniform(1, 2), "even pairs");
}
TEST(ProbeState, CycleIsStepsForwardMinusStepsBack) {
  std::map<int32_t, int> answers;
  each("cycle", {"min=30"}, 3000, [&](const Sample& s) {
    const auto count = [&](int32_t t) { return std::count(s.tokens.begin(), s.tokens.end(), t); };
    EXPECT_EQ(answer(s), ((count(2) - count(3)) % 5 + 5) % 5 + 4);
    ++answers[answer(s)];
  });
  expect_shares(answers, uniform(4, 5), "places");
}
TEST(ProbeState, AutomataAreTheirWordsAlone) {
  each("automaton", {"size=5"}, 200, [](const Sample& s) {
    int shift = 0, low = 0, high = 4;                                    // what the word does to any state x: clamp(x + shift, low, high)
    for (int64_t i = 0; i < s.length(); ++i) {
      const int step = s.tokens[at(i)] ? 1 : -1;
      shift += step, low = std::clamp(low + step, 0, 4), high = std::clamp(high + step, 0, 4);
      EXPECT_EQ(s.targets[at(i)], 2 + std::clamp(shift, low, high));
    }
  });
  each("automaton", {"kind=reset", "size=3"}, 200, [](const Sample& s) {
    for (int64_t i = 0; i < s.length(); ++i) {
      int64_t j = i;
      while (j >= 0 && s.tokens[at(j)] == 3) --j;                        // the last that was set
      EXPECT_EQ(s.targets[at(i)], 4 + (j < 0 ? 0 : s.tokens[at(j)]));
    }
  });
  each("automaton", {"kind=counter", "size=7"}, 200, [](const Sample& s) {
    for (int64_t i = 0; i < s.length(); ++i) {
      int64_t ones = 0;
      for (int64_t j = i; j >= 0 && s.tokens[at(j)] != 2; --j) ones += s.tokens[at(j)] == 1;
      EXPECT_EQ(s.targets[at(i)], 3 + ones % 7);
    }
  });
}
TEST(ProbeState, FlipFlopsReadTheLastBitWritten) {
  std::map<int32_t, int> kinds, bits;
  each("flip_flop", {"L=60", "ignore=0.5"}, 500, [&](const Sample& s) {
    EXPECT_EQ(s.tokens[0], 2);
    EXPECT_EQ(s.tokens[58], 4);
    for (int64_t i = 0; i < 60; i += 2) {
      if (i > 0 && i < 58) ++kinds[s.tokens[at(i)]];
      EXPECT_EQ(s.mask[at(i)] == 1, s.tokens[at(i)] == 4);
      if (s.tokens[at(i)] != 4) continue;
      int64_t j = i;
      while (s.tokens[at(j)] != 2) j -= 2;
      EXPECT_EQ(s.targets[at(i)], s.tokens[at(j + 1)]);
      EXPECT_EQ(s.targets[at(i)], s.tokens[at(i + 1)]);
      if (i == 58) ++bits[s.targets[at(i)]];
    }
  });
  expect_shares(kinds, {{2, 0.25}, {3, 0.5}, {4, 0.25}}, "instructions");
  expect_shares(bits, uniform(0, 2), "bits");
}

// Words again by products of permutation matrices: row i of M has its 1 where i goes.
using Matrix = std::vector<std::vector<int>>;
Matrix matrix(const std::string& word) {
  Matrix m(word.size(), std::vector<int>(word.size()));
  for (size_t i = 0; i < word.size(); ++i) m[i][at(word[i] - '0')] = 1;
  return m;
}
Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<int>(a.size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < a.size(); ++j)
      for (size_t k = 0; k < a.size(); ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}
TEST(ProbeState, WordsAreProductsOfPermutationMatrices) {
  const std::map<std::string, int> orders{{"Z2", 2}, {"Z3", 3}, {"Z5", 5}, {"Z7", 7}, {"S3", 6}, {"S4", 24}, {"S5", 120}, {"A4", 12}, {"A5", 60},
                                          {"A4xZ5", 60}, {"D4", 8}, {"D5", 10}, {"D8", 16}, {"Q8", 8}};
  for (const auto& [group, order] : orders) {
    const Task t = open_task("words", std::vector<std::string>{"group=" + group, "min=1", "max=20"});
    ASSERT_EQ(t.vocab, order + 1) << group;
    std::vector<Matrix> element;
    for (int i = 0; i < order; ++i) element.push_back(matrix(t.word(i)));
    for (size_t i = 0; i < element[0].size(); ++i) EXPECT_EQ(element[0][i][i], 1) << "0 is the identity";
    std::map<int32_t, int> answers;
    for (uint64_t n = 0; n < 300; ++n) {
      const Sample s = t.sample(2, Split::train, n);
      EXPECT_EQ(s.tokens[0], order);
      Matrix so_far = element[0];
      for (int64_t i = 1; i < s.length(); ++i) {
        so_far = product(so_far, element[at(s.tokens[at(i)])]);
        ASSERT_EQ(element[at(s.targets[at(i)])], so_far) << group;
        ++answers[s.targets[at(i)]];
      }
    }
    expect_shares(answers, uniform(0, order), group);
    for (int i = 0; i < order; ++i) {                                    // closed, with inverses: each row of the table is all of the group
      std::set<Matrix> row;
      for (const Matrix& b : element) row.insert(product(element[at(i)], b));
      EXPECT_EQ(row, std::set<Matrix>(element.begin(), element.end()));
    }
  }
}
TEST(ProbeState, WordsMayBeOfElementsThatMoveFewPoints) {
  const Task t = open_task("words", std::vector<std::string>{"group=S5", "moved=2", "min=30", "max=30"});
  std::set<int32_t> letters, products;
  for (uint64_t n = 0; n < 300; ++n) {
    const Sample s = t.sample(2, Split::train, n);
    Matrix so_far = matrix(t.word(0));
    for (int64_t i = 1; i < s.length(); ++i) {
      const std::string letter = t.word(s.tokens[at(i)]);
      int swaps = 0;
      for (size_t j = 0; j < letter.size(); ++j) swaps += static_cast<size_t>(letter[j] - '0') > j;
      ASSERT_LE(swaps, 1) << letter << " is neither the identity nor a swap";
      so_far = product(so_far, matrix(letter));
      ASSERT_EQ(matrix(t.word(s.targets[at(i)])), so_far);
      letters.insert(s.tokens[at(i)]), products.insert(s.targets[at(i)]);
    }
  }
  EXPECT_EQ(letters.size(), 11U);                                        // ten swaps and the identity
  EXPECT_EQ(products.size(), 120U);
  EXPECT_THROW(open_task("words", std::vector<std::string>{"group=A5", "moved=2"}), Error);
}
TEST(ProbeState, ZSixtyIsAdditionAndTheQuaternionsAreNoDihedralGroup) {
  each("words", {"group=Z60"}, 100, [](const Sample& s) {                  // rotations sort by where 0 goes
    for (int64_t i = 1, sum = 0; i < s.length(); ++i) EXPECT_EQ(s.targets[at(i)], sum = (sum + s.tokens[at(i)]) % 60);
  });
  const Task q = open_task("words", std::vector<std::string>{"group=Q8"});
  int square_is_one = 0;
  for (int i = 0; i < 8; ++i) square_is_one += product(matrix(q.word(i)), matrix(q.word(i))) == matrix(q.word(0));
  EXPECT_EQ(square_is_one, 2);                                           // 1 and -1
}
TEST(ProbeState, TracesOfWordsAreTheProductsSoFar) {
  const Task plain = open_task("words", std::vector<std::string>{"group=S3"});
  each("words", {"group=S3", "trace=steps"}, 200, [&](const Sample& s) {
    const int64_t n = place(s.tokens, 7);
    Matrix so_far = matrix(plain.word(0));
    for (int64_t i = 1; i < n; ++i) {
      so_far = product(so_far, matrix(plain.word(s.tokens[at(i)])));
      EXPECT_EQ(matrix(plain.word(s.targets[at(n + i - 1)])), so_far);
    }
    EXPECT_EQ(s.length(), 2 * n - 1);
    EXPECT_TRUE(s.mask.back());
  });
}

// By recursive descent over the text, * before + and -.
struct Parser {
  std::string s;
  size_t i = 0;
  int factor() {
    if (s[i] == '-') return ++i, -factor();
    if (s[i] == '(') {
      ++i;
      const int v = sum();
      EXPECT_EQ(s[i], ')');
      return ++i, v;
    }
    return s[i++] - '0';
  }
  int term() {
    int v = factor();
    while (i < s.size() && s[i] == '*') ++i, v *= factor(), v %= 5;
    return v;
  }
  int sum() {
    int v = term();
    while (i < s.size() && (s[i] == '+' || s[i] == '-')) {
      const bool add = s[i++] == '+';
      const int w = term();
      v = add ? v + w : v - w;
    }
    return v;
  }
  static int value(const std::string& text) {
    Parser p{text};
    const int v = p.sum();
    EXPECT_EQ(p.i, text.size()) << text;
    return (v % 5 + 5) % 5;
  }
};
std::string words(const Task& t, const Ids& ids) {
  std::string s;
  for (const int32_t i : ids) s += t.word(i);
  return s;
}
TEST(ProbeState, ModularArithmeticIsWhatAParserSays) {
  const Task t = open_task("mod_arith");
  each("mod_arith", {}, 2000, [&](const Sample& s) {
    const std::string e = words(t, s.tokens);
    ASSERT_EQ(e.back(), '=');
    EXPECT_EQ(answer(s) - 5, Parser::value(e.substr(0, e.size() - 1))) << e;
    EXPECT_TRUE(s.length() % 2 == 0 && s.length() + 1 <= 40);
  });
  const Task traced = open_task("mod_arith", std::vector<std::string>{"trace=steps"});
  each("mod_arith", {"trace=steps", "max=21"}, 500, [&](const Sample& s) {  // "3*2+1= = 1+1=2": each rewriting has the value of the first
    std::string e = words(traced, s.tokens) + traced.word(s.targets.back());
    std::vector<std::string> parts;
    for (size_t a = 0, b; a <= e.size(); a = b + 1) {
      b = std::min(e.find('=', a), e.size());
      if (b > a) parts.push_back(e.substr(a, b - a));
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ(Parser::value(parts[i]), Parser::value(parts[0])) << e;
      if (i > 1) { EXPECT_EQ(parts[i].size() + 2, parts[i - 1].size()) << e; }
    }
    EXPECT_EQ(parts.back().size(), 1u);
    EXPECT_EQ(answer(s) - 5, Parser::value(parts[0]));
  });
}
TEST(ProbeState, BracketedArithmeticIsWhatAParserSays) {
  for (const std::string mult : {"mult=off", "mult=on"}) {
    const Task t = open_task("mod_brackets");
    std::set<char> seen;
    each("mod_brackets", {mult}, 1500, [&](const Sample& s) {
      const std::string e = words(t, s.tokens);
      ASSERT_EQ(e.back(), '=');
      EXPECT_EQ(answer(s), Parser::value(e.substr(0, e.size() - 1))) << e;
      EXPECT_TRUE(e.size() >= 3 && e.size() <= 38);
      seen.insert(e.begin(), e.end());
    });
    EXPECT_EQ(seen.contains('*'), mult == "mult=on");
  }
}
TEST(ProbeState, SumsOfNumbersAreSums) {
  for (const bool reverse : {true, false})
    each("addition", {reverse ? "reverse=on" : "reverse=off", "max=15"}, 500, [&](const Sample& s) {
      const int64_t plus = place(s.tokens, 10), equals = place(s.tokens, 11);
      long long a = 0, b = 0, sum = 0;
      for (int64_t i = 0; i < plus; ++i) a = 10 * a + s.tokens[at(i)];
      for (int64_t i = plus + 1; i < equals; ++i) b = 10 * b + s.tokens[at(i)];
      Ids out = cut(s.targets, equals, s.length());
      EXPECT_EQ(std::ssize(out), plus + 1);
      EXPECT_EQ(cut(s.tokens, equals + 1, s.length()), cut(out, 0, std::ssize(out) - 1));
      if (reverse) std::reverse(out.begin(), out.end());
      for (const int32_t d : out) sum = 10 * sum + d;
      EXPECT_EQ(sum, a + b);
    });
}
TEST(ProbeState, PolynomialsAreSumsOfPowers) {
  each("polynomial", {"max=12"}, 500, [](const Sample& s) {
    const int x = s.tokens[0];
    int64_t value = 0, power = 1;
    for (int64_t i = s.length() - 1; i >= 2; --i) value += s.tokens[at(i)] * power, power = power * x % 10;
    EXPECT_EQ(answer(s), value % 10);
  });
  each("polynomial", {"sum=on", "trace=steps"}, 300, [](const Sample& s) {
    int sum = 0;
    for (int64_t i = 0; i < place(s.tokens, 11); ++i) sum += s.tokens[at(i)];
    EXPECT_EQ(answer(s), sum % 10);
  });
}

// Brackets again by cancelling neighbours until nothing changes, and depth by counting.
bool cancels(std::string w) {
  for (bool again = true; again;) {
    again = false;
    for (const char* pair : {"()", "[]", "{}"})
      for (size_t p; (p = w.find(pair)) != std::string::npos; again = true) w.erase(p, 2);
  }
  return w.empty();
}
int deepest(const std::string& w) {
  int h = 0, most = 0;
  for (const char c : w) h += c == '(' || c == '[' || c == '{' ? 1 : -1, most = std::max(most, h);
  return most;
}
TEST(ProbeState, DyckWordsAreToldFromOthersOfTheSameCounts) {
  for (const std::string k : {"1", "3"})
    for (const std::string m : {"3", "0"}) {
      const Task t = open_task("dyck", std::vector<std::string>{"k=" + k});
      std::map<int32_t, int> answers;
      const int32_t yes = 2 * std::stoi(k) + 2;
      each("dyck", {"k=" + k, "m=" + m, "max=20"}, 1500, [&](const Sample& s) {
        const std::string w = words(t, cut(s.tokens, 0, s.length() - 1));
        EXPECT_EQ(answer(s) == yes, cancels(w) && (m == "0" || deepest(w) <= 3)) << w;
        int opens = 0;
        for (const char c : w) opens += c == '(' || c == '[' || c == '{';
        EXPECT_EQ(2 * opens, std::ssize(w));
        ++answers[answer(s)];
      });
      expect_shares(answers, uniform(yes, 2), "members");
    }
}
TEST(ProbeState, AllDyckWordsOfALengthAreAsLikely) {
  std::map<std::string, int> words_of_ten;
  const Task t = open_task("dyck", std::vector<std::string>{"k=1", "m=0", "min=10", "max=10", "kind=close"});
  for (uint64_t i = 0; i < 8400; ++i) {
    Dice d(1, 5, i), fixed(1, 6, 0);                     // before the parting into splits, which gives each word to one
    const Sample s = t.draw(d, fixed);
    ++words_of_ten[words(t, s.tokens)];
  }
  EXPECT_EQ(words_of_ten.size(), 42u);
  double chi = 0;
  for (const auto& [w, n] : words_of_ten) chi += (n - 200.0) * (n - 200.0) / 200;
  EXPECT_LT(chi, 74.7);                                  // 41 degrees of freedom, p = 0.001
}
TEST(ProbeState, ClosersAndDepthsFollowTheStack) {
  each("dyck", {"k=3", "kind=close"}, 300, [](const Sample& s) {
    Ids stack;
    for (int64_t i = 0; i < s.length(); ++i) {
      if (s.tokens[at(i)] < 3) { stack.push_back(s.tokens[at(i)]); EXPECT_FALSE(s.mask[at(i)]); continue; }
      EXPECT_EQ(s.tokens[at(i)], 6);
      EXPECT_EQ(s.targets[at(i)], 3 + stack.back());
      stack.pop_back();
    }
    EXPECT_TRUE(stack.empty());
  });
  each("dyck", {"k=2", "kind=depth", "m=4"}, 300, [](const Sample& s) {
    int most = 0;
    for (int64_t i = 0; i < s.length(); ++i) {
      const auto opens = std::count_if(s.tokens.begin(), s.tokens.begin() + i + 1, [](int32_t t) { return t < 2; });
      EXPECT_EQ(s.targets[at(i)], 8 + 2 * opens - (i + 1));
      most = std::max(most, s.targets[at(i)] - 8);
    }
    EXPECT_LE(most, 4);
  });
  EXPECT_THROW(open_task("dyck", std::vector<std::string>{"kind=depth", "m=0"}), Error);
  each("dyck", {"max=2000", "min=2000", "m=0", "kind=close"}, 3, [](const Sample& s) { EXPECT_EQ(s.length(), 2000); });
}
TEST(ProbeState, NegationsCountTwice) {
  std::map<int32_t, int> answers;
  each("negation", {}, 2000, [&](const Sample& s) {
    const auto n = std::count(s.tokens.begin(), s.tokens.end(), 2);
    EXPECT_EQ(answer(s), (s.tokens[at(n)] + n) % 2);
    ++answers[answer(s)];
  });
  expect_shares(answers, uniform(0, 2), "truth");
  each("negation", {"values=6", "max=3"}, 500, [](const Sample& s) {      // by rewriting: innermost brackets first
    const Task t = open_task("negation");
    std::string e;
    for (const int32_t i : cut(s.tokens, 0, s.length() - 1)) e += std::string("FT!&|()")[at(i)];
    for (bool again = true; again;) {
      again = false;
      for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{{"!T", "F"}, {"!F", "T"}, {"(T&T)", "T"}, {"(T&F)", "F"},
               {"(F&T)", "F"}, {"(F&F)", "F"}, {"(T|T)", "T"}, {"(T|F)", "T"}, {"(F|T)", "T"}, {"(F|F)", "F"}})
        for (size_t p; (p = e.find(from)) != std::string::npos; again = true) e.replace(p, from.size(), to);
    }
    EXPECT_EQ(e, answer(s) ? "T" : "F");
  });
}
TEST(ProbeState, RegularLanguagesAreToldByTheirDefinition) {
  for (const std::string language : {"even", "multiple", "sorted", "no_bb"}) {
    std::map<int32_t, int> answers;
    std::map<int32_t, double> bs;
    const Task t = open_task("regular", std::vector<std::string>{"language=" + language, "min=6"});
    for (uint64_t n = 0; n < 2000; ++n) {
      Dice d(1, 7, n), fixed(1, 8, 0);                   // as drawn: of one letter there are few words, so that a split has more of one kind
      const Sample s = t.draw(d, fixed);
      std::string w;
      for (const int32_t t : cut(s.tokens, 0, s.length() - 1)) w += t ? 'b' : 'a';
      const bool in = language == "even" ? w.size() % 2 == 0 : language == "multiple" ? w.size() % 3 == 0 :
                      language == "sorted" ? w.find("ba") == std::string::npos : w.find("bb") == std::string::npos;
      EXPECT_EQ(answer(s), in ? 3 : 4) << w;
      ++answers[answer(s)];
      bs[answer(s)] += static_cast<double>(std::count(w.begin(), w.end(), 'b')) / static_cast<double>(w.size());
    }
    expect_shares(answers, uniform(3, 2), language);
    EXPECT_NEAR(bs[3] / answers[3], bs[4] / answers[4], 0.1) << "letters tell members from others";
  }
}

}  // namespace
}  // namespace headrace
