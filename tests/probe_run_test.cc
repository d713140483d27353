// Training and testing: a task that is easy is learned, results are gone on from, grids are what they say, and the program's errors are one line.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "base/file.h"
#include "cli.h"
#include "error_of.h"
#include "probe.h"
#include "probe/farm.h"
#include "probe/network.h"
#include "probe/results.h"
#include "probe/suite.h"
#include "ops/tape.h"

namespace headrace {
namespace {

Cell easy() {
  Cell c;
  c.task = "even_pairs", c.blueprint = c.label = "d=16 gru", c.set = {"min=6", "max=8"}, c.tests = {{}, {"min=9", "max=12"}};
  c.steps = 250, c.batch = 16, c.samples = 64, c.every = 50, c.rate = 1e-2, c.until = 0.999;
  return c;
}
double accuracy(const Object& result, size_t test) { return number((*result.at("tests").get<Array>())[test], "accuracy"); }

TEST(ProbeRun, AnLstmLearnsParityAndGoesOnToTwiceTheLength) {
  Cell c;
  c.task = "parity", c.blueprint = "d=32 lstm", c.tests = {{}, {"min=41", "max=80"}};
  c.steps = 2000, c.batch = 64, c.samples = 256, c.every = 100, c.rate = 1e-2, c.until = 0.999;
  const Object r = run_cell(c);
  EXPECT_GE(accuracy(r, 0), 0.99);
  EXPECT_GE(accuracy(r, 1), 0.95);
  EXPECT_LE(number(Value(r), "steps"), 1500);
  const Value& long_ones = (*r.at("tests").get<Array>())[1];
  EXPECT_EQ(string(long_ones, "parameters"), "min=41, max=80");
  EXPECT_EQ(number(long_ones, "answers"), 256);
  EXPECT_EQ(long_ones.find("by_position")->get<Array>()->size(), 2u);      // asked at 39..78: up to 63, and up to 127
}
TEST(ProbeRun, StatesAreCountedAsTheyAre) {
  const Task t = open_task("mqar");
  EXPECT_EQ(Network(t, "d=16 2*lstm", 0).state_bytes(50), 2 * 2 * 16 * 4);
  EXPECT_EQ(Network(t, "d=16 linear_attn(heads=2, kv=2, key=4, value=8)", 0).state_bytes(50), 2 * 4 * 8 * 4);
  const Network attention(t, "d=16 attn(heads=2)", 0);
  EXPECT_GT(attention.state_bytes(200), attention.state_bytes(50));
}
TEST(ProbeRun, TheSameCellGivesTheSameNumbers) {
  Cell c = easy();
  c.steps = 40, c.until = 2;
  const Object a = run_cell(c), b = run_cell(c);
  EXPECT_EQ(to_json(a.at("curve")), to_json(b.at("curve")));
  EXPECT_EQ(to_json(a.at("tests")), to_json(b.at("tests")));
}

// Vectors in, vectors or classes out, and all answers from one place: the gradient's direction is one in which the loss falls.
TEST(ProbeRun, EveryKindOfTaskTrains) {
  for (const auto& [task, set] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"mqar", {"V=16", "L=16", "pairs=2"}}, {"regression", {"points=8", "dims=1"}}, {"confusion", {"directions=1"}},
           {"compress", {"L=5", "V=3"}}, {"retrieve", {"dims=4", "pairs=1"}}, {"parity", {"trace=steps", "max=6"}}}) {
    Cell c;
    c.task = task, c.blueprint = "d=16 attn(heads=2) + swiglu", c.set = set, c.tests = {{}};
    c.steps = 60, c.batch = 32, c.samples = 64, c.every = 5, c.rate = 1e-2, c.until = 2;
    const Object r = run_cell(c);
    const Array& curve = *r.at("curve").get<Array>();
    if (open_task(task).outputs) { EXPECT_GT(number(curve.back(), "valid"), number(curve.front(), "valid") + 0.02) << task; }
    else { EXPECT_LT(number(curve.back(), "loss"), 0.95 * number(curve.front(), "loss")) << task; }
  }
}
TEST(ProbeRun, GradientsOfANetworkAreDifferences) {
  for (const std::string name : {"regression", "confusion", "compress"}) {
    const Task task = open_task(name);
    const Network net(task, "d=8 eps=0.1 gru", 3);
    const ProbeBatch batch = draw_batch(task, 1, Split::train, 0, 2);
    const Network::Asked asked = net.asked(batch);
    net.answers(batch, asked);
    const auto sum = [&] {                               // of squares of all answers
      const Tensor y = net.answers(batch, asked);
      double s = 0;
      for (const float v : y.floats()) s += double{v} * v;
      return s;
    };
    Tape tape;
    const std::vector<Parameter> parameters = net.parameters();
    for (const Parameter& p : parameters) tape.watch(p.value);
    const Tensor y = net.answers(batch, asked), dy = y.contiguous_copy();
    for (int64_t i = 0; i < dy.count(); ++i) dy.f32()[i] *= 2;
    tape.backward(y, dy);
    PauseTape pause;
    for (const Parameter& p : parameters) {
      ASSERT_TRUE(tape.gradient(p.value)) << p.name;
      const Tensor g = tape.gradient(p.value).contiguous_copy(), kept = p.value.contiguous_copy();
      double size = 0;
      for (const float v : g.floats()) size += std::abs(v);
      const double step = 1e-3;
      double apart[2];
      for (const int side : {0, 1}) {
        for (int64_t k = 0; k < g.count(); ++k)
          p.value.f32()[k] = kept.f32()[k] + static_cast<float>((side ? step : -step) * (g.f32()[k] > 0 ? 1 : -1));
        apart[side] = sum();
      }
      std::copy_n(kept.f32(), kept.count(), p.value.f32());
      EXPECT_NEAR((apart[1] - apart[0]) / (2 * step), size, 0.02 * size + 1e-2) << name << ' ' << p.name;
    }
  }
}

TEST(ProbeRun, GridsPlaceTheirValues) {
  Grid g{.base = easy(), .blueprints = {"d=16 attn(heads={h})", "d=16 gru"}, .axes = {}, .seeds = {4, 5}};
  g.axes = {{"h", {"1", "2"}}, {"max", {"8", "10"}}, {"rate", {"0.1"}}};
  const std::vector<Cell> cells = cells_of(g);
  ASSERT_EQ(cells.size(), (2 * 2 + 2) * 2u);               // gru has no {h}
  EXPECT_EQ(cells[2].blueprint, "d=16 attn(heads=1)");
  EXPECT_EQ(cells[2].set, (std::vector<std::string>{"min=6", "max=10"}));
  EXPECT_EQ(cells[2].rate, 0.1);
  EXPECT_EQ(cells[3].seed, 5u);
  std::set<std::string> keys;
  for (const Cell& c : cells) keys.insert(c.key());
  EXPECT_EQ(keys.size(), cells.size());
  g.axes = {{"width", {"3"}}};
  EXPECT_THROW(cells_of(g), Error);
}

TEST(ProbeRun, TheSuiteIsOfTasksThatItsTestsFit) {
  std::vector<SuiteResult> results;
  for (const SuiteTask& t : suite()) {
    Cell base = easy();
    base.batch = 1, base.samples = 1;
    const std::vector<Cell> cells = cells_of(suite_grid(t, base, {"d=8 gru"}, {0}, 1e-9));
    ASSERT_EQ(cells.size(), 1u);
    EXPECT_EQ(cells[0].steps, 1);
    const Object r = run_cell(cells[0]);
    EXPECT_EQ(r.at("tests").get<Array>()->size(), t.longer.empty() ? 1u : 2u);
    results.push_back({&t, summarise({r})});
  }
  const std::string page = to_html(results);
  for (const SuiteTask& t : suite()) EXPECT_NE(page.find(std::string(">") + t.task + "<br>"), std::string::npos) << t.task;
  for (const std::string& b : suite_blueprints()) parse_blueprint(b);
}

TEST(ProbeRun, SplitsOfHardlyAnySequencesAreRefusedBeforeTraining) {
  const auto error = [](const std::string& task, const std::vector<std::string>& set, const std::vector<std::string>& test = {}) {
    Cell c = easy();
    c.task = task, c.set = set, c.tests = {{}, test}, c.samples = 512;
    return error_of([&] { cells_of({.base = c, .blueprints = {"d=8 gru"}, .axes = {}}); });
  };
  const std::string few = error("regular", {"language=multiple", "max=40"});
  EXPECT_NE(few.find("512 samples of the valid split are"), std::string::npos) << few;
  EXPECT_NE(few.find("language=multiple, max=40, wanted 32; more with a larger max"), std::string::npos) << few;
  EXPECT_NE(error("negation", {"max=12"}).find("max=12"), std::string::npos);
  EXPECT_NE(error("parity", {}, {"min=2", "max=6"}).find("of the test split"), std::string::npos);
  for (const TaskInfo& t : tasks()) EXPECT_EQ(error(t.doc.name, {}), "") << t.doc.name;
  EXPECT_EQ(error("regular", {"language=multiple"}), "");
  for (const SuiteTask& t : suite()) EXPECT_EQ(error(t.task, t.set, t.longer), "") << t.task;
}
TEST(ProbeRun, TestsOfAnotherShapeAreRefusedBeforeTraining) {
  Cell c = easy();
  c.task = "compress", c.set = {}, c.tests = {{"L=12"}};
  EXPECT_EQ(error_of([&] { cells_of({.base = c, .blueprints = {"d=8 gru"}, .axes = {}}); }),
            "probe compress: tested with L=12 it has 11 answers at the last token, trained 31");
}
TEST(ProbeRun, ValidationOfOneAnswerDoesNotEndTraining) {
  Cell c = easy();
  c.samples = 1, c.until = 0, c.steps = 20, c.every = 10;
  EXPECT_EQ(number(Value(run_cell(c)), "steps"), 20);
  c.samples = 64;
  EXPECT_EQ(number(Value(run_cell(c)), "steps"), 10);
}

class ProbeFiles : public Cli {};
TEST_F(ProbeFiles, ResultsAreGoneOnFromAndALineThatWasCutShortRunsAgain) {
  Grid g{.base = easy(), .blueprints = {"d=8 gru"}, .axes = {}, .seeds = {0, 1, 2}};
  g.base.steps = 3, g.base.samples = 4;
  const std::vector<Cell> cells = cells_of(g);
  const std::string file = at("r.jsonl");
  int told = 0;
  const auto tell = [&](int64_t, int64_t, const std::string&) { ++told; };
  const std::vector<Object> first = run_cells(cells, file, tell);
  EXPECT_EQ(told, 3);
  const std::string whole = read_text(file);
  write("r.jsonl", whole.substr(0, whole.size() - 40));
  told = 0;
  const std::vector<Object> second = run_cells(cells, file, tell);
  EXPECT_EQ(told, 2);                                      // two are there; the third again
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(to_json(first[i].at("tests")), to_json(second[i].at("tests")));
  told = 0;
  run_cells(cells, file, tell);
  EXPECT_EQ(told, 1);
  const std::vector<Summary> s = summarise(second);
  ASSERT_EQ(s.size(), 1u);
  EXPECT_EQ(s[0].seeds, 3);
  double mean = 0;
  for (const Object& r : second) mean += accuracy(r, 0) / 3;
  EXPECT_NEAR(s[0].tests[0].mean, mean, 1e-12);
  EXPECT_NE(to_svg(s, "x < y").find("x &lt; y"), std::string::npos);
  const std::string csv = to_csv(second);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 3 * 2);
  const std::string now = read_text(file);
  EXPECT_EQ(std::count(now.begin(), now.end(), '\n'), 3) << "the line that was cut is still there";
  for (const std::string line : {"{\"key\"", "{\"key\":\"x", "{\"key\":5}{\n"}) {      // cut within the first line; within another; in the middle
    write("r.jsonl", line.ends_with("\n") ? line + now : line);
    run_cells(cells, file, tell);
    EXPECT_EQ(read_text(file).find(line), std::string::npos) << line;
  }
  write("r.jsonl", "not results\nat all\n");
  EXPECT_THROW(run_cells(cells, file, tell), Error);
}
// One appends while another, again and again, drops lines that a kill cut short: nothing that was appended is lost.
TEST_F(ProbeFiles, ResultsMayBeAppendedWhileAnotherDropsLinesThatWereCut) {
  const std::string file = at("r.jsonl");
  constexpr int lines = 200;
  append_line(file, R"({"key":"first"})");
  std::atomic<bool> ended = false;
  std::thread drops([&] {
    while (!ended) {
      {
        const HeldFile held(file);                         // as a program does that is killed while it writes
        constexpr std::string_view cut = R"({"key":"cut)";
        EXPECT_EQ(::write(held.descriptor(), cut.data(), cut.size()), std::ssize(cut));
      }
      read_results(file, {});
    }
  });
  for (int i = 0; i < lines; ++i) append_line(file, text(R"({"key":"line )", i, "\"}"));
  ended = true;
  drops.join();
  read_results(file, {});
  const std::string all = read_text(file);
  for (int i = 0; i < lines; ++i) EXPECT_NE(all.find(text(R"({"key":"line )", i, "\"}\n")), std::string::npos) << i;
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), lines + 1);
}
TEST_F(ProbeFiles, TwoProgramsAtOnceShareAFileOfResults) {
  write("even_pairs.jsonl", R"({"key":"cut)");
  const auto probe = [&](const std::string& cell) {
    return "probe even_pairs --steps 2 --seeds 12 --samples 4 --threads 1 --results '" + folder_ + "' --blueprint 'd=8 " + cell + "'";
  };
  const std::string program = "'" HEADRACE_BINARY "' ";
  const Ran both = run("--version; " + program + probe("gru") + " >first 2>&1 & " + program + probe("lstm") +
                       " >second 2>&1; code=$?; wait $! && exit $code");
  EXPECT_EQ(both.code, 0) << read_text(at("first")) << read_text(at("second"));
  for (const std::string cell : {"gru", "lstm"}) EXPECT_NE(run(probe(cell)).err.find(" 12 of 12 cells are in "), std::string::npos) << cell;
}
// A recipe's script ends in what its caller adds.
TEST_F(ProbeFiles, WhatIsGivenAgainHasItsLastValue) {
  const std::string probe = "probe parity --blueprint 'd=8 gru' --set max=9 --steps 50 --seeds 3 --samples 4 --results '" + folder_ + "'";
  const Ran r = run(probe + " --set max=6 --steps 2 --seeds 1");
  EXPECT_EQ(r.code, 0) << r.err;
  const std::string lines = read_text(at("parity.jsonl"));
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 1);
  EXPECT_NE(lines.find("\"steps\":2"), std::string::npos) << lines;
  EXPECT_NE(lines.find("max=6"), std::string::npos) << lines;
  EXPECT_EQ(lines.find("max=9"), std::string::npos) << lines;
}
TEST_F(ProbeFiles, CellsThatDivergeEndThereAndTheOthersRun) {
  Grid g{.base = easy(), .blueprints = {"d=8 gru"}, .axes = {{"rate", {"1e-2", "10"}}}, .seeds = {0, 1}};
  g.base.steps = 12, g.base.samples = 16, g.base.until = 2, g.base.decay = 0;
  std::vector<Cell> cells = cells_of(g);
  for (Cell& c : cells)
    if (c.rate > 1) c.rate = 1e38;                         // which no grid may ask for
  std::vector<std::string> lines;
  const auto tell = [&](int64_t, int64_t, const std::string& line) { lines.push_back(line); };
  for (int again = 0; again < 2; ++again) {                // as they run; as they are read
    const std::vector<Object> results = run_cells(cells, at("r.jsonl"), tell);
    ASSERT_EQ(results.size(), 4u);
    for (const Object& r : results) {
      const bool wild = number(Value(r), "rate") > 1;
      ASSERT_EQ(r.contains("diverged"), wild);
      if (!wild) continue;
      EXPECT_EQ(number(Value(r), "diverged"), 2) << "the gradient of the second step is not finite; its loss is";
      EXPECT_EQ(number(Value(r), "steps"), 1);
      for (const Value& t : *r.at("tests").get<Array>()) {
        EXPECT_EQ(number(t, "accuracy"), 0);
        EXPECT_TRUE(t.get<Object>()->at("loss").is_null());
      }
    }
    const Summary s = summarise(results)[0];
    EXPECT_EQ(s.rate, 1e-2);
    EXPECT_EQ(s.diverged, 2);
    EXPECT_EQ(s.cells, 4);
    EXPECT_TRUE(std::isfinite(s.tests[0].loss));
    const Summary none = summarise({results[2], results[3]})[0];
    EXPECT_EQ(none.tests[0].mean, 0);
    EXPECT_TRUE(std::isnan(none.tests[0].loss));
    const std::string csv = to_csv(results), last = "," + std::to_string(static_cast<int>(number(Value(results[3]), "diverged"))) + "\n";
    EXPECT_TRUE(csv.ends_with(",,0" + last)) << csv;
  }
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), [](const std::string& l) { return l.find("diverged at step") != l.npos; }), 2);
}
TEST(ProbeRun, ACellThatDivergedIsNoBetterThanTheWorst) {
  std::vector<Object> results;
  for (const double a : {-2.0, -1.0, 0.0}) {
    results.push_back({{"label", "b"}, {"grid", Array{}}, {"rate", a < 0 ? 1.0 : 2.0}, {"cpu_seconds", 2.0}, {"weights", 5}, {"state_bytes", 64},
                       {"tests", Array{Object{{"accuracy", a}, {"whole", 0.0}, {"loss", a < 0 ? Value(1 - a) : Value()}, {"set", Array{}}}}}});
    if (a == 0) results.back()["diverged"] = 7;
  }
  const Summary s = summarise(results)[0];
  EXPECT_EQ(s.rate, 1);
  EXPECT_EQ(s.tests[0].best, -1);
  EXPECT_EQ(s.tests[0].loss, 2.5);
}
TEST_F(ProbeFiles, ALineOfAnotherShapeIsNamedByItsFileAndNumber) {
  Grid g{.base = easy(), .blueprints = {"d=8 gru"}, .axes = {}};
  g.base.steps = 3, g.base.samples = 4;
  const std::vector<Cell> cells = cells_of(g);
  const std::string file = at("r.jsonl");
  const auto run = [&] { return run_cells(cells, file, [](int64_t, int64_t, const std::string&) {}); };
  const Object good = run()[0];
  const auto said = [&](const char* key, const Value& v) {
    Object o = good;
    o[key] = v;
    write("r.jsonl", "{\"key\":\"another\"}\n" + to_json(o) + "\n");
    return error_of(run);
  };
  for (const auto& [key, v] : std::vector<std::pair<const char*, Value>>{{"tests", 5}, {"tests", Array{}}, {"tests", Array{1, 2}}, {"rate", "x"},
           {"label", 1}, {"grid", Array{7}}, {"near", "x"}})
    EXPECT_TRUE(said(key, v).starts_with(file + ", line 2: not a result")) << said(key, v);
  Object test = *(*good.at("tests").get<Array>())[0].get<Object>();
  for (const char* key : {"accuracy", "by_position", "set"}) {
    Object other = test;
    other[key] = true;
    EXPECT_NE(said("tests", Array{other, test}).find(std::string("writes it: ") + key), std::string::npos) << key;
  }
  EXPECT_EQ(said("seconds", 1.0), "");
}
TEST(ProbeRun, IntervalsAreStudents) {
  std::vector<Object> results;
  for (const double a : {0.5, 0.7, 0.9}) {
    const Object test{{"accuracy", a}, {"whole", a}, {"loss", 1 - a}, {"set", Array{}}};
    results.push_back({{"label", "b"}, {"grid", Array{"rate=1"}}, {"rate", 1.0}, {"cpu_seconds", 2.0}, {"weights", 5},
                       {"state_bytes", 64}, {"tests", Array{test}}});
  }
  const Summary s = summarise(results)[0];
  EXPECT_NEAR(s.tests[0].mean, 0.7, 1e-12);
  EXPECT_NEAR(s.tests[0].half, 4.303 * 0.2 / std::sqrt(3), 1e-9);
  EXPECT_EQ(s.tests[0].median, 0.7);
  EXPECT_EQ(s.tests[0].best, 0.9);
  EXPECT_NEAR(s.tests[0].loss, 0.3, 1e-12);
  EXPECT_LT(s.near, 0);                                    // no attention
}
TEST(ProbeRun, TheBestOfWorseThanAMeanIsBelowZero) {
  std::vector<Object> results;
  for (const double a : {-0.5, -0.25})
    results.push_back({{"label", "b"}, {"grid", Array{}}, {"rate", 1.0}, {"cpu_seconds", 2.0}, {"weights", 5}, {"state_bytes", 64},
                       {"tests", Array{Object{{"accuracy", a}, {"whole", 0.0}, {"loss", 1 - a}, {"set", Array{}}}}}});
  EXPECT_EQ(summarise(results)[0].tests[0].best, -0.25);
}

TEST_F(ProbeFiles, TheProgramListsShowsWritesAndTrains) {
  EXPECT_EQ(json("probe list --json").get<Array>()->size(), tasks().size());
  const Ran shown = run("probe parity --show 2 --seed 4");
  EXPECT_EQ(std::count(shown.out.begin(), shown.out.end(), '\n'), 2);
  EXPECT_EQ(run("probe parity --show 1 --from 1 --seed 4").out, shown.out.substr(shown.out.find('\n') + 1));
  EXPECT_EQ(run("probe regression --out " + at("x.safetensors") + " --count 3 --json").code, 0);
  EXPECT_EQ(run("probe parity --split valid --out " + at("y.safetensors")).code, 0);
  const Ran t = run("probe even_pairs --blueprint 'd=8 gru' --steps 4 --seeds 2 --samples 8 --results r/s --test '' --test max=60 --json");
  EXPECT_EQ(t.code, 0) << t.err;
  const Value v = parse_json(t.out, "out");
  EXPECT_EQ(number(v, "cells"), 2);
  for (const char* file : {"r/s/even_pairs.jsonl", "r/s/even_pairs.csv", "r/s/even_pairs.svg"}) EXPECT_TRUE(file_exists(at(file))) << file;
}
TEST_F(ProbeFiles, TheProgramsErrorsAreOneLine) {
  one_line(run("probe mqra --show 1"), 1, "mqra");
  one_line(run("probe mqar --set L=3 --show 1"), 1, "L=3");
  one_line(run("probe mqar --set pairs=1000 --show 1"), 1, "pairs");
  one_line(run("probe parity --split all --show 1"), 1, "split");
  one_line(run("probe parity --blueprint 'd=8 gru' --grid rte=1,2 --results " + at("r")), 2, "grid");
  const std::string gru = " --blueprint 'd=8 gru' --steps 1 --seeds 1 --samples 8 --results " + at("r");
  const auto says = [&](const std::string& arguments, int code, const std::string& words) {
    const Ran r = run(arguments);
    one_line(r, code, arguments);
    EXPECT_NE(r.err.find(words), std::string::npos) << r.err;
  };
  says("probe parity" + gru + " --blueprint 'd=8 gru'", 1, "asked for twice");
  says("probe parity" + gru + " --grid rate=1e-3,1e-3", 1, "asked for twice");
  for (const std::string axis : {"d=7.5", "steps=2.5", "batch=0", "steps=-1", "d=nan", "d=2e6", "batch=2e6", "rate=-1", "rate=0", "rate=11",
                                 "rate=inf", "until=-0.5", "until=3", "rate=x", "rate=1e-3,-1"})
    says("probe parity" + gru + " --grid " + axis, 2, axis.substr(axis.find_last_of("=,") + 1));
  says("probe parity" + gru + " --grid rate", 2, "name=value");
  EXPECT_FALSE(file_exists(at("r"))) << "something was made before the options were read";
  says("probe parity" + gru + " --show 2", 2, "--show");
  says("probe parity" + gru + " --out " + at("x"), 2, "--out");
  says("probe parity --show 1 --out " + at("x"), 2, "not both");
  says("probe parity --show 1 --grid rate=1", 2, "--blueprint");
  for (const std::string word : {"all", "list", "injectivity"}) says("probe " + word + " --set max=8", 2, "--set");
  says("probe list --show 1", 2, "--show");
  says("probe list --blueprint 'd=8 gru'", 2, "--blueprint");
  for (const std::string option : {"--from 3", "--split valid", "--count 5", "--share 0.5"})
    says("probe parity" + gru + " " + option, 2, option.substr(0, option.find(' ')) + " is of ");
  for (const std::string option : {"--count 5", "--steps 3", "--rate 1", "--samples 8", "--positions", "--seeds 1", "--results r"})
    says("probe parity --show 1 " + option, 2, option.substr(0, option.find(' ')) + " is of ");
  for (const std::string option : {"--from 3", "--steps 3", "--positions"}) says("probe all " + option, 2, option.substr(0, option.find(' ')));
  for (const std::string word : {"list", "injectivity"}) says("probe " + word + " --from 3", 2, "--from is of ");
  says("probe parity --steps 3", 2, "--steps is of training");
  write("plain", "x");
  says("probe parity --blueprint 'd=8 gru' --results " + at("plain"), 1, "File exists");
  says("probe compress" + gru + " --test L=12", 1, "L=12");
  one_line(run("probe parity --blueprint 'd=8 gru' --test V=9 --steps 1 --seeds 1 --results " + at("r")), 1, "vocabulary");
}

}  // namespace
}  // namespace headrace
