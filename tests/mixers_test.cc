// Laws of every mixer that mixers/catalogue.h lists, and of how parameters begin.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "mixers/catalogue.h"
#include "nn/init.h"
#include "nn/state.h"
#include "ops/tape.h"

namespace headrace {
namespace {

class Mixers : public testing::TestWithParam<const MixerInfo*> {};

TEST_P(Mixers, SayWhatTheyAre) {
  const MixerDoc& d = *GetParam()->doc;
  for (const char* said : {d.name, d.family, d.title, d.paper, d.equations, d.parameters, d.state, d.decode, d.sequence, d.source})
    EXPECT_TRUE(said && *said) << d.name;
  EXPECT_EQ(find_mixer(d.name), GetParam());           // no name twice
  EXPECT_EQ(GetParam()->text({.width = 48}, {}), d.name) << "defaults are not printed";
  for (const OptionHelp& o : GetParam()->options({.width = 48})) EXPECT_FALSE(o.help.empty()) << d.name << " " << o.name;
}

TEST_P(Mixers, BeginTheSameWhateverElseThereIs) {
  for (const int layer : {0, 3}) {
    const Place at{.width = 48, .layer = layer, .layers = 4, .nth = layer, .of = 4};
    auto alone = initialised({.seed = 5}), among = initialised({.seed = 5}), other = initialised({.seed = 6});
    GetParam()->bind(Scope(alone) / "layers" / layer, at, {});
    find_mixer("mlp")->bind(Scope(among) / "else", at, {});
    GetParam()->bind(Scope(among) / "layers" / layer, at, {});
    GetParam()->bind(Scope(other) / "layers" / layer, at, {});
    bool differs = false;
    for (size_t i = 0; i < alone->parameters.size(); ++i) {
      const Parameter& p = alone->parameters[i];
      const Parameter& q = among->parameters[i + 4];
      ASSERT_EQ(p.name, q.name);
      ASSERT_EQ(p.value.layout(), Layout::rows);
      for (int64_t n = 0; n < p.value.count(); ++n) {
        ASSERT_TRUE(std::isfinite(p.value.f32()[n])) << p.name;
        ASSERT_EQ(p.value.f32()[n], q.value.f32()[n]) << p.name;
        differs = differs || p.value.f32()[n] != other->parameters[i].value.f32()[n];
      }
    }
    EXPECT_TRUE(differs);
  }
}

TEST_P(Mixers, BindAgainWithTheSameTensors) {
  auto source = initialised();
  GetParam()->bind(Scope(source), {.width = 48}, {});
  const auto before = source->parameters;
  source->parameters.clear(), source->used.clear();
  GetParam()->bind(Scope(source), {.width = 48}, {});
  ASSERT_EQ(source->parameters.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(source->parameters[i].value.raw(), before[i].value.raw());
}

TEST_P(Mixers, TakeNothingAndTokensBesideNothing) {
  auto source = initialised({.jitter = 0.1});
  const Sublayer f = GetParam()->bind(Scope(source), {.width = 48}, {});
  Tensor x = Tensor::empty({5, 48});
  for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] = std::sin(static_cast<float>(i));
  const auto run = [&](const std::vector<int64_t>& lengths, bool with_states) {
    Batch batch;
    std::vector<State> states(lengths.size());
    for (size_t s = 0; s < lengths.size(); ++s) batch.add(lengths[s], with_states ? &states[s] : nullptr);
    return f(x.slice(0, 0, batch.offsets.back()), {.batch = &batch});
  };
  for (const bool with_states : {false, true}) {
    if (with_states && !GetParam()->causal({.width = 48}, {})) break;
    EXPECT_EQ(run({0}, with_states).shape(), Shape({0, 48}));
    const Tensor alone = run({5}, with_states), beside = run({0, 5, 0}, with_states);
    ASSERT_EQ(beside.shape(), alone.shape());
    for (int64_t i = 0; i < alone.count(); ++i) ASSERT_EQ(beside.f32()[i], alone.f32()[i]) << "at " << i;
  }
}

// Gates at 0 and at 1, zeros, tiny and huge inputs; fresh memory holds NaN (agree_test.cc), so that one read before it is written shows.
TEST_P(Mixers, StayFiniteWhateverTheInputIs) {
  auto source = initialised({.jitter = 0.1});
  GetParam()->bind(Scope(source), {.width = 48}, {});
  for (const float size : {0.f, 1e-20f, 1.f, 1e3f}) {
    Tensor x = Tensor::empty({70, 48});
    for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] = size * std::sin(static_cast<float>(i * i % 1001));
    Tape tape;
    tape.watch(x);
    for (const Parameter& p : source->parameters) tape.watch(p.value);
    Batch batch;
    batch.add(1), batch.add(69);
    const Tensor y = GetParam()->bind(Scope(source), {.width = 48}, {})(x, {.batch = &batch});
    for (int64_t i = 0; i < y.count(); ++i) ASSERT_TRUE(std::isfinite(y.f32()[i])) << "output " << i << ", inputs of " << size;
    Tensor dy = Tensor::empty(y.shape());
    for (int64_t i = 0; i < dy.count(); ++i) dy.f32()[i] = std::cos(static_cast<float>(i));
    tape.backward(y, dy);
    const auto finite = [&](const Tensor& t, const std::string& name) {
      const Tensor g = tape.gradient(t);
      for (int64_t i = 0; g && i < g.count(); ++i) ASSERT_TRUE(std::isfinite(g.f32()[i])) << name << " at " << i << ", inputs of " << size;
    };
    finite(x, "x");
    for (const Parameter& p : source->parameters) finite(p.value, p.name);
  }
}

// Nonsense in one number is refused in one line, or the layer works. Widths of 1 and 7: few channels make heads without any, norms of one number
// and groups that do not divide; at 48 the other laws run. What is large but sound is planned and not run: it would only be slow.
TEST_P(Mixers, RefuseANumberThatTheyCannotWorkWith) {
  const MixerInfo& m = *GetParam();
  using Given = std::vector<Setting>;
  const auto spelled = [](int width, const Given& given) {
    std::string s = text("width ", width);
    for (const Setting& g : given) s += ", " + g.name + "=" + g.value;
    return s;
  };
  // What f throws names one of the options; true: it throws nothing.
  const auto works = [&](int width, const Given& given, const auto& f) {
    try {
      f();
      return true;
    } catch (const Error& e) {
      const std::string said = e.what();
      EXPECT_EQ(said.find('\n'), said.npos) << spelled(width, given) << ": " << said;
      EXPECT_TRUE(std::any_of(given.begin(), given.end(), [&](const Setting& g) { return said.find(g.name) != said.npos; }))
          << spelled(width, given) << ": " << said;
    } catch (const std::exception& e) {
      ADD_FAILURE() << spelled(width, given) << ": " << e.what();
    }
    return false;
  };
  // How many numbers its parameters have; -1: it is refused.
  const auto planned = [&](int width, const Given& given) {
    double all = -1;
    works(width, given, [&] {
      auto plan = initialised({.device = Device::meta});
      m.bind(Scope(plan), {.width = width}, given);
      all = 0;
      for (const Parameter& p : plan->parameters) {
        double count = 1;
        for (const int64_t d : p.shape.dims()) {
          EXPECT_GT(d, 0) << spelled(width, given) << ": " << p.name << text(p.shape);
          count *= static_cast<double>(d);
        }
        all += count;
      }
    });
    return all;
  };
  const auto run = [&](int width, const Given& given) {
    auto source = initialised({.jitter = 0.1});
    const Sublayer f = m.bind(Scope(source), {.width = width}, given);
    Tensor x = Tensor::empty({5, width});
    for (int64_t i = 0; i < x.count(); ++i) x.f32()[i] = std::sin(static_cast<float>(i * i % 1001));
    for (const bool with_state : {false, true}) {
      if (with_state && !m.causal({.width = width}, given)) break;
      Batch batch;
      State state;
      batch.add(5, with_state ? &state : nullptr);
      const Tensor y = f(x, {.batch = &batch});
      for (int64_t i = 0; i < y.count(); ++i) ASSERT_TRUE(std::isfinite(y.f32()[i])) << spelled(width, given) << ", output " << i;
    }
  };
  for (const int width : {1, 7}) {
    Given most;
    for (const OptionHelp& o : m.options({.width = width})) {
      const size_t to = o.values.find(" to ");
      if (to == std::string::npos) continue;               // no number
      for (const char* value : {"0", "-1", "1", "7", "16777216", "1073741824"}) {
        const Given given{{.name = o.name, .value = value}};
        if (const double n = planned(width, given); n >= 0 && n < 1e6) works(width, given, [&] { run(width, given); });
      }
      if (std::string(m.doc->name) == "s4" && o.name == "state") continue;   // its most is an eigenproblem of seconds
      for (const std::string& end : {o.values.substr(0, to), o.values.substr(to + 4)}) planned(width, {{.name = o.name, .value = end}});
      most.push_back({.name = o.name, .value = o.values.substr(to + 4)});
    }
    for (size_t i = 0; i < most.size(); ++i)               // a product of two is where 32 bits end
      for (size_t k = 0; k < i; ++k) planned(width, {most[k], most[i]});
  }
}

std::vector<const MixerInfo*> all() {
  std::vector<const MixerInfo*> list;
  for (const MixerInfo& m : mixers()) list.push_back(&m);
  return list;
}
INSTANTIATE_TEST_SUITE_P(All, Mixers, testing::ValuesIn(all()), [](const auto& i) { return std::string(i.param->doc->name); });

Tensor filled(const Init& i, const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  i.fill(t, {.seed = 3, .stream = 9});
  return t;
}
struct Moments { double mean = 0, deviation = 0, least = INFINITY, most = -INFINITY; };
Moments moments(const Tensor& t) {
  Moments m;
  for (float x : t.floats()) m.mean += x / static_cast<double>(t.count());
  for (float x : t.floats()) m.least = std::min<double>(m.least, x), m.most = std::max<double>(m.most, x);
  for (float x : t.floats()) m.deviation += (x - m.mean) * (x - m.mean) / static_cast<double>(t.count());
  m.deviation = std::sqrt(m.deviation);
  return m;
}

TEST(Init, DrawsWhatItSays) {
  const Moments normal = moments(filled(Init::normal(0.5), {200, 300}));
  EXPECT_NEAR(normal.mean, 0, 0.01);
  EXPECT_NEAR(normal.deviation, 0.5, 0.01);
  const Moments uniform = moments(filled(Init::uniform(1, 3), {200, 300}));
  EXPECT_NEAR(uniform.mean, 2, 0.01);
  EXPECT_NEAR(uniform.deviation, 1 / std::sqrt(3), 0.01);
  EXPECT_GE(uniform.least, 1);
  EXPECT_LE(uniform.most, 3);
  EXPECT_NEAR(moments(filled(Init::xavier(), {100, 500})).most, std::sqrt(6.0 / 600), 1e-4);
  EXPECT_NEAR(moments(filled(Init::fan_in(), {100, 400})).most, 0.05, 1e-4);
  const Moments ages = moments(filled(Init::log_uniform(0.001, 0.1).log(), {10000}));
  EXPECT_NEAR(ages.mean, std::log(0.01), 0.03);
  EXPECT_GE(ages.least, std::log(0.001) - 1e-6);
  EXPECT_LE(ages.most, std::log(0.1) + 1e-6);
  const Tensor steps = filled(Init::step_size(0.001, 0.1), {100});
  for (float x : steps.floats()) {
    const double step = std::log1p(std::exp(x));
    EXPECT_GE(step, 0.000999);
    EXPECT_LE(step, 0.1001);
  }
  EXPECT_EQ(filled(Init::linspace(3, 6), {4}).floats()[2], 5.f);
  EXPECT_EQ(filled(Init::by_column([](int64_t i) { return i; }), {2, 3}).floats()[4], 1.f);
  EXPECT_EQ(filled(Init::by_element([](int64_t i) { return i; }), {2, 3}).floats()[4], 4.f);
  EXPECT_EQ(moments(filled(Init{}, {7})).most, 0);                               // a vector of which nothing is said
  EXPECT_NEAR(moments(filled(Init{}, {100, 100})).deviation, 0.02, 1e-3);      // and a matrix
}

TEST(Init, OrthogonalRowsOrColumnsHaveLengthOneAndRightAngles) {
  for (const Shape& shape : {Shape{5, 9}, Shape{9, 5}, Shape{6, 6}}) {
    const Tensor t = filled(Init::orthogonal(), shape);
    const int64_t out = shape[0], in = shape[1], n = std::min(out, in);
    const double length = out > in ? static_cast<double>(out) / static_cast<double>(in) : 1;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double dot = 0;
        for (int64_t c = 0; c < std::max(out, in); ++c)
          dot += out > in ? t.f32()[c * in + i] * t.f32()[c * in + j] : t.f32()[i * in + c] * t.f32()[j * in + c];
        EXPECT_NEAR(dot, i == j ? length : 0, 1e-5);
      }
  }
}

TEST(Init, GroupsAndDecayReachTheParameter) {
  auto source = initialised();
  const Scope s(source);
  s("matrix", {4, 4}), s("vector", {4}), s("rate", {4, 4}, Init::ones().no_decay().in_group("slow"));
  EXPECT_TRUE(source->parameters[0].decay);
  EXPECT_FALSE(source->parameters[1].decay);
  EXPECT_FALSE(source->parameters[2].decay);
  EXPECT_EQ(source->parameters[2].group, "slow");
  s("matrix", {4, 4});                                 // declared again: shared
  EXPECT_EQ(source->parameters.size(), 3u);
  EXPECT_THROW(s("matrix", {4, 5}), Error);
}

}  // namespace
}  // namespace headrace
