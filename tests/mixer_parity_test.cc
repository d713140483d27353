// The law `parity` for mixers: each file of tests/fixtures/mixers (tests/oracle/make_mixer_fixtures.py) has a published layer's parameters by our
// names, its output, and gradients: whole, in chunks, token by token and beside another sequence, by the CPU's kernels and by the definitions.
#include <filesystem>
#include <map>

#include "io/safetensors.h"
#include "mixers/catalogue.h"
#include "nn/init.h"
#include "nn/state.h"
#include "ops/tape.h"
#include "laws.h"

namespace headrace {
namespace {

const std::filesystem::path folder = HEADRACE_ROOT "/tests/fixtures/mixers";

class MixerParity : public testing::TestWithParam<std::string> {
 protected:
  SafetensorsFile file{(folder / (GetParam() + ".safetensors")).string()};
  std::shared_ptr<Source> source = initialised();
  Tensor x = file.tensor("x").contiguous_copy(), y = file.tensor("y"), dy = file.tensor("dy");

  std::vector<Setting> given() const {
    const auto& m = file.metadata();
    std::vector<Setting> given;
    for (std::string rest = m.at("options"); !rest.empty();) {          // "heads=2, key=5"
      const size_t end = std::min(rest.find(','), rest.size()), equals = rest.find('=');
      given.push_back({rest.substr(0, equals), rest.substr(equals + 1, end - equals - 1)});
      rest.erase(0, rest.find_first_not_of(", ", end));
    }
    return given;
  }
  Place place() const {
    const auto& m = file.metadata();
    return {.width = static_cast<int>(x.dim(1)), .layer = std::stoi(m.at("layer")), .layers = std::stoi(m.at("layers"))};
  }
  Sublayer bind() {
    source->parameters.clear(), source->used.clear();
    return find_mixer(file.metadata().at("mixer"))->bind(Scope(source), place(), given());
  }
  bool causal() const { return find_mixer(file.metadata().at("mixer"))->causal(place(), given()); }
  void SetUp() override {
    ASSERT_TRUE(find_mixer(file.metadata().at("mixer"))) << GetParam();
    bind();
    std::map<std::string, Tensor> wanted;
    for (const std::string& name : file.names())
      if (name != "x" && name != "y" && name != "dy" && !name.starts_with("grad.")) wanted[name] = file.tensor(name);
    for (const Parameter& p : source->parameters) {
      ASSERT_TRUE(wanted.contains(p.name)) << "the reference has no " << p.name;
      ASSERT_EQ(p.shape.count(), wanted[p.name].count()) << p.name;
      std::copy_n(wanted[p.name].f32(), p.shape.count(), p.value.f32());
      wanted.erase(p.name);
    }
    for (const auto& [name, value] : wanted) ADD_FAILURE() << "the mixer has no " << name;
  }
  Tensor run(const Tensor& rows, const std::vector<int64_t>& lengths, std::vector<State>* states = nullptr) {
    const Sublayer f = bind();
    Batch batch;
    for (size_t s = 0; s < lengths.size(); ++s) batch.add(lengths[s], states ? &(*states)[s] : nullptr);
    return f(rows, {.batch = &batch});
  }
  void holds() {
    const int64_t T = x.dim(0);
    EXPECT_TRUE(close(run(x, {T}), y, 1e-4));
    EXPECT_TRUE(close(run(concat_rows({x.slice(0, 3, 9), x}), {9, T}).slice(0, 9, T), y, 1e-4)) << "after another sequence";
    if (!causal()) return;
    for (const std::vector<int64_t>& pieces : {std::vector<int64_t>(static_cast<size_t>(T), 1), {1, 16, 5, T - 22}}) {
      std::vector<State> state(1);
      std::vector<Tensor> parts;
      for (int64_t at = 0; const int64_t n : pieces) {
        parts.push_back(run(x.slice(0, at, n), {n}, &state));
        state[0].tokens = at += n;
      }
      EXPECT_TRUE(close(concat_rows(parts), y, 1e-4)) << pieces.size() << " pieces";
    }
  }
};

TEST_P(MixerParity, GivesThePublishedLayersOutput) {
  holds();
  UseNaive definitions;
  holds();
}
TEST_P(MixerParity, GivesItsGradients) {
  Tape tape;
  tape.watch(x);
  for (const Parameter& p : source->parameters) tape.watch(p.value);
  tape.backward(run(x, {x.dim(0)}), dy);
  EXPECT_TRUE(close(tape.gradient(x), file.tensor("grad.x"), 1e-4));
  for (const Parameter& p : source->parameters) {
    if (!p.trained) continue;
    const Tensor g = tape.gradient(p.value);
    ASSERT_TRUE(g) << p.name;
    const Tensor* want = file.tensors().find("grad." + p.name);
    for (const float slope : want ? std::span<const float>() : g.floats()) EXPECT_LT(std::abs(slope), 1e-4) << p.name << ": 0 in the reference";
    if (want) { EXPECT_TRUE(close(g.view({g.count()}), want->view({g.count()}), 1e-4)) << p.name; }
  }
}

std::vector<std::string> all() {
  std::vector<std::string> names;
  for (const auto& e : std::filesystem::directory_iterator(folder)) names.push_back(e.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, MixerParity, testing::ValuesIn(all()), [](const auto& i) {
  std::string name = i.param;
  std::replace(name.begin(), name.end(), '@', '_');
  return name;
});

}  // namespace
}  // namespace headrace
