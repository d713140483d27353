// What holds for every task of the registry: samples depend on (seed, split, index) alone, splits share none, parameters are checked.
#include "probe.h"

#include "base/file.h"
#include "base/parallel.h"
#include "probe/batch.h"
#include "probe/injectivity.h"

namespace headrace {
namespace {

bool same(const Sample& a, const Sample& b) {
  return a.tokens == b.tokens && a.targets == b.targets && a.mask == b.mask && a.x == b.x && a.y == b.y && a.decoded == b.decoded;
}
// What a sample is told apart by: the inputs.
std::string inputs(const Sample& s) {
  const auto bytes = [](const auto& v) { return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof v[0]); };
  return bytes(s.tokens) + "|" + bytes(s.x);
}

class Probes : public testing::TestWithParam<const char*> {};

TEST_P(Probes, SamplesFitTheirTask) {
  const Task t = open_task(GetParam());
  for (uint64_t i = 0; i < 50; ++i) {
    const Sample s = t.sample(3, Split::train, i);
    const size_t n = s.mask.size();
    ASSERT_GT(n, 0u);
    EXPECT_TRUE(s.tokens.size() == n || (s.tokens.empty() && s.x.size() == n * at(t.inputs)));
    EXPECT_TRUE(s.targets.size() == n || (s.targets.empty() && s.y.size() == n * at(t.outputs)));
    EXPECT_TRUE(std::count(s.mask.begin(), s.mask.end(), 1) > 0 || !s.decoded.empty()) << "nothing is asked";
    for (const int32_t v : s.tokens) EXPECT_TRUE(v >= 0 && v < t.vocab) << v;
    for (const int32_t v : s.decoded) EXPECT_TRUE(v >= 0 && v < t.vocab) << v;
    for (size_t k = 0; k < s.targets.size(); ++k) {
      EXPECT_TRUE(s.targets[k] == Sample::none || (s.targets[k] >= 0 && s.targets[k] < t.vocab)) << s.targets[k];
      EXPECT_FALSE(s.mask[k] && s.targets[k] == Sample::none) << "asked without an answer";
    }
    for (const float v : s.x) EXPECT_TRUE(std::isfinite(v));
    for (const float v : s.y) EXPECT_TRUE(std::isfinite(v));
    for (const int32_t v : s.tokens) EXPECT_FALSE(t.word(v).empty());
  }
}

TEST_P(Probes, ASampleDependsOnSeedSplitAndIndexAlone) {
  const Task t = open_task(GetParam());
  struct Before { int threads = thread_count(); ~Before() { set_thread_count(threads); } } before;
  set_thread_count(1);
  const ProbeBatch one = draw_batch(t, 5, Split::train, 100, 12);
  set_thread_count(3);
  const ProbeBatch three = draw_batch(t, 5, Split::train, 100, 12), later = draw_batch(open_task(GetParam()), 5, Split::train, 106, 6);
  for (size_t i = 0; i < 12; ++i) EXPECT_TRUE(same(one.samples[i], three.samples[i]));
  for (size_t i = 0; i < 6; ++i) EXPECT_TRUE(same(one.samples[i + 6], later.samples[i]));
  int repeats = 0;
  for (size_t i = 0; i < 12; ++i) repeats += same(t.sample(6, Split::train, 100 + i), one.samples[i]);
  EXPECT_LE(repeats, 3) << "another seed gives the same samples";
}

TEST_P(Probes, SplitsShareNoSequence) {
  const Task t = open_task(GetParam());
  std::map<std::string, Split> seen;
  for (const Split split : {Split::train, Split::valid, Split::test})
    for (uint64_t i = 0; i < 60; ++i) {
      const auto [found, fresh] = seen.emplace(inputs(t.sample(8, split, i)), split);
      EXPECT_EQ(found->second, split) << "a sequence is of two splits";
    }
}

TEST_P(Probes, ParametersOutOfRangeOrUnknownAreOneError) {
  const TaskInfo& info = *find_task(GetParam());
  const std::string name = info.doc.name;
  const auto error = [&](const std::string& set) -> std::string {
    try {
      open_task(name, std::vector<std::string>{set});
    } catch (const Error& e) {
      return e.what();
    }
    ADD_FAILURE() << name << ' ' << set << " is taken";
    return "";
  };
  EXPECT_NE(error("nonsense=1").find("has no option 'nonsense'"), std::string::npos);
  EXPECT_NE(error("nonsense").find("wanted name=value"), std::string::npos);
  for (const OptionHelp& h : info.options()) {
    const std::string e = error(h.name + "=quite wrong");
    EXPECT_TRUE(e.find(name) != std::string::npos && e.find(h.name) != std::string::npos && e.find('\n') == std::string::npos) << e;
    const size_t to = h.values.find(" to ");
    if (to != std::string::npos) { EXPECT_NE(error(h.name + "=-99999").find("is not in"), std::string::npos) << h.name; }
  }
}

TEST_P(Probes, ParametersAreReadAsTheyArePrinted) {
  const TaskInfo& info = *find_task(GetParam());
  EXPECT_EQ(open_task(GetParam()).parameters, "");
  std::vector<std::string> set;
  for (const OptionHelp& h : info.options()) set.push_back(h.name + "=" + h.otherwise);
  const Task t = open_task(GetParam(), set);
  EXPECT_EQ(t.parameters, "");
  EXPECT_TRUE(same(t.sample(1, Split::test, 4), open_task(GetParam()).sample(1, Split::test, 4)));
}

std::vector<const char*> names() {
  std::vector<const char*> all;
  for (const TaskInfo& t : tasks()) all.push_back(t.doc.name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Tasks, Probes, testing::ValuesIn(names()), [](const auto& i) { return std::string(i.param); });

TEST(Probe, SpacesTooSmallToPartSayWhichSplitIsEmpty) {
  try {
    const Task t = open_task("even_pairs", std::vector<std::string>{"min=2", "max=2"});
    for (uint64_t i = 0; i < 3; ++i)
      for (const Split s : {Split::train, Split::valid, Split::test}) t.sample(0, s, i);
    FAIL() << "two sequences in three splits";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("too few different sequences"), std::string::npos) << e.what();
  }
}

TEST(Probe, TextsAreStretchesOfTheirPartOfAFile) {
  const std::string file = testing::TempDir() + "headrace-probe-text.txt";
  std::string content;
  for (int i = 0; i < 3000; ++i) content += static_cast<char>('a' + (i * i / 7 + i / 100) % 26);
  write_atomic(file, [&](const Sink& sink) { sink(content.data(), content.size()); });
  const std::string half = content.substr(1500);
  const Task whole = open_task("text", std::vector<std::string>{"file=" + file, "L=90", "from=0.5"});
  const Task anew = open_task("text", std::vector<std::string>{"file=" + file, "L=90", "from=0.5", "reset=40"});
  std::set<int64_t> lengths;
  for (uint64_t i = 0; i < 40; ++i)
    for (const Task* t : {&whole, &anew}) {
      const Sample s = t->sample(1, Split::train, i);
      const std::string seen(s.tokens.begin(), s.tokens.end()), said(s.targets.begin(), s.targets.end());
      EXPECT_NE(half.find(seen + said.back()), std::string::npos);
      EXPECT_EQ(seen.substr(1), said.substr(0, said.size() - 1));
      if (t == &whole) { EXPECT_EQ(s.length(), 90); }
      else lengths.insert(s.length());
    }
  EXPECT_EQ(lengths, (std::set<int64_t>{10, 40}));
  EXPECT_THROW(open_task("text", std::vector<std::string>{"file=" + file, "L=3000"}), Error);
  EXPECT_THROW(open_task("text", std::vector<std::string>{"from=0.5", "to=0.5"}), Error);
}

TEST(Probe, UnknownTasksNameThoseThereAre) {
  try {
    open_task("mqra");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("mqar, induction"), std::string::npos) << e.what();
  }
}

TEST(Probe, DiceAreUniformAndDistinctDrawsAreAShuffle) {
  std::map<int32_t, int> below, first, pairs;
  for (uint64_t i = 0; i < 20000; ++i) {
    Dice d(1, 2, i);
    ++below[d.below(7)];
    const std::vector<int> x = d.distinct(3, 5);
    EXPECT_EQ(std::set<int>(x.begin(), x.end()).size(), 3u);
    ++first[x[0]], ++pairs[x[1] * 5 + x[2]];
  }
  expect_shares(below, uniform(0, 7), "below");
  expect_shares(first, uniform(0, 5), "distinct");
  std::map<int32_t, double> wanted;
  for (int a = 0; a < 5; ++a)
    for (int b = 0; b < 5; ++b)
      if (a != b) wanted[a * 5 + b] = 0.05;
  expect_shares(pairs, wanted, "pairs of distinct");
}

TEST(Probe, PaddedTensorsHoldTheSamples) {
  const Task t = open_task("parity");
  const ProbeBatch b = draw_batch(t, 2, Split::valid, 7, 9);
  std::map<std::string, Tensor> all;
  for (const auto& [name, x] : padded(t, b)) all[name] = x;
  int64_t T = 0;
  for (const Sample& s : b.samples) T = std::max(T, s.length());
  EXPECT_EQ(all.at("input_ids").shape(), (Shape{9, T}));
  for (int64_t i = 0; i < 9; ++i) {
    const Sample& s = b.samples[at(i)];
    EXPECT_EQ(all.at("lengths").data<int64_t>()[i], s.length());
    for (int64_t k = 0; k < T; ++k) {
      const bool in = k < s.length();
      EXPECT_EQ(all.at("input_ids").data<int64_t>()[i * T + k], in ? s.tokens[at(k)] : 0);
      EXPECT_EQ(all.at("targets").data<int64_t>()[i * T + k], in ? s.targets[at(k)] : Sample::none);
      EXPECT_EQ(all.at("mask").data<uint8_t>()[i * T + k], in && s.mask[at(k)]);
    }
  }
}

TEST(Probe, LinearAttentionForgetsTheLengthOfAQueryAndHasALowRank) {
  const std::vector<Injectivity> all = measure_injectivity(48, 12, 300, 1);
  std::map<std::string, Injectivity> by;
  for (const Injectivity& i : all) by[i.map] = i;
  EXPECT_LT(by["relu"].apart, 1e-6);
  EXPECT_EQ(by["relu"].collisions, 1);
  EXPECT_GT(by["softmax"].apart, 0.1);
  EXPECT_LT(by["softmax"].collisions, 0.01);
  EXPECT_GT(by["relu, subtractive"].apart, 0.1);
  EXPECT_LE(by["relu"].rank, 12);
  EXPECT_LE(by["elu + 1"].rank, 12);
  EXPECT_GT(by["softmax"].rank, 24);
}

}  // namespace
}  // namespace headrace
