// Every operator gives what the reference implementations give, in every form.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "laws.h"
#include "run/op.h"

namespace headrace {
namespace {

const std::string folder = std::string(HEADRACE_ROOT) + "/tests/fixtures/ops/";

std::vector<std::string> cases() {
  std::vector<std::string> all;
  for (const auto& e : std::filesystem::directory_iterator(folder)) {
    const std::string file = e.path().filename().string();
    if (file.ends_with(".in.safetensors")) all.push_back(file.substr(0, file.size() - 15));
  }
  std::sort(all.begin(), all.end());
  return all;
}
std::map<std::string, Tensor> tensors_of(const std::string& file) {
  std::map<std::string, Tensor> all;
  const SafetensorsFile opened(file);
  for (const auto& [name, t] : opened.tensors()) all[name] = t;
  return all;
}

class Op : public testing::TestWithParam<std::string> {};
TEST_P(Op, GivesWhatTheReferenceGivesInEveryForm) {
  const std::string& c = GetParam();
  const std::string name = c.substr(0, c.find('@'));
  const auto in = tensors_of(folder + c + ".in.safetensors"), want = tensors_of(folder + c + ".expected.safetensors");
  const Value parameters = parse_json(read_text(folder + c + ".params.json"), c);
  for (const char* form : {"naive", "step", "chunk", "whole"}) {
    const auto got = run_op(name, in, parameters, op_form_from_name(form));
    for (const auto& [output, tensor] : want) {
      ASSERT_TRUE(got.contains(output)) << output << " is missing";
      EXPECT_TRUE(close(got.at(output), tensor, 3e-5)) << output << ", form " << form;
    }
    EXPECT_EQ(got.size(), want.size()) << form;
  }
}
INSTANTIATE_TEST_SUITE_P(All, Op, testing::ValuesIn(cases()), [](const auto& info) {
  std::string n = info.param;
  std::replace(n.begin(), n.end(), '@', '_');
  return n;
});

TEST(Ops, EveryFixtureHasAnOperatorAndErrorsNameWhatIsWrong) {
  EXPECT_GE(op_infos().size(), 25u);
  auto message = [](const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message([] { run_op("glaa", {}, {}); }).find("known: attn_causal"), std::string::npos);
  EXPECT_NE(message([] { run_op("gla", {{"q", Tensor::zeros({1, 2, 1, 4})}}, {}); }).find("missing inputs: k, v, gk"), std::string::npos);
  const Tensor x = Tensor::zeros({1, 2, 1, 4});
  EXPECT_NE(message([&] { run_op("linear_attn", {{"q", x}, {"k", x}, {"v", Tensor::zeros({1, 3, 1, 4})}}, {}); }).find("[1,3,1,4]"),
      std::string::npos);
  EXPECT_NE(message([&] { run_op("attn_sliding_window", {{"q", x}, {"k", x}, {"v", x}}, {}); }).find("parameter window is missing"),
      std::string::npos);
  EXPECT_NE(message([&] { run_op("linear_attn", {{"q", x}, {"k", x}, {"v", x}}, Object{{"scale", "big"}}); }).find("parameter scale"),
      std::string::npos);
}

TEST(Ops, GatedDeltaProductWithOneStepIsTheGatedDeltaRule) {
  Random r(2);
  Tensor q = r.whole({2, 9, 2, 4}), k = r.whole({2, 9, 2, 4}), v = r.whole({2, 9, 2, 6});
  Tensor g = map(r.whole({2, 9, 2}), [](float x) { return -std::abs(x); }), beta = map(r.whole({2, 9, 2}), [](float) { return 0.2f; });
  const std::map<std::string, Tensor> in{{"q", q}, {"k", k}, {"v", v}, {"g", g}, {"beta", beta}};
  EXPECT_TRUE(same_bits(run_op("gated_delta_product", in, Object{{"num_householder", 1}}).at("o"), run_op("gated_delta_rule", in, {}).at("o")));
}

}  // namespace
}  // namespace headrace
